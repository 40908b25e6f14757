"""Stand-ins made from what a module does: they lead an attack where the module's gradient does not."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.apgd import APGD
from gradwarden.attack.bpda import BPDA
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.attack.transfer import Transfer
from gradwarden.audit.case import Case
from gradwarden.audit.stand_ins.clean_slope import clean_slope
from gradwarden.audit.stand_ins.fitted import fitted
from gradwarden.audit.stand_ins.frozen import Frozen, frozen
from gradwarden.audit.stand_ins.linear import Secants, linear
from gradwarden.audit.stand_ins.near import points
from gradwarden.audit.stand_ins.nets import Scaled, fold, net_for, unfold
from gradwarden.audit.stand_ins.stripped import Stripped, strippable, stripped
from gradwarden.audit.stand_ins.student import student
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Patch
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.2))
CLIMB = PGD(steps=20, loss="margin", start="clean")


class Code(nn.Module):
    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


def clamped(x: Tensor) -> Tensor:
    return x.clamp(-1, 1)


def summed(x: Tensor) -> Tensor:
    """[N, C, T] -> [N, C, T], each step from all before it."""
    return x.detach().round(decimals=1).cumsum(2)


def shaken(x: Tensor) -> Tensor:
    return x + torch.randn_like(x)


def turned(x: Tensor) -> Tensor:
    return x.flip(1)


def shares(x: Tensor) -> Tensor:
    return x.softmax(1)


def thermometer(x: Tensor) -> Tensor:
    """[N, 1, H, W] -> [N, 8, H, W] of zeros and ones."""
    return (x >= (torch.arange(8.0) / 8).view(1, -1, 1, 1)).to(x)


def through_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(np.tanh(3 * x.detach().numpy()[:, ::-1].copy()).astype(np.float32))


EDGES = torch.linspace(0.1, 0.9, 5)
ROWS = torch.linspace(-1, 1, 6)[:, None] * torch.tensor([1.0, -0.5, 2.0])


def looked_up(x: Tensor) -> Tensor:
    """[N, F] -> [N, 3 F]: each feature's bin has a row."""
    return ROWS[torch.bucketize(x.detach(), EDGES)].flatten(1)


def noisy(x: Tensor) -> Tensor:
    return (x * 4).round() / 4 + 0.1 * torch.randn_like(x)


def fine(x: Tensor) -> Tensor:
    """[N, 1, H, W] -> [N, 2, 2 H, 2 W]."""
    doubled = x.detach().repeat_interleave(2, 2).repeat_interleave(2, 3)
    return torch.cat([doubled, 1 - doubled], 1).round(decimals=1)


def coarse(x: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(x.detach(), 2).round(decimals=1)


def pooled(x: Tensor) -> Tensor:
    """[N, 1, H, W] -> [N, H]."""
    return x.detach()[:, 0].mean(2).round(decimals=2)


def behind(run: Callable[[Tensor], Tensor], *shape: int) -> Case:
    """A linear net behind `run`, on 40 samples [*shape] that it decides alike."""
    torch.manual_seed(0)
    x = torch.rand(40, *shape) * 0.8 + 0.1
    size = run(x).flatten(1).shape[1]
    last = nn.Linear(size, 2)
    model = nn.Sequential(Code(run), nn.Flatten(), last).eval().requires_grad_(False)
    logits = model(x)
    last.bias.data -= logits.mean(0)
    return Case(model=model, x=x, y=model(x).argmax(1), threat=THREAT)


def left(case: Case, *patches: Patch) -> float:
    """Accuracy under the attack through `patches`."""
    attack = BPDA(attack=CLIMB, patches=patches) if patches else CLIMB
    found = attack.run(case.model, case.x, case.y, case.threat)
    return 1 - float(found.success.float().mean())


def untouched(case: Case, patch: Patch) -> None:
    """Values are bit-equal under the patch, and nothing is left of it."""
    before = case.model(case.x.clone())
    generator = torch.get_rng_state()
    with patch.applied(case.model):
        assert torch.equal(case.model(case.x.clone().requires_grad_()), before)
    assert torch.equal(torch.get_rng_state(), generator)
    clean(case.model)


def clean(model: nn.Module) -> None:
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert "forward" not in module.__dict__


SHAPES = [
    (thermometer, (1, 8, 8)),
    (through_numpy, (12,)),
    (looked_up, (6,)),
    (fine, (1, 6, 6)),
    (coarse, (1, 8, 8)),
    (pooled, (1, 8, 8)),
    (summed, (2, 16)),
]


@pytest.mark.parametrize(("run", "shape"), SHAPES)
def test_a_fitted_net_breaks_what_the_gradient_alone_does_not(
    run: Callable[[Tensor], Tensor], shape: tuple[int, ...]
) -> None:
    case = behind(run, *shape)
    found = fitted(case, "0")
    assert found is not None
    assert found.fidelity > 0.5
    assert left(case) > 0.9
    assert left(case, found.patch) < 0.5
    untouched(case, found.patch)


def test_a_module_that_draws_is_fitted_in_the_mean() -> None:
    case = behind(noisy, 12)
    found = fitted(case, "0")
    assert found is not None
    assert found.fidelity > 0.8  # of the mean; a single draw has a third of its variance from noise


def test_fitting_leaves_the_generator_alone_and_repeats_itself() -> None:
    case = behind(looked_up, 6)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one, two = fitted(case, "0", steps=5), (torch.manual_seed(2), fitted(case, "0", steps=5))[1]
    assert one is not None
    assert two is not None
    assert one.fidelity == two.fidelity
    torch.set_rng_state(state)
    fitted(case, "0", steps=5)
    student(case, steps=5)
    linear(case, "0")
    clean_slope(case, "0")
    assert torch.equal(torch.get_rng_state(), state)
    clean(case.model)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sum = Sum()

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.sum(x, x * 2)
        return total


class Sum(nn.Module):
    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        return (x + other)[:, :3]


def test_no_stand_in_where_none_fits() -> None:
    x = torch.rand(8, 5)
    case = Case(model=Two().eval(), x=x, y=torch.zeros(8, dtype=torch.long), threat=THREAT)
    assert fitted(case, "sum") is None
    assert linear(case, "sum") is None
    assert clean_slope(case, "sum") is None
    wide = behind(through_numpy, 70)
    assert linear(wide, "0") is None


def test_secants_of_a_linear_map_are_its_matrix() -> None:
    torch.manual_seed(0)
    matrix = nn.Linear(5, 3).double().requires_grad_(False)
    secants = Secants(matrix, torch.full((5,), 0.1, dtype=torch.double))
    x = torch.rand(4, 5, dtype=torch.double, requires_grad=True)
    out = secants(x)
    torch.testing.assert_close(out, matrix(x))
    (grad,) = torch.autograd.grad(out[:, 1].sum(), x)
    torch.testing.assert_close(grad, matrix.weight[1].expand(4, 5))


@pytest.mark.parametrize(("run", "shape"), [(looked_up, (6,)), (through_numpy, (12,))])
def test_secants_lead_over_bins(run: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
    case = behind(run, *shape)
    found = linear(case, "0")
    assert found is not None
    assert left(case) > 0.9
    assert left(case, found.patch) < 0.4
    untouched(case, found.patch)


@pytest.mark.parametrize("bend", [torch.sigmoid, torch.tanh, clamped])
def test_a_clean_slope_opens_saturated_units(bend: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    first, last = nn.Linear(12, 24), nn.Linear(24, 2)
    model = nn.Sequential(first, Code(lambda z: bend(200 * z)), last).eval().requires_grad_(False)
    x = torch.rand(40, 12)
    first.bias.data -= first(x).mean(0)
    last.bias.data -= model(x).mean(0)
    case = Case(model=model, x=x, y=model(x).argmax(1), threat=THREAT)
    patch = clean_slope(case, "1")
    assert patch is not None
    assert left(case, patch) < left(case) - 0.2
    untouched(case, patch)


def dead(sign: float, z: Tensor) -> Tensor:
    return sign * (z - 0.6).relu()


def test_a_dead_unit_leaks_with_the_sign_of_its_trend() -> None:
    for sign in (1.0, -1.0):
        model = nn.Sequential(Code(partial(dead, sign)), nn.Linear(6, 2)).eval()
        x = torch.rand(20, 6)
        case = Case(model=model, x=x, y=model(x).argmax(1), threat=THREAT)
        patch = clean_slope(case, "0")
        assert patch is not None
        at = torch.full((1, 6), 0.1, requires_grad=True)
        with patch.applied(model):
            (grad,) = torch.autograd.grad(model[0](at).sum(), at)
        assert (grad * sign > 0).all()


@pytest.mark.parametrize("run", [shares, turned, shaken])
def test_what_mixes_elements_or_draws_is_not_elementwise(run: Callable[[Tensor], Tensor]) -> None:
    assert clean_slope(behind(run, 6), "0") is None


def tree(x: Tensor, seed: int) -> Tensor:
    """[N, 4] -> [N]: three cuts one below the other, each of them for or against class 1."""
    draws = torch.Generator().manual_seed(seed)
    feature = torch.randint(4, (7,), generator=draws)
    cut = 0.3 + 0.4 * torch.rand(7, generator=draws)
    weight = torch.tensor([1.0, -1.2, 0.8, -0.6])
    node, leaf = torch.zeros(len(x), dtype=torch.long), torch.zeros(len(x))
    for _ in range(3):
        above = x.gather(1, feature[node][:, None])[:, 0] > cut[node]
        leaf = leaf + weight[feature[node]] * (2.0 * above - 1)
        node = (2 * node + 1 + above.long()).clamp(max=6)
    return leaf


def forest(x: Tensor) -> Tensor:
    """Three trees that vote; [N, 2]."""
    margin = torch.stack([tree(x.detach(), seed) for seed in range(3)]).mean(0) + 0.01
    return torch.stack([-margin, margin], 1)


def votes(x: Tensor) -> Tensor:
    """Decisions alone, as zeros and ones."""
    decided: Tensor = torch.eye(2)[forest(x).argmax(1)]
    return decided


@pytest.mark.parametrize("run", [forest, votes])
def test_a_student_of_answers_alone_transfers_better_than_noise(
    run: Callable[[Tensor], Tensor],
) -> None:
    torch.manual_seed(0)
    model, x = Code(run).eval(), torch.rand(64, 4)
    case = Case(model=model, x=x, y=model(x).argmax(1), threat=THREAT)
    found = student(case)
    assert found is not None
    assert found.fidelity > 0.8
    assert found.queries > 64
    pupil = found.patch.module  # type: ignore[attr-defined]
    across = Transfer(attack=APGD(loss="margin", steps=20), source=pupil, name="student")
    moved = across.run(model, x, case.y, THREAT)
    transferred = 1 - float(moved.success.float().mean())
    noise = Noise(draws=1).run(model, x, case.y, THREAT)
    assert transferred < 1 - float(noise.success.float().mean()) - 0.1
    assert left(case, found.patch) < left(case) - 0.2
    untouched(case, found.patch)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 16), (5,)])
def test_a_student_of_every_shape_counts_its_questions(shape: tuple[int, ...]) -> None:
    asked = 0

    def run(x: Tensor) -> Tensor:
        nonlocal asked
        asked += len(x)
        total = x.detach().flatten(1).mean(1)
        return torch.stack([total, 1 - total], 1).round(decimals=1) * 20

    x = torch.rand(16, *shape)
    case = Case(model=Code(run), x=x, y=torch.zeros(16, dtype=torch.long), threat=THREAT)
    found = student(case, steps=10)
    assert found is not None
    assert found.queries == asked


def test_stripped_is_the_base_and_leaves_no_trace() -> None:
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    model = nn.Sequential(Code(lambda x: x.detach().round()), *base).eval()
    x = torch.rand(10, 6)
    case = Case(model=model, x=x, y=model(x).argmax(1), threat=THREAT)
    assert strippable(case) == ("0", "2")
    before = model(x)
    assert torch.equal(Stripped(model, ["0"])(x), base(x))
    assert torch.equal(model(x), before)
    clean(model)
    with pytest.raises(ZeroDivisionError), stripped(model, ["0"]):
        raise ZeroDivisionError
    clean(model)
    for path in ("", "nosuch"):
        with pytest.raises(BadInput), stripped(model, ["0", path]):
            pass
    clean(model)


def test_frozen_holds_one_draw_of_every_global_generator() -> None:
    def draw(x: Tensor) -> Tensor:
        return x + torch.rand(()) + float(np.random.rand()) + random.random()

    model, x = Code(draw), torch.rand(4, 3)
    torch.manual_seed(0)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    held = frozen(model, x)
    assert held is not None
    assert torch.equal(held(x), held(x))
    assert not torch.equal(held(x), Frozen(model, 5)(x))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]  # type: ignore[index]
    assert random.getstate() == states[2]
    assert frozen(Code(torch.sin), x) is None


def test_folding_is_undone_and_matches_torch() -> None:
    x = torch.rand(2, 3, 4, 6)
    assert torch.equal(fold(x, (2, 2)), nn.functional.pixel_unshuffle(x, 2))
    assert torch.equal(unfold(fold(x, (2, 2)), (2, 2)), x)
    assert torch.equal(unfold(fold(x, (1, 3)), (1, 3)), x)
    series = torch.rand(2, 3, 8)
    assert torch.equal(unfold(fold(series, (4,)), (4,)), series)


def test_nets_of_shapes() -> None:
    for given, out in [((1, 4, 4), (2, 8, 8)), ((2, 6), (3, 2)), ((3, 5, 5), (7,)), ((4,), (2, 3))]:
        net = net_for(given, out)
        assert net is not None
        assert net(torch.rand(2, *given)).shape == (2, *out)
    assert net_for((1, 2, 3, 4), (2,)) is None


def test_a_stand_in_takes_inputs_at_their_own_scale() -> None:
    net = nn.Identity()
    given = 5 + 100 * torch.randn(50, 4)
    scaled = Scaled(net, given, 3 * given + 1, "x")
    torch.testing.assert_close(scaled(given), 3 * given + 1, rtol=1e-3, atol=1e-2)


def test_points_nearby_are_allowed() -> None:
    case = behind(through_numpy, 12)
    for number in range(6):
        assert case.threat.allows(points(case, number), case.x).all()
