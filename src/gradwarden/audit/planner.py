"""Finds what hides a model's gradient and picks patches that give it back.

Source: Yao et al. 2021, arXiv:2102.11860 (search for adaptive attacks); Tramer et al. 2020,
arXiv:2002.08347.
Differs: the search is led by measured faults, one module at a time, and needs no rewritten model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib import import_module
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.attack.bpda import BPDA, Surrogate
from gradwarden.attack.pgd import PGD
from gradwarden.attack.straight_through import StraightThrough
from gradwarden.audit.case import Call, Case
from gradwarden.audit.check import Check
from gradwarden.core.protocols import Attack, Patch
from gradwarden.core.records import Finding
from gradwarden.core.threat import Threat

ROUNDS = 12  # patches at most; a model with more walls than that stays unresolved
ALIKE = 0.5  # correlation of a module's input and output that makes the identity a stand-in
PROBE = PGD(steps=10, step_size=0.25, loss="margin")


class Adapted(NamedTuple):
    """What was found, and what an attack does about it."""

    findings: tuple[Finding, ...]
    patches: tuple[Patch, ...]
    open: tuple[Finding, ...]  # those of `findings` that nothing was done about
    status: str  # "nothing hidden", "patched", "margin" or "unresolved"

    def wrap(self, attack: Attack) -> Attack:
        """`attack`, run under the patches."""
        return BPDA(attack=attack, patches=self.patches) if self.patches else attack

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Within, the gradient of `model` is open; its values stay as they are."""
        with ExitStack() as stack:
            for patch in self.patches:
                stack.enter_context(patch.applied(model))
            yield


def adapt(
    model: nn.Module, x: Tensor, y: Tensor, threat: Threat, *, seed: int = 0, samples: int = 64
) -> Adapted:
    """Diagnoses `model` on the first `samples` of x [N, ...], y [N], and patches what it finds."""
    x, y = x[:samples], y[:samples]
    found: dict[tuple[str, str | None], tuple[Finding, str]] = {}
    patches: list[Patch] = []
    for _ in range(ROUNDS):
        with _under(model, patches):
            case = Case(model=model, x=x, y=y, threat=threat, seed=seed, covered=_covered(patches))
            seen = [
                (finding, check.cure)
                for check in checks()
                if not (patches and check.cure == "not needed")  # a patch is a straight-through too
                for finding in check.check(case)
            ]
        for finding, cure in seen:
            found.setdefault((finding.check, finding.module), (finding, cure))
        walls = [finding for finding, cure in seen if cure == "patch"]
        step = next(((w, p) for w in walls if (p := _patch(case, w, patches)) is not None), None)
        if step is None:
            break
        wall, patch = step
        patches.append(patch)
        through = f"The attack went through {patch!r}."
        for key, (finding, cure) in found.items():
            if finding.module == wall.module and cure == "patch":
                found[key] = replace(finding, remedy=through), cure
    left = {(w.check, w.module) for w in walls}
    open_ = [f for key, (f, cure) in found.items() if cure == "nothing" or key in left]
    cures = {cure for _, cure in found.values()}
    if open_:
        status = "unresolved"
    elif patches:
        status = "patched"
    else:
        status = "margin" if "margin" in cures else "nothing hidden"
    return Adapted(tuple(f for f, _ in found.values()), tuple(patches), tuple(open_), status)


def checks() -> tuple[Check, ...]:
    """Every diagnostic with its default options: those that audit/checks/__init__.py lists."""
    listed = import_module("gradwarden.audit.checks")
    return tuple(getattr(listed, name)() for name in listed.__all__)


@contextmanager
def _under(model: nn.Module, patches: Sequence[Patch]) -> Iterator[None]:
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch.applied(model))
        yield


def _covered(patches: Sequence[Patch]) -> tuple[str, ...]:
    """What lies inside a module that is replaced as a whole needs no patch of its own."""
    return tuple(patch.path for patch in patches if isinstance(patch, Surrogate))


def _patch(case: Case, wall: Finding, patches: Sequence[Patch]) -> Patch | None:
    """The best patch for the module at fault, or for the smallest one around it that has any."""
    path = wall.module
    while path is not None:
        working = [p for p in _candidates(case, path) if _works(case, path, [*patches, p])]
        new = [p for p in working if p not in patches]
        if new:
            return max(new, key=lambda p: _probe(case, [*patches, p])) if len(new) > 1 else new[0]
        path = path.rpartition(".")[0] if path else None
    return None


def _candidates(case: Case, path: str) -> list[Patch]:
    call = case.calls.get(path)
    if call is None:
        return []
    whole: list[Patch] = [Surrogate(path)] if path and _alike(call) else []
    return [*whole, StraightThrough(path)]


def _alike(call: Call) -> bool:
    """Whether the identity may stand in for the module."""
    pair = call.plain
    if pair is None:
        return False
    given, out = (tensor.double().flatten() - tensor.double().mean() for tensor in pair)
    size = given.norm() * out.norm()
    return bool(size > 0 and given @ out >= ALIKE * size)


def _works(case: Case, path: str, patches: Sequence[Patch]) -> bool:
    """Whether the module at `path` gives a gradient to at least half of the samples."""
    with _under(case.model, patches):
        slope = Case(
            model=case.model, x=case.x, y=case.y, threat=case.threat, seed=case.seed
        ).slope(path)
    return slope is not None and slope.share < 0.5


def _probe(case: Case, patches: Sequence[Patch]) -> tuple[int, float]:
    attack = BPDA(attack=PROBE, patches=tuple(patches))
    found = attack.run(case.model, case.x, case.y, case.threat, seed=case.seed)
    return int(found.success.sum()), float(torch.nan_to_num(found.margin).double().mean())
