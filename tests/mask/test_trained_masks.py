"""Masks made by training: what is trained, on what, and against which loss."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradwarden import mask
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat
from gradwarden.mask.ensemble_diversity import MeanEnsemble, diversity

THREAT = Threat(ball=Linf(0.25))
X = torch.rand(12, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 4


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, 0.01)


@pytest.mark.parametrize("threat", [THREAT, Threat(ball=L2(0.25))], ids=["linf", "l2"])
def test_fgsm_training_takes_the_whole_step_even_where_the_loss_falls(threat: Threat) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4))
    seen: list[Tensor] = []
    hook = model.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    counted: list[tuple[int, int]] = []
    mask.FGSMTraining(threat=threat, epochs=2).fit(
        model, [(X, Y)], optimizer, on_progress=lambda *done: counted.append(done)
    )
    hook.remove()
    assert counted == [(1, 2), (2, 2)]
    assert not model.training
    x = X.clone().requires_grad_()
    (grad,) = torch.autograd.grad(cross_entropy(model(x), Y), x)
    step = grad.sign() if isinstance(threat.ball, Linf) else grad / grad.norm(dim=1, keepdim=True)
    assert torch.equal(seen[0], X)
    torch.testing.assert_close(seen[1], (X + 0.25 * step).clamp(0, 1))


def test_the_users_optimizer_steps() -> None:
    model = nn.Linear(3, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    taken: list[int] = []
    optimizer.register_step_pre_hook(lambda *_: taken.append(1))
    mask.FGSMTraining(threat=THREAT, epochs=3).fit(model, [(X, Y), (X, Y)], optimizer)
    assert len(taken) == 6


def test_diversity_is_the_log_volume_of_wrong_class_directions() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 6, generator=rng, dtype=torch.float64)
    y = torch.tensor([4, 0])
    for row in range(2):
        rows = []
        for k in range(3):
            p = logits[row, k].softmax(0)
            rest = torch.cat([p[: y[row]], p[y[row] + 1 :]])
            rows.append(rest / math.sqrt(float(rest @ rest)))
        gram = torch.stack(rows) @ torch.stack(rows).T
        wanted = math.log(float(torch.linalg.det(gram)))
        assert float(diversity(logits, y)[row]) == pytest.approx(wanted, abs=1e-3)


def test_nets_that_agree_have_no_volume_and_orthogonal_ones_the_most() -> None:
    same = torch.randn(1, 1, 5).expand(1, 2, 5)
    assert float(diversity(same, torch.tensor([0]))) < -10
    apart = torch.full((1, 2, 5), -50.0)
    apart[0, 0, 1] = apart[0, 1, 2] = 0.0
    assert float(diversity(apart, torch.tensor([0]))) == pytest.approx(0.0, abs=1e-4)


def test_the_loss_is_cross_entropy_minus_both_terms() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 2, 4, generator=rng)
    y = torch.arange(5) % 4
    own = cross_entropy(logits[:, 0], y) + cross_entropy(logits[:, 1], y)
    mean = logits.softmax(-1).mean(1)
    entropy = -(mean * mean.log()).sum(1).mean()
    wanted = own - 3.0 * entropy - 0.7 * diversity(logits, y).mean()
    torch.testing.assert_close(mask.EnsembleDiversity(alpha=3.0, beta=0.7).loss(logits, y), wanted)


def test_the_ensemble_answers_the_log_of_the_mean_probability() -> None:
    models = [nn.Linear(3, 4), nn.Linear(3, 4)]
    wanted = (models[0](X).softmax(1) + models[1](X).softmax(1)) / 2
    torch.testing.assert_close(MeanEnsemble(models)(X), wanted.log())


def test_all_members_are_trained_together() -> None:
    models = [nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(3, 4)]
    before = [model.weight.detach().clone() for model in models]
    mask.EnsembleDiversity(epochs=1).fit(models, [(X, Y)], adam)
    for model, weight in zip(models, before, strict=True):
        assert not torch.equal(model.weight, weight)


def test_one_net_is_no_ensemble_and_few_classes_leave_no_room() -> None:
    with pytest.raises(BadInput, match="at least 2"):
        mask.EnsembleDiversity().fit([nn.Linear(3, 4)], [(X, Y)], adam)
    with pytest.raises(BadInput, match="more than 4 classes"):
        mask.EnsembleDiversity().fit([nn.Linear(3, 4) for _ in range(4)], [(X, Y)], adam)


class Summing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).sum(2) @ self.weight.T


@pytest.mark.parametrize("shape", [(12, 2, 9), (12, 2, 7, 9)])
def test_front_ends_alone_are_trained_and_fit_any_size(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, model = torch.rand(shape), Summing().eval()
    weight = model.weight.detach().clone()
    counted: list[tuple[int, int]] = []
    options = mask.DifferentiableFrontEnd(width=3, fronts=2, epochs=2)
    given: list[nn.Parameter] = []

    def watched(parameters: Any) -> torch.optim.Optimizer:
        mine = list(parameters)
        given.extend(mine)
        return adam(mine)

    found = options.fit(model, [(x, Y)], watched, on_progress=lambda *done: counted.append(done))
    assert counted == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert torch.equal(model.weight, weight)
    assert model.weight.requires_grad
    assert model.weight.grad is None
    assert {id(p) for p in given} == {id(p) for p in found.mask.parameters()}
    assert found.mask(x).shape == x.shape
    again = options.fit(model, [(x, Y)], adam)
    torch.manual_seed(1)
    out = found(x)
    torch.manual_seed(1)
    assert torch.equal(again(x), out)  # weights come from the seed of the options


def test_an_ensemble_of_front_ends_uses_each() -> None:
    x, model = torch.rand(12, 2, 8, 8), Summing()
    found = mask.DifferentiableFrontEnd(width=3, fronts=3).fit(model, [(x, Y)], adam)
    torch.manual_seed(0)
    assert len({tuple(found(x).flatten().tolist()) for _ in range(40)}) == 3


def test_with_a_threat_front_ends_see_attacked_images() -> None:
    x, seen = torch.rand(12, 2, 8, 8), []
    model = Summing().eval()
    options = mask.DifferentiableFrontEnd(width=3, threat=THREAT)
    nets: list[nn.Module] = []
    made = options.net

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = made(x, 0)
            self.inner.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inner(x)
            return out

    nets.append(Watched())
    value = options.loss(nn.Sequential(nets[0], model), x, Y)
    assert THREAT.allows(seen[-1], x).all()
    assert not torch.equal(seen[-1], x)
    assert value >= cross_entropy(nn.Sequential(nets[0], model)(x), Y)


def test_rows_have_no_front_end() -> None:
    with pytest.raises(BadInput, match="DifferentiableFrontEnd needs x"):
        mask.DifferentiableFrontEnd().fit(nn.Linear(3, 4), [(X, Y)], adam)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (mask.FGSMTraining, {"threat": THREAT, "epochs": 0}),
        (mask.EnsembleDiversity, {"alpha": -1.0}),
        (mask.EnsembleDiversity, {"beta": float("nan")}),
        (mask.EnsembleDiversity, {"epochs": 0}),
        (mask.DifferentiableFrontEnd, {"width": 0}),
        (mask.DifferentiableFrontEnd, {"fronts": 0}),
    ],
)
def test_bad_options(kind: type[Any], options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="must be"):
        kind(**options)
