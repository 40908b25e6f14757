"""What may stand in for a module that hides the gradient.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 4 (BPDA); Yao et al. 2021, arXiv:2102.11860.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradwarden.attack.bpda import Surrogate
from gradwarden.attack.straight_through import StraightThrough
from gradwarden.audit.case import Call, Case
from gradwarden.audit.stand_ins.clean_slope import clean_slope
from gradwarden.audit.stand_ins.fitted import fitted
from gradwarden.audit.stand_ins.linear import linear
from gradwarden.audit.stand_ins.near import StandIn
from gradwarden.audit.stand_ins.softened import softened
from gradwarden.core.protocols import Patch, Surrogated

ALIKE = 0.5  # correlation of a module's input and output that makes the identity a stand-in


def cheap(case: Case, path: str, use_declared: bool) -> Iterator[Patch]:
    """Patches for the module at `path` that need no training; a probe says whether any helps.

    `use_declared`: a stand-in that the module names itself is one of them.
    """
    call = case.calls.get(path)
    if call is None:
        return
    module = case.model.get_submodule(path)
    if use_declared and path and isinstance(module, Surrogated):
        yield Surrogate(path, module.surrogate())
    if path and _alike(call):
        yield Surrogate(path)
    yield StraightThrough(path)
    for softer in (softened(case, path), clean_slope(case, path) if path else None):
        if softer is not None:
            yield softer


def learnt(case: Case, path: str, random: bool) -> Iterator[StandIn]:
    """Patches that are made from what the module does; each takes a second or two.

    Secants ask the module anew at every point, which is too dear where each question has to be
    averaged: for a model that draws (`random`) there are none.
    """
    if path in case.calls:
        for found in (fitted(case, path) if path else None, None if random else linear(case, path)):
            if found is not None:
                yield found


def _alike(call: Call) -> bool:
    """Whether the identity may stand in for the module."""
    pair = call.plain
    if pair is None:
        return False
    given, out = (tensor.double().flatten() - tensor.double().mean() for tensor in pair)
    size = given.norm() * out.norm()
    return bool(size > 0 and given @ out >= ALIKE * size)
