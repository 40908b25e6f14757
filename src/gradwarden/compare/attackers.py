"""Who meets a defence: those who follow its own gradient, then those who go around what hides it.

Source: Tramer et al. 2020, arXiv:2002.08347 (adaptive attacks); Carlini et al. 2019,
arXiv:1902.06705, sec. 4 (what fell to any attack has fallen).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.attack.apgd import APGD
from gradwarden.attack.ledger import run_cascade
from gradwarden.audit.budgets import BUDGETS, NAIVE
from gradwarden.audit.planner import Adapted, adapt
from gradwarden.audit.radii import resized
from gradwarden.compare.results import both
from gradwarden.core.ledger_record import Ledger
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat

# Averages cost nine times as much, and fitted stand-ins four times: what they add to one that
# opens the model is for the audit to find.
LEAN = replace(BUDGETS["quick"], lean=True)
ADAPTIVE = (APGD(loss="margin", steps=20), APGD(steps=20, start="clean"))
FACTORS = (0.25, 0.5, 1.0, 2.0)  # of the task's radius, on the curve
CURVE_IMAGES = 100


class Met(NamedTuple):
    """The same samples under each attacker; "1" in a text is a sample that stands."""

    adapted: Adapted
    fgsm: str
    pgd: str
    all: Ledger  # under every attack
    x_adv: Tensor  # [N, ...] where a sample fell, else the point that came nearest

    @property
    def adaptive(self) -> str:
        return right(self.all)


def met(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, *, seed: int) -> Met:
    """x [N, ...], y [N] under FGSM, PGD, and the adaptive attacks on those who stand."""
    (fgsm, near), (pgd, x_adv) = (
        run_cascade(model, x, y, threat, [attack], seed=seed) for attack in NAIVE
    )
    alone = _fell(fgsm) & ~_fell(pgd)
    x_adv[alone] = near[alone]
    naive = pgd.then(fgsm, range(len(y)))
    standing = ~_fell(naive).to(y.device)
    adapted = adapt(model, x, y, threat, seed=seed, budget=LEAN, standing=standing)
    found, rows, points = _strong(model, x, y, threat, adapted, standing, seed)
    if found is not None:
        naive, x_adv[rows] = naive.then(found, rows.tolist()), points
    return Met(adapted, right(fgsm), right(pgd), naive, x_adv)


def curve(
    model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seen: Met, *, seed: int
) -> Iterator[tuple[float, float]]:
    """Accuracy of the first samples at each radius under the naive and under all attacks.

    `seen` is what `met` found at the radius of `threat`.
    """
    x, y = x[:CURVE_IMAGES], y[:CURVE_IMAGES]
    for sized in sizes(threat):
        if sized == threat:
            naive = both(seen.fgsm, seen.pgd)[: len(y)]
            yield naive.count("1") / len(y), seen.adaptive[: len(y)].count("1") / len(y)
            continue
        fell = _fell(run_cascade(model, x, y, sized, NAIVE, seed=seed)[0]).to(y.device)
        found, _, _ = _strong(model, x, y, sized, seen.adapted, ~fell, seed)
        standing = 0 if found is None else right(found).count("1")
        yield float((~fell).double().mean()), standing / len(y)


def sizes(threat: Threat) -> list[Threat]:
    """`threat` at the radii of the curve; none where the ball has no size of its own."""
    found = [resized(threat, factor) for factor in FACTORS]
    return [sized for sized in found if sized is not None]


def right(ledger: Ledger) -> str:
    return "".join("1" if broken is None else "0" for broken in ledger.broken)


def _strong(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    adapted: Adapted,
    standing: Tensor,
    seed: int,
) -> tuple[Ledger | None, Tensor, Tensor]:
    """The adaptive attacks on those of x in `standing` [N] bool, if any -> their rows, points."""
    rows = standing.nonzero()[:, 0]
    if not len(rows):
        return None, rows, x[rows]
    strong: list[Attack] = [adapted.wrap(attack) for attack in ADAPTIVE]
    found, points = run_cascade(
        model, x[rows], y[rows], threat, strong, seed=seed, ids=rows.tolist()
    )
    return found, rows, points


def _fell(ledger: Ledger) -> Tensor:
    """[N] bool."""
    return torch.tensor([broken is not None for broken in ledger.broken])
