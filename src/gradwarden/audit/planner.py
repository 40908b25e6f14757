"""Finds what hides a model's gradient and the route of an attacker who gets to it all the same.

Source: Yao et al. 2021, arXiv:2102.11860 (search for adaptive attacks); Tramer et al. 2020,
arXiv:2002.08347.
Differs: the search is led by measured faults, one module at a time, and needs no rewritten model;
each part of the route is chosen by what a short search along it breaks.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.attack.chance import draws_by_itself
from gradwarden.audit.budgets import BUDGETS, Budget
from gradwarden.audit.case import Case, quiet, within
from gradwarden.audit.compose import improved
from gradwarden.audit.probe import Probe
from gradwarden.audit.route import Route, through
from gradwarden.audit.walls import Walls
from gradwarden.core.protocols import Attack, Patch
from gradwarden.core.records import Finding
from gradwarden.core.threat import Threat

ANSWERED = 256  # samples that those to diagnose are chosen from


class Adapted(NamedTuple):
    """What was found, and what an attack does about it."""

    findings: tuple[Finding, ...]
    route: Route
    open: tuple[Finding, ...]  # those of `findings` that nothing was done about
    hiding: tuple[Finding, ...]  # those that this or another attack goes around
    cures: frozenset[str]  # that the findings ask for
    others: tuple[Route, ...] = ()  # that broke nearly as much

    @property
    def patches(self) -> tuple[Patch, ...]:
        return self.route.patches

    def wrap(self, attack: Attack) -> Attack:
        """`attack`, along the route."""
        return self.route.wrap(attack)

    def applied(self, model: nn.Module) -> AbstractContextManager[None]:
        """Within, the gradient of `model` is open; its values stay as they are."""
        return self.route.applied(model)


def adapt(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    seed: int = 0,
    budget: Budget = BUDGETS["standard"],
    standing: Tensor | None = None,
    use_declared: bool = False,
) -> Adapted:
    """Diagnoses `model` on the first samples of x [N, ...], y [N], and goes around what it finds.

    Routes are tried on those of the samples in `standing` [N] bool (default: all), who fell to
    nothing yet.
    """
    left = torch.ones_like(y, dtype=torch.bool) if standing is None else standing
    rows = left.nonzero()[: budget.probed, 0]
    some = _answered(model, x, seed)[: budget.diagnosed]
    case = Case(model=model, x=x[some], y=y[some], threat=threat, seed=seed)
    random = draws_by_itself(model, x[some], seed)
    walls = Walls(case, use_declared, random, budget.lean)
    probe = Probe(model=model, x=x[rows], y=y[rows], threat=threat, seed=seed, random=random)
    opened = walls.open(probe)
    route = opened.route
    others: tuple[Route, ...] = ()
    if len(rows):
        route, others = improved(opened, walls, probe, budget)
    told = {_told(finding, route): finding for finding in opened.seen}
    open_, hiding = [], []
    for now, before in told.items():
        if now.cure == "nothing" or (now.check, now.module) in opened.left:
            open_.append(now)
        # Where the cure was tried and the model's own gradient finds as much, nothing is hidden.
        elif now.cure == "margin" or (now.cure != "not needed" and now != before):
            hiding.append(now)
    return Adapted(tuple(told), route, tuple(open_), tuple(hiding), opened.cures, others)


def _answered(model: nn.Module, x: Tensor, seed: int) -> Tensor:
    """Rows of x [N, ...] that the model answers with numbers; all, where there are none."""
    some = x[:ANSWERED]
    with torch.no_grad(), quiet(x, seed):
        fine = model(some.clone()).isfinite().all(1)
    return (fine if fine.any() else torch.ones_like(fine)).nonzero()[:, 0]


def _told(finding: Finding, route: Route) -> Finding:
    """With what the attack does about it in place of what one can do."""
    cure = finding.cure
    cut = cure in ("patch", "strip", "smooth")
    at = [p for p in route.patches if cut and _around(p, finding.module or "")]
    if at:
        return replace(finding, remedy=f"The attack went {through(at[-1])}.")
    if cure == "average" and route.draws > 1:
        return replace(finding, remedy=f"The attack followed the mean of {route.draws} draws.")
    if cure == "smooth" and route.sigma:
        says = f"The attack averaged the gradient over a neighbourhood of {route.sigma:.3g}."
        return replace(finding, remedy=says)
    if cure == "double" and route.double:
        return replace(finding, remedy="The attack computed in float64.")
    return finding


def _around(patch: Patch, module: str) -> bool:
    """Whether `patch` replaces the module, or one that holds it."""
    path = getattr(patch, "path", None)
    return path is not None and (path == module or within(module, path))
