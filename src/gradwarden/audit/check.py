"""The shape of a diagnostic."""

from __future__ import annotations

from typing import ClassVar, Protocol

from gradwarden.audit.case import Case
from gradwarden.core.records import Finding


class Check(Protocol):
    """Frozen options and one method. `cure` says what an attacker does about its findings:

    "patch" the module at fault is replaced on the way back; "margin" another loss is climbed;
    "smooth" the gradient is averaged over a neighbourhood; "nothing" the audit has no answer yet,
    so the findings stay open; "not needed" they only inform.
    """

    cure: ClassVar[str]

    def check(self, case: Case) -> tuple[Finding, ...]: ...
