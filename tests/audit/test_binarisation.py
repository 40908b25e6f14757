"""Known answers of the binarisation test: what an attack must find, and what it cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.apgd import APGD
from gradwarden.attack.bpda import BPDA, Surrogate
from gradwarden.attack.double import Double
from gradwarden.attack.eot import EOT
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.attack.square import Square
from gradwarden.attack.straight_through import StraightThrough
from gradwarden.audit.binarisation import INSIDE, Binarised, Binary, _Points, binarise
from gradwarden.audit.head import replaced
from gradwarden.audit.radii import resized
from gradwarden.audit.separation import separate
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.patch import Patch
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball
from gradwarden.core.goal import Evades
from gradwarden.core.protocols import Attack
from gradwarden.core.protocols import Patch as PatchOf
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.1))
FAST = PGD(steps=20)


class Code(nn.Module):
    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


class Killer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return torch.zeros_like(grads[0])


def kill(x: Tensor) -> Tensor:
    out: Tensor = Killer.apply(x)  # type: ignore[no-untyped-call]
    return out


def net(*front: nn.Module, features: int = 64, late: nn.Module | None = None) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = [nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, features), nn.ReLU()]
        return nn.Sequential(
            *front, nn.Flatten(), *body, late or nn.Identity(), nn.Linear(features, 4)
        ).eval()


def data(n: int = 16) -> Tensor:
    return torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def outcome(
    model: nn.Module, attack: Attack = FAST, threat: Threat = THREAT, **options: Any
) -> Binarised:
    x = data()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        y = model(x).argmax(1)
    return binarise(model, x, y, threat, attack, inner=options.pop("inner", 60), **options)


@pytest.mark.parametrize("ball", [Linf(0.1), L2(0.5), L1(2.0), Scaled(Linf(1.0), 0.1)], ids=repr)
def test_a_plain_net_gives_its_points_away(ball: Ball) -> None:
    model = net()
    found = outcome(model, APGD(steps=40), Threat(ball=ball))
    assert found.asr >= 0.95
    assert found.random_asr <= 0.3
    assert (found.n, found.note) == (16, "")
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.parametrize("wall", [Tensor.detach, kill], ids=["detach", "zero backward"])
@pytest.mark.parametrize("late", [False, True], ids=["in front", "before the head"])
def test_a_cut_gradient_finds_no_more_than_chance_until_it_is_patched(
    wall: Callable[[Tensor], Tensor], late: bool
) -> None:
    model = net(late=Code(wall)) if late else net(Code(wall))
    found = outcome(model)
    assert found.n == 16
    assert found.asr <= found.random_asr + 0.1
    path = "5" if late else "0"
    patches: list[PatchOf] = [Surrogate(path)]
    if wall is Tensor.detach:
        patches.append(StraightThrough(path))
    for patch in patches:
        opened = outcome(model, BPDA(attack=FAST, patches=(patch,)))
        assert opened.asr >= 0.95


def test_own_code_of_the_model_is_patched_by_its_own_path() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.last = net()[:-1], nn.Linear(64, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                features = self.body(x)
            out: Tensor = self.last(features.detach())
            return out

    model = Own().eval()
    assert outcome(model).asr <= 0.2
    assert outcome(model, BPDA(attack=FAST, patches=(StraightThrough(""),))).asr >= 0.95


def test_what_follows_the_head_stays() -> None:
    saturated = nn.Sequential(net(), Code(lambda z: z * 1e4)).eval()
    assert outcome(saturated).asr <= 0.2
    assert outcome(saturated, PGD(steps=20, loss="margin")).asr >= 0.95


def test_a_copy_of_the_model_meets_the_same_heads() -> None:
    assert outcome(net(), Double(attack=FAST)).asr >= 0.95


def test_an_attack_that_wants_the_own_classes_is_not_run() -> None:
    whole = BPDA(attack=FAST, patches=(Surrogate("", net()),))
    assert "refuses the model of two classes" in outcome(net(), whole).note


def test_a_black_box_attack_is_tested_the_same_way() -> None:
    assert outcome(net(Code(kill)), Square(queries=300)).asr > outcome(net(Code(kill))).asr


def test_a_model_that_draws_is_judged_by_most_of_its_draws() -> None:
    model = net(Code(lambda x: x + 0.06 * torch.randn_like(x)))
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    found = outcome(model, EOT(attack=FAST, draws=4))
    assert torch.equal(state, torch.random.get_rng_state())
    assert "left out" not in found.note
    assert found.asr >= 0.6
    assert found.random_asr <= 0.1
    assert "draws by itself" in found.note
    assert outcome(model, EOT(attack=FAST, draws=4)) == found


def test_features_too_few_for_so_many_points() -> None:
    found = outcome(net(features=2), inner=200)
    assert found.n < 16
    assert "in 2 features no linear layer tells the edge from 200 points" in found.note


@pytest.mark.parametrize(
    ("model", "threat", "why"),
    [
        (nn.Sequential(nn.Flatten(), nn.Softmax(1)), THREAT, "no linear layer"),
        (net(), Threat(ball=L0(1)), "holds no smaller ball"),
        (net(), Threat(ball=Patch(shape=(2, 2))), "holds no smaller ball"),
    ],
)
def test_not_run_and_why(model: nn.Module, threat: Threat, why: str) -> None:
    found = outcome(model.eval(), threat=threat)
    assert found.n == 0
    assert found.asr != found.asr
    assert found.note.startswith("Not run: ")
    assert why in found.note


def test_samples_that_the_model_gets_wrong_are_left_out() -> None:
    model, x = net(), data()
    wrong = (model(x).argmax(1) + 1) % 4
    assert binarise(model, x, wrong, THREAT, FAST, inner=20).note.endswith("gets no sample right.")


@dataclass(frozen=True)
class Liar:
    """Claims success at a point of its choice."""

    factor: float

    def run(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
    ) -> Attacked:
        wide = resized(threat, self.factor) or threat
        found = FAST.run(model, x, y, wide, seed=seed, ids=ids)
        return found._replace(success=torch.ones_like(found.success))


def test_a_claim_is_not_believed() -> None:
    assert outcome(net(), Liar(1e-3)).asr == 0.0  # inside, where no point is adversarial
    assert outcome(net(), Liar(1.0)).asr >= 0.95
    assert outcome(net(), Liar(4.0)).asr <= 0.2  # outside of the ball


def test_a_goal_for_one_class_does_not_matter() -> None:
    two = nn.Sequential(net()[:-1], nn.Linear(64, 2)).eval()
    assert outcome(two, threat=Threat(ball=Linf(0.1), goal=Evades())).asr >= 0.95


BALLS = [Linf(0.1), L2(0.5), L1(2.0), L0(5), Scaled(L2(1.0), 0.3)]


@pytest.mark.parametrize("ball", BALLS, ids=repr)
def test_points_lie_where_they_should(ball: Ball) -> None:
    threat, x = Threat(ball=ball), data(4)
    small = resized(threat, INSIDE)
    assert small is not None
    points = _Points(net(), "6", 64, x, threat, small, 0, 1, 256)
    edge = points.edge()
    assert threat.allows(edge, x).all()
    assert (ball.size(edge - x) >= 0.99 * ball.radius).all()
    inside = points.inside([2, 3], 30)
    around = x[2:].repeat_interleave(31, 0)
    assert torch.equal(inside[0], x[2])
    assert torch.equal(inside[31], x[3])
    assert small.allows(inside, around).all()
    assert len(inside.flatten(1).unique(dim=0)) == 62
    # The draws of a sample are its own, whoever else is asked for.
    assert torch.equal(points.inside([3], 30), inside[31:])


def test_every_sample_meets_its_own_head() -> None:
    model, x = net(), data()
    generator = torch.Generator().manual_seed(1)
    many = torch.rand(16, 9, 64, dtype=torch.float64, generator=generator)
    heads = separate(many, many[:, 0] + 1)
    binary = Binary(model, heads)
    with torch.no_grad():
        features = model[:-1](x).double()
        expected = torch.stack([f @ w + b for f, w, b in zip(features, *heads[:2], strict=True)])
        with replaced(model, "6", binary.logits):
            rows = [11, 3, 8]
            some = binary.keyed(rows)(x[rows])
            every = binary(x)
    torch.testing.assert_close((some[:, 1] - some[:, 0]).double(), expected[rows])
    torch.testing.assert_close((every[:, 1] - every[:, 0]).double(), expected)
    assert binary.get_submodule("6") is model[6]


def test_bad_options() -> None:
    for name in ("samples", "inner"):
        options: dict[str, Any] = {name: 0}
        with pytest.raises(BadInput, match="at least 1"):
            outcome(net(), **options)


def test_the_same_seed_the_same_answer() -> None:
    assert outcome(net(), Noise(draws=200)) == outcome(net(), Noise(draws=200))
