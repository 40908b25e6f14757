"""Transforms against the arithmetic of their sources, written again slowly."""

import math

import pytest
import torch
from torch import Tensor, nn

from gradwarden.clip.clipper import Clipper
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.rules.max_value import MaxValue
from gradwarden.clip.transforms.stable_spam import StableSPAM
from gradwarden.clip.transforms.u_clip import UClip
from gradwarden.core.errors import BadInput


def gradients(n: int) -> list[Tensor]:
    rng = torch.manual_seed(0)
    found = [torch.randn(6, generator=rng) for _ in range(n)]
    found[n // 2][3] *= 40
    return found


def drive(clipper: Clipper, grads: list[Tensor]) -> list[Tensor]:
    (p,) = clipper._engine.params
    out = []
    for grad in grads:
        p.grad = grad.clone()
        clipper.step()
        assert p.grad is not None
        out.append(p.grad.clone())
    return out


def stable_spam_twin(grads: list[Tensor]) -> list[list[float]]:
    """With python numbers: gamma1 0.7, gamma2 0.9, theta 0.999."""
    largest = mean = square = 0.0
    out = []
    for t, grad in enumerate(grads, start=1):
        g: list[float] = grad.tolist()
        top = max(map(abs, g))
        largest = 0.999 * largest + 0.001 * top
        bound = largest / (1 - 0.999**t)
        g = [x / top * bound if abs(x) > bound else x for x in g]
        norm = math.hypot(*g)
        mean = 0.7 * mean + 0.3 * norm
        square = 0.9 * square + 0.1 * norm**2
        wanted = mean / (1 - 0.7**t) / (math.sqrt(square / (1 - 0.9**t)) + 1e-8)
        out.append([x / norm * wanted for x in g])
    return out


def test_stable_spam_matches_the_twin() -> None:
    grads = gradients(40)
    got = drive(Clipper([("w", nn.Parameter(torch.zeros(6)))], StableSPAM()), grads)
    for a, b in zip(got, stable_spam_twin(grads), strict=True):
        torch.testing.assert_close(a, torch.tensor(b), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("rule", [MaxNorm(1.5), MaxValue(0.5)], ids=repr)
def test_u_clip_carries_over_what_it_cuts(rule: MaxNorm | MaxValue) -> None:
    grads = gradients(30)
    got = drive(Clipper([("w", nn.Parameter(torch.zeros(6)))], UClip(rule)), grads)
    carry = torch.zeros(6)
    for grad, out in zip(grads, got, strict=True):
        wanted = grad + carry
        if isinstance(rule, MaxNorm):
            want = wanted * min(1.0, 1.5 / float(wanted.norm()))
        else:
            want = wanted.clamp(-0.5, 0.5)
        torch.testing.assert_close(out, want)
        carry = wanted - want
    torch.testing.assert_close(sum(got) + carry, torch.stack(grads).sum(0))


def test_sparse_and_missing_gradients() -> None:
    sparse, none = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(2))
    sparse.grad = torch.tensor([0.0, 3.0, 0.0, 4.0]).to_sparse()
    clipper = Clipper([("sparse", sparse), ("none", none)], UClip(MaxNorm(1.0)))
    clipper.step()
    torch.testing.assert_close(sparse.grad.to_dense(), torch.tensor([0.0, 0.6, 0.0, 0.8]))
    sparse.grad = None
    none.grad = torch.zeros(2)
    clipper.step()
    assert sparse.grad is not None  # what was cut off before comes now
    torch.testing.assert_close(sparse.grad, torch.tensor([0.0, 0.6, 0.0, 0.8]))


def test_state_loads_in_another_order() -> None:
    params = {name: nn.Parameter(torch.zeros(n)) for name, n in (("a", 2), ("b", 3))}
    first = Clipper(params.items(), UClip(MaxNorm(1.0, scope="tensor")))
    for p in params.values():
        p.grad = torch.full_like(p, 5.0)
    first.step()
    other = Clipper(reversed(params.items()), UClip(MaxNorm(1.0, scope="tensor")))
    other.load_state_dict(first.state_dict())
    assert [c.shape for c in other.states[0].carry] == [torch.Size([3]), torch.Size([2])]
    spam = Clipper(params.items(), StableSPAM())
    for k, p in enumerate(params.values()):
        p.grad = torch.full_like(p, k + 1.0)
    spam.step()
    turned = Clipper(reversed(params.items()), StableSPAM())
    turned.load_state_dict(spam.state_dict())
    for new, old in zip(turned.states[0], spam.states[0], strict=True):
        torch.testing.assert_close(new, old.flip(-1), rtol=0, atol=0)
    with pytest.raises(BadInput, match="expected rule StableSPAM"):
        Clipper(params.items(), StableSPAM()).load_state_dict(first.state_dict())
