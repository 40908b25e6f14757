"""The modules of a model in the order in which they are called, and what the audit says of each."""

from __future__ import annotations

from collections.abc import Sequence

from gradwarden.audit.case import Case
from gradwarden.audit.diagnose import forward_line
from gradwarden.core.examination import Link
from gradwarden.core.protocols import Patch
from gradwarden.core.records import Finding


def chain(case: Case, findings: Sequence[Finding], patches: Sequence[Patch]) -> tuple[Link, ...]:
    """One link a module that `case` saw called, those of torch that only hold others left out."""
    around = {getattr(patch, "path", None) for patch in patches}
    links = []
    for path in case.calls:
        module = case.modules[path]
        here = [finding for finding in findings if finding.module == path]
        checks = tuple(dict.fromkeys(finding.check for finding in here))
        line = forward_line(module)
        if checks or path in around or line or not any(module.children()):
            links.append(
                Link(
                    module=path,
                    kind=type(module).__name__,
                    line=line,
                    checks=checks,
                    hides=tuple(dict.fromkeys(f.check for f in here if f.cure != "not needed")),
                    patched=path in around,
                )
            )
    return tuple(links)
