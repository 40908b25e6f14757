"""APGD against a twin that takes one sample at a time through plain NumPy, written from the papers.

Two layers with a gradient by hand, float64, so that the two stay together to the last step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradwarden.attack import pace
from gradwarden.attack.apgd import APGD
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.draws import Draws
from gradwarden.core.geometry import Ball
from gradwarden.core.goal import Strongest, Untargeted
from gradwarden.core.threat import Threat

Vector = NDArray[np.float64]
Project = Callable[[Vector, Vector], Vector]
RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.normal(size=(12, 16)) * 1.5, RNG.normal(size=(16, 4))
ONE, TWO = torch.from_numpy(FIRST), torch.from_numpy(SECOND)


def model(x: Tensor) -> Tensor:
    return torch.sin((x.flatten(1) - 0.5) @ ONE) @ TWO


def margin(x: Vector, y: int) -> tuple[float, Vector]:
    """Best other logit minus that of y, and its gradient."""
    inner = (x - 0.5) @ FIRST
    logits = np.sin(inner) @ SECOND
    others = logits.copy()
    others[y] = -np.inf
    best = int(others.argmax())
    slope: Vector = FIRST @ (np.cos(inner) * (SECOND[:, best] - SECOND[:, y]))
    return float(logits[best] - logits[y]), slope


def in_linf(radius: float) -> Project:
    def project(z: Vector, x: Vector) -> Vector:
        return np.asarray(np.clip(np.clip(z, x - radius, x + radius), 0, 1))

    return project


def in_l2(radius: float) -> Project:
    def project(z: Vector, x: Vector) -> Vector:
        length = np.sqrt(((z - x) ** 2).sum())
        near = x + (z - x) * min(1.0, radius / max(length, 1e-300))
        return np.asarray(np.clip(near, 0, 1))

    return project


def in_l1(radius: float) -> Project:
    """The nearest point of ball and box: the threshold by bisection."""

    def project(z: Vector, x: Vector) -> Vector:
        def cut(by: float) -> Vector:
            delta = z - x
            near = x + np.sign(delta) * np.maximum(abs(delta) - by, 0)
            return np.asarray(np.clip(near, 0, 1)) - x

        low, high = 0.0, 1e3
        if abs(cut(0.0)).sum() <= radius:
            return x + cut(0.0)
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (low, middle) if abs(cut(middle)).sum() <= radius else (middle, high)
        return x + cut(high)

    return project


def count(delta: Vector) -> float:
    """Of elements that change, beyond rounding."""
    return float((abs(delta) > 1e-6 * abs(delta).max()).sum())


def along(norm: str, grad: Vector, most: int) -> Vector:
    if norm == "linf":
        return np.asarray(np.sign(grad))
    if norm == "l2":
        return np.asarray(grad / max(np.sqrt((grad**2).sum()), 1e-300))
    chosen = np.sign(grad) * (abs(grad) >= np.sort(abs(grad))[-most])
    return np.asarray(chosen / max(abs(chosen).sum(), 1))


def twin(
    norm: str, project: Project, start: Vector, x: Vector, y: int, steps: int, radius: float
) -> tuple[float, Vector, list[float]]:
    """The largest loss, where it is, and the step sizes in radii after each step."""
    longest = 1.0 if norm == "l1" else 2.0
    point = before = start
    value, grad = margin(point, y)
    best = (value, point, grad)
    found, size, sizes = best[:2], longest, []
    rises, last_best, halved, since, gap = 0, value, True, 0, max(int(0.22 * steps), 1)
    moved = count(start - x)
    most = max(int(min(0.2 * x.size, moved / 1.5)), 1)
    if norm == "l1":
        gap = max(int(0.04 * steps), 1)
    for step in range(steps):
        free = ~(((point <= 0) & (grad < 0)) | ((point >= 1) & (grad > 0)))
        ahead = project(point + size * radius * along(norm, grad * free, most), x)
        if step > 0 and norm != "l1":
            ahead = project(point + 0.75 * (ahead - point) + 0.25 * (point - before), x)
        point, before, old = ahead, point, value
        value, grad = margin(point, y)
        found = (value, point) if value > found[0] else found
        if step + 1 == steps:
            break
        best = (value, point, grad) if value > best[0] else best
        rises, since = rises + (value > old), since + 1
        if since == gap and norm != "l1":
            poor = rises <= 0.75 * gap or (not halved and best[0] <= last_best)
            if poor:
                size, point, before, grad = size / 2, best[1], best[1], best[2]
            halved, last_best, rises, since = poor, best[0], 0, 0
            gap = max(gap - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1))
        elif since == gap:
            now = count(best[1] - x)
            if now < 0.95 * moved:
                size, point, before, grad = longest, best[1], best[1], best[2]
            else:
                size = max(size / 1.5, 0.1)
            moved, most, since = now, max(int(now / 1.5), 1), 0
        sizes.append(size)
    return found[0], found[1], sizes


CASES = [("linf", Linf, in_linf, 0.3), ("l2", L2, in_l2, 0.39), ("l1", L1, in_l1, 1.1)]


@pytest.mark.parametrize(("norm", "ball", "project", "radius"), CASES)
@pytest.mark.parametrize("steps", [10, 45])
def test_every_sample_goes_the_way_of_its_twin(
    norm: str,
    ball: Callable[[float], Ball],
    project: Callable[[float], Project],
    radius: float,
    steps: int,
) -> None:
    x = torch.rand(12, 12, generator=torch.Generator().manual_seed(1)).double() * 0.2 + 0.4
    y, ids = model(x).argmax(1), list(range(40, 52))
    threat = Threat(ball=ball(radius), goal=Strongest(Untargeted()))
    found = APGD(steps=steps, loss="margin").run(model, x, y, threat, seed=3, ids=ids)
    starts = threat.sample(x, Draws(3, ids, "APGD", "margin", 0))
    lengths = set()
    for row in range(len(x)):
        value, point, sizes = twin(
            norm,
            project(radius),
            starts[row].numpy(),
            x[row].numpy(),
            int(y[row]),
            steps,
            radius,
        )
        at_x = margin(x[row].numpy(), int(y[row]))[0]
        assert float(found.loss[row]) == pytest.approx(max(value, at_x), abs=1e-7)
        if value > at_x:
            np.testing.assert_allclose(found.x_adv[row].numpy(), point, atol=1e-6)
        lengths.add(tuple(sizes))
    assert norm != "linf" or len(lengths) > 1, "all halve at once: nothing is shown"


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 33, 100, 1000])
def test_checkpoints_are_those_of_the_paper(steps: int) -> None:
    """p_j+1 = p_j + max(p_j - p_j-1 - 0.03, 0.06) from 0 and 0.22, within rounding."""
    found = sorted(pace.Halving(0.75).checkpoints(steps))
    assert found[0] == max(int(0.22 * steps), 1)
    assert found[-1] <= steps
    if steps < 100:
        return
    shares = [0.0, 0.22]
    while shares[-1] <= 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    paper = [share * steps for share in shares[1:-1]]
    assert found[: len(paper)] == pytest.approx(paper, abs=1.5)


def walk_at(best_x: Tensor, best_value: float, **state: Tensor) -> pace.Walk:
    """Two samples at 0 that have been at `best_x`."""
    zero = torch.zeros(2, 12).double()
    begun = pace.Walk.begin(zero, torch.zeros(2).double(), zero, zero, 2.0)
    value = torch.full((2,), best_value).double()
    return begun._replace(best_x=best_x, best_grad=best_x + 9, best_value=value, **state)


def test_a_step_is_halved_once_for_a_best_point_that_stays() -> None:
    best, both = torch.ones(2, 12).double(), torch.tensor([False, True])
    rising = torch.full((2,), 8.0).double()
    halving, x = pace.Halving(0.75), torch.zeros(2, 12).double()
    same = walk_at(best, 3.0, halved=both, checked=rising * 0 + 3, rises=rising)
    after = halving.check(same, x, 10)
    assert after.size.tolist() == [1.0, 2.0]
    assert torch.equal(after.x_adv[0], best[0])
    assert torch.equal(after.before[0], best[0])
    assert torch.equal(after.grad[0], best[0] + 9)
    assert torch.equal(after.x_adv[1], x[1])
    better = same._replace(checked=rising * 0 + 2)
    assert halving.check(better, x, 10).size.tolist() == [2.0, 2.0]
    seldom = better._replace(rises=torch.tensor([7.0, 8.0]).double())
    assert halving.check(seldom, x, 10).size.tolist() == [1.0, 2.0]
    fresh = walk_at(x, 0.0, rises=rising)
    assert halving.check(fresh, x, 10).size.tolist() == [2.0, 2.0], "none before the first"


def test_in_l1_a_sparser_best_point_is_gone_back_to_at_full_step() -> None:
    x = torch.zeros(2, 12).double()
    best = torch.zeros(2, 12).double()
    best[0, :6] = best[1, :9] = 1.0
    moved = torch.full((2,), 9.0).double()
    walk = walk_at(best, 3.0, moved=moved, size=torch.tensor([0.3, 0.12]).double())
    after = pace.Sparsity().check(walk, x, 4)
    assert after.size.tolist() == [1.0, 0.1]
    assert after.moves.tolist() == [4.0, 6.0]
    assert after.moved.tolist() == [6.0, 9.0]
    assert torch.equal(after.x_adv, torch.stack([best[0], x[1]]))
    assert torch.equal(after.grad[0], best[0] + 9)
