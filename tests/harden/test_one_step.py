"""The points of the trainers of a single step, sample by sample, and their regularisers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat
from gradwarden.harden.fast_training import FastTraining
from gradwarden.harden.grad_align import GradAlign, cosine
from gradwarden.harden.training import Batch
from gradwarden.harden.zero_grad import ZeroGrad, large_only

THREAT = Threat(ball=Linf(0.1))


def net(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)


def batch(dtype: torch.dtype = torch.float32) -> Batch:
    rng = torch.Generator().manual_seed(1)
    x, y = torch.rand(12, 6, generator=rng), torch.randint(3, (12,), generator=rng)
    return Batch(x.to(dtype), y, range(30, 42), seed=9)


def slope(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (grad,) = torch.autograd.grad(cross_entropy(model(x[None]), y[None]), x, create_graph=True)
    found: Tensor = grad
    return found


def trained_on(trainer: FastTraining | ZeroGrad | GradAlign, got: Batch) -> Tensor:
    """The point of the one forward in train mode."""
    model, points = net(got.x.dtype), []
    model.register_forward_pre_hook(
        lambda module, args: points.append(args[0].detach()) if module.training else None
    )
    loss = trainer._objective(model, got)
    assert loss.ndim == 0
    (point,) = points
    found: Tensor = point
    return found


@pytest.mark.parametrize(
    ("options", "reach", "step", "bound"),
    [
        ({}, 0.1, 0.125, 0.1),
        ({"noise": 0.0, "step_size": 1.0}, 0.0, 0.1, 0.1),
        ({"noise": 2.0, "step_size": 1.0, "clip": False}, 0.2, 0.1, 1.0),
        ({"noise": 0.5, "step_size": 2.0}, 0.05, 0.2, 0.1),
    ],
    ids=["RS-FGSM", "FGSM", "N-FGSM", "other"],
)
def test_fast_training_takes_the_published_step(
    options: dict[str, float], reach: float, step: float, bound: float
) -> None:
    got, model = batch(), net()
    trainer = FastTraining(threat=THREAT, **options)  # type: ignore[arg-type]
    draws = Draws(got.seed, got.ids, "FastTraining").uniform(got.x)
    expected = []
    for x, y, draw in zip(got.x, got.y, draws, strict=True):
        start = (x + reach * (2 * draw - 1)).clamp(0, 1)
        moved = start + step * slope(model, start, y).sign()
        expected.append((x + (moved - x).clamp(-bound, bound)).clamp(0, 1))
    point = trained_on(trainer, got)
    torch.testing.assert_close(point, torch.stack(expected).detach())
    if bound == 1.0:  # outside the ball, which is the point of it
        assert float((point - got.x).abs().max()) > 0.15


def test_a_wider_draw_needs_a_ball_that_can_grow() -> None:
    options = {"noise": 2.0, "step_size": 1.0, "clip": False}
    for ball in (L2(0.1), Scaled(Linf(0.1), 2.0)):
        FastTraining(threat=Threat(ball=ball), **options)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="noise must be 0 or 1 and clip True"):
        FastTraining(threat=Threat(ball=L0(2)), **options)  # type: ignore[arg-type]
    FastTraining(threat=Threat(ball=L0(2)))


def test_zero_grad_leaves_small_elements_where_they_started() -> None:
    got, model = batch(), net()
    starts = THREAT.sample(got.x, Draws(got.seed, got.ids, "ZeroGrad"))
    expected = []
    for x, y, start in zip(got.x, got.y, starts, strict=True):
        grad = slope(model, start, y).detach()
        grad[grad.abs() < torch.quantile(grad.abs(), 0.35)] = 0
        expected.append((x + (start + 0.2 * grad.sign() - x).clamp(-0.1, 0.1)).clamp(0, 1))
    point = trained_on(ZeroGrad(threat=THREAT), got)
    torch.testing.assert_close(point, torch.stack(expected))
    assert 12 * 2 <= int((point == starts).sum()) <= 12 * 3


@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, 1.0])
def test_the_quantile_is_that_of_torch_per_sample(q: float) -> None:
    grad = torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(0)).double()
    grad[0] *= 1e-6
    cut = torch.quantile(grad.flatten(1).abs(), q, dim=1)
    expected = torch.stack([g * (g.abs() >= c) for g, c in zip(grad, cut, strict=True)])
    assert torch.equal(large_only(grad, q), expected)
    assert not large_only(torch.zeros(2, 5), 0.35).any()


def test_grad_align_is_the_formula_written_out_and_differentiated_twice() -> None:
    got = batch(torch.float64)
    model, twin = net(torch.float64), net(torch.float64)
    loss = GradAlign(threat=THREAT, weight=0.7)._objective(model, got)
    near = THREAT.sample(got.x, Draws(got.seed, got.ids, "GradAlign"))
    bent, logits = [], []
    for x, other, y in zip(got.x, near, got.y, strict=True):
        here, there = slope(twin, x, y), slope(twin, other, y)
        bent.append(1 - cosine_similarity(here, there, dim=0, eps=1e-30))
        logits.append(twin((x + 0.1 * here.detach().sign()).clamp(0, 1)[None])[0])
    expected = cross_entropy(torch.stack(logits), got.y) + 0.7 * torch.stack(bent).mean()
    torch.testing.assert_close(loss, expected)
    ours = torch.autograd.grad(loss, list(model.parameters()))
    theirs = torch.autograd.grad(expected, list(twin.parameters()))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_averages_that_a_step_moves_are_not_those_that_the_regulariser_sees() -> None:
    got, weight = batch(torch.float64), 3.0
    norm = nn.BatchNorm1d(8, momentum=0.9).double()
    norm(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)).double() * 3 + 1)
    model = net(torch.float64).insert(1, norm)
    twin = copy.deepcopy(model)
    loss = GradAlign(threat=THREAT, weight=weight)._objective(model, got)
    ours = torch.autograd.grad(loss, list(model.parameters()))
    near = THREAT.sample(got.x, Draws(got.seed, got.ids, "GradAlign"))
    twin.eval()
    pairs = zip(got.x, near, got.y, strict=True)
    slopes = [(slope(twin, x, y), slope(twin, other, y)) for x, other, y in pairs]
    bent = torch.stack([1 - cosine_similarity(a, b, dim=0, eps=1e-30) for a, b in slopes])
    theirs = torch.autograd.grad(weight * bent.mean(), list(twin.parameters()))
    x_adv = (got.x + 0.1 * torch.stack([a.detach().sign() for a, _ in slopes])).clamp(0, 1)
    plain = torch.autograd.grad(cross_entropy(twin.train()(x_adv), got.y), list(twin.parameters()))
    for mine, other, third in zip(ours, theirs, plain, strict=True):
        torch.testing.assert_close(mine, other + third)


def test_the_regulariser_moves_weights() -> None:
    model, got = net(torch.float64), batch(torch.float64)
    weights = list(model.parameters())
    with_it, without = (
        torch.autograd.grad(GradAlign(threat=THREAT, weight=w)._objective(model, got), weights[:1])
        for w in (5.0, 0.0)
    )
    assert float((with_it[0] - without[0]).abs().max()) > 1e-3


def test_a_gradient_of_zero_is_not_aligned_and_gives_no_nan() -> None:
    a = torch.tensor([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [1e-30, 0.0]], requires_grad=True)
    b = torch.tensor([[2.0, 4.0], [1.0, 1.0], [0.0, 0.0], [1e30, 0.0]], requires_grad=True)
    found = cosine(a, b)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0, 0.0, 1.0]))
    found.sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.isfinite().all()
    assert b.grad.isfinite().all()
    torch.autograd.gradcheck(
        cosine, tuple(torch.randn(3, 5, dtype=torch.float64, requires_grad=True) for _ in "ab")
    )


class Steep(nn.Module):
    """An infinite gradient in the first element, NaN in the second, where x is 0."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x[:, :1].sqrt(), (x[:, 1:2].square()).sqrt()
        return torch.cat([first + second, x[:, 2:4]], 1)


def test_a_gradient_that_is_not_finite_gives_a_point_that_is() -> None:
    x = torch.full((4, 6), 0.5)
    x[:, :2] = 0.0
    threat = Threat(ball=L2(0.1))
    plain = FastTraining(threat=threat, noise=0.0, step_size=1.0)
    point = plain._one_step(Steep(), Batch(x, torch.ones(4).long(), range(4), 0))
    assert point[:, 0].tolist() == pytest.approx([0.1] * 4)
    assert point[:, 1].tolist() == [0.0] * 4


class Hidden(nn.Module):
    """No gradient reaches x."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = net()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner((x * 4).round() / 4)
        return found


@pytest.mark.parametrize(
    "trainer", [FastTraining(threat=THREAT), ZeroGrad(threat=THREAT), GradAlign(threat=THREAT)]
)
def test_a_hidden_gradient_leaves_a_loss_that_trains(
    trainer: FastTraining | ZeroGrad | GradAlign,
) -> None:
    model, got = Hidden(), batch()
    loss = trainer._objective(model, got)
    grads = torch.autograd.grad(loss, list(model.parameters()))
    assert all(grad.isfinite().all() for grad in grads)
    assert any(grad.any() for grad in grads)
    if isinstance(trainer, GradAlign):
        plain = cross_entropy(model(got.x), got.y)
        torch.testing.assert_close(loss - plain, torch.tensor(0.2))  # counted as not aligned
