"""What must hold of every attack, against honest and hostile models. A new attack joins by one row."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gradwarden.attack.apgd import APGD
from gradwarden.attack.bpda import BPDA, Surrogate
from gradwarden.attack.capgd import CAPGD
from gradwarden.attack.carlini_wagner import CarliniWagner
from gradwarden.attack.ddn import DDN
from gradwarden.attack.double import Double
from gradwarden.attack.eot import EOT
from gradwarden.attack.evolution import Evolution
from gradwarden.attack.fab import FAB
from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.fmn import FMN
from gradwarden.attack.hop_skip_jump import HopSkipJump
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.attack.smoothed import Smoothed
from gradwarden.attack.spsa import SPSA
from gradwarden.attack.square import Square
from gradwarden.attack.to_the_end import ToTheEnd
from gradwarden.attack.transfer import Transfer
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.goal import Targeted, Untargeted
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat


def halves(x: Tensor) -> Tensor:
    """Three logits of whatever shape x [N, ...] has."""
    flat = x.flatten(1)
    return torch.stack([flat.sum(1), flat[:, ::2].sum(1) * 2, flat.square().sum(1)], 1)


ATTACKS: list[Attack] = [
    Noise(draws=3),
    FGSM(),
    FGSM(loss="margin"),
    PGD(steps=4, step_size=0.7),
    PGD(steps=3, step_size=0.7, restarts=2, loss="margin"),
    PGD(steps=0),
    PGD(steps=3, step_size=1.0, loss="each", schedule="cosine", start="adi"),
    APGD(steps=5),
    APGD(steps=0),
    APGD(steps=4, loss="dlr", targets=2, order="malt"),
    APGD(steps=6, loss="each", restarts=2, start="adi", warm_up=True),
    CAPGD(steps=3),
    Evolution(queries=9, population=3),
    BPDA(attack=PGD(steps=3), patches=(Surrogate("body"),)),
    EOT(attack=PGD(steps=2), draws=3),
    Smoothed(attack=PGD(steps=3), sigma=0.05, draws=2),
    SPSA(steps=2, pairs=3),
    SPSA(steps=2, pairs=2, directions="normal", loss="cross-entropy"),
    HopSkipJump(steps=1, first=4, tries=3),
    Square(queries=4),
    Square(queries=3, restarts=2),
    BPDA(attack=EOT(attack=PGD(steps=2), draws=1), patches=(Surrogate("body"),)),
    FAB(steps=4, targets=2),
    FAB(steps=2, targets=1, restarts=2),
    FMN(steps=6),
    DDN(steps=4),
    CarliniWagner(searches=2, steps=4, rate=0.3),
    Double(attack=PGD(steps=3)),
    ToTheEnd(attack=PGD(steps=3)),
    Transfer(attack=PGD(steps=3), source=halves, name="halves"),
]


class Net(nn.Module):
    """Any function of x [N, 3, 4] to 3 logits, inside a child of its own."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.weight = nn.Parameter(
            torch.randn(12, 3, generator=torch.Generator().manual_seed(0)) * 3
        )
        self.body = nn.Identity()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        flat = self.body(x).flatten(1)
        z = (flat - 0.5) @ self.weight
        hostile: dict[str, Callable[[], Tensor]] = {
            "linear": lambda: z,
            "wavy": lambda: torch.sin(9 * z),
            "nan": lambda: z * float("nan"),
            "sometimes nan": lambda: torch.where(z > 0.3, float("nan"), z),
            "infinite": lambda: z / 0,
            "constant": lambda: z * 0,
            "one class": lambda: z[:, :1],
            "batch-coupled": lambda: z - z.mean(0) * 2,
            "no graph": lambda: z.detach(),
            "numpy": lambda: torch.from_numpy((flat.numpy() - 0.5) @ self.weight.detach().numpy()),
            "writes into its input": lambda: (flat.mul_(2) - 1) @ self.weight,
        }
        return hostile[self.name]()


MODELS = [
    "linear",
    "wavy",
    "nan",
    "sometimes nan",
    "infinite",
    "constant",
    "one class",
    "batch-coupled",
    "no graph",
    "numpy",
    "writes into its input",
]
HONEST = ["linear", "wavy", "no graph", "numpy", "writes into its input"]
each_attack = pytest.mark.parametrize("attack", ATTACKS, ids=repr)


def data(seed: int, classes: int = 3, n: int = 8) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, 4, generator=rng), torch.randint(classes, (n,), generator=rng)


@each_attack
def test_options_are_frozen_keyword_only_and_printed(attack: Attack) -> None:
    assert is_dataclass(attack)
    assert all(field.kw_only for field in fields(attack))
    for field in fields(attack):
        if not field.repr:  # a model of another attack, which has a name beside it
            continue
        assert f"{field.name}={getattr(attack, field.name)!r}" in repr(attack)
    with pytest.raises(FrozenInstanceError):
        setattr(attack, "seed", 1)  # noqa: B010
    assert list(inspect.signature(attack.run).parameters) == [
        "model",
        "x",
        "y",
        "threat",
        "seed",
        "ids",
    ]
    assert replace(attack) == attack


@each_attack
@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(MODELS),
    ball=st.sampled_from([Linf, L2]),
    radius=st.floats(1e-3, 2.0),
    goal=st.sampled_from([Untargeted(), Targeted(0)]),
    seed=st.integers(0, 99),
)
def test_what_is_reported_is_true_and_allowed(
    attack: Attack,
    name: str,
    ball: type[Linf | L2],
    radius: float,
    goal: Untargeted | Targeted,
    seed: int,
) -> None:
    model, (x, y) = Net(name), data(seed, 1 if name == "one class" else 3)
    threat = Threat(ball=ball(radius), goal=goal)
    found = attack.run(model, x.clone(), y, threat, seed=seed)
    assert threat.allows(found.x_adv, x).all()
    with torch.no_grad():
        missed = goal.reached(model(x.clone()), y)
        assert torch.equal(found.x_adv[missed], x[missed])
        assert found.success[missed].all()
        if name in HONEST:
            logits = model(found.x_adv.clone())
            assert torch.equal(goal.reached(logits, y), found.success)
            torch.testing.assert_close(goal.margin(logits, y), found.margin, rtol=1e-4, atol=1e-4)
    if name in ("nan", "infinite"):
        assert not found.success.any()


@each_attack
@pytest.mark.parametrize("name", HONEST)
def test_neither_batch_size_nor_order_matters(attack: Attack, name: str) -> None:
    model, (x, y) = Net(name), data(3, n=12)
    threat = Threat(ball=Linf(0.15))
    ids = list(range(100, 112))
    whole = attack.run(model, x, y, threat, seed=5, ids=ids)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    for rows in order.split(5):
        some = attack.run(model, x[rows], y[rows], threat, seed=5, ids=[ids[i] for i in rows])
        torch.testing.assert_close(some.x_adv, whole.x_adv[rows], rtol=0, atol=1e-5)
        assert torch.equal(some.success, whole.success[rows])
        assert torch.equal(some.forwards, whole.forwards[rows])
        assert torch.equal(some.backwards, whole.backwards[rows])


@each_attack
def test_the_model_is_left_as_it_was(attack: Attack) -> None:
    model, (x, y) = Net("linear"), data(1)
    model.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for flag in (True, False):
        model.weight.requires_grad_(flag)
        attack.run(model, x, y, Threat(ball=Linf(0.1)))
        assert model.weight.grad is None
        assert model.weight.requires_grad is flag
        assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.body._forward_hooks
    assert not model.body._forward_pre_hooks


@each_attack
def test_the_seed_is_the_only_source_of_chance(attack: Attack) -> None:
    model, (x, y) = Net("wavy"), data(2)
    torch.manual_seed(1)
    one = attack.run(model, x, y, Threat(ball=L2(0.4)), seed=7)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    two = attack.run(model, x, y, Threat(ball=L2(0.4)), seed=7)
    assert torch.equal(one.x_adv, two.x_adv)
    assert torch.equal(state, torch.get_rng_state())


@each_attack
def test_float64_stays_float64(attack: Attack) -> None:
    model, (x, y) = Net("linear").double(), data(2)
    found = attack.run(model, x.double(), y, Threat(ball=Linf(0.1)))
    assert found.x_adv.dtype == found.margin.dtype == torch.float64


def test_every_exported_attack_has_a_row() -> None:
    from gradwarden import attack

    exported = {name for name in attack.__all__ if hasattr(getattr(attack, name), "run")}
    assert exported == {type(row).__name__ for row in ATTACKS}
