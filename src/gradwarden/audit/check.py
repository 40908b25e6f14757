"""The shape of a diagnostic."""

from __future__ import annotations

from typing import ClassVar, Protocol

from gradwarden.audit.case import Case
from gradwarden.core.records import Finding

CURES = ("patch", "margin", "strip", "double", "smooth", "average", "nothing", "not needed")
SEEKS = ("ending", "draw", "probability", "module")


class Check(Protocol):
    """Frozen options and one method. `cure` says what an attacker does about its findings:

    "patch" the module at fault is replaced on the way back; "margin" another loss is climbed;
    "strip" probabilities are turned back into logits; "double" the gradient is taken in float64;
    "smooth" it is averaged over a neighbourhood; "average" over the model's own randomness;
    "nothing" the audit has no answer yet, so the findings stay open; "not needed" they only inform.

    `seeks` says which line of the module's code they are about: the "ending" of the gradient, a
    "draw" of random numbers, the making of a "probability", or the "module" and its forward.
    """

    cure: ClassVar[str]
    seeks: ClassVar[str]

    def check(self, case: Case) -> tuple[Finding, ...]: ...
