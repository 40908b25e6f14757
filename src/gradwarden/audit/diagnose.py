"""Runs one diagnostic, and adds to what it finds the class and the line of code at fault."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from dataclasses import replace
from types import CodeType

from torch import nn

from gradwarden.audit.case import Case
from gradwarden.audit.check import Check
from gradwarden.audit.trace import Ending, Trace, foreign, trace
from gradwarden.core.records import Finding

HEADS = ("softmax", "log_softmax", "sigmoid", "softmin", "logsigmoid", "exp")


def diagnose(case: Case, check: Check) -> tuple[Finding, ...]:
    """The findings of `check`, each with `kind`, `cure` and `line` ("file.py:12").

    The line is that of the call which `check` seeks, or where there is none, of the module's
    forward; "" where that is torch's own, or no Python code (`torch.jit`).
    """
    return tuple(_placed(case, check, finding) for finding in check.check(case))


def forward_line(module: nn.Module) -> str:
    """ "file.py:12" of the module's forward; "" where that is torch's, or no Python code."""
    code = getattr(inspect.unwrap(module.forward), "__code__", None)
    if not isinstance(code, CodeType) or foreign(code.co_filename):
        return ""
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"


def _placed(case: Case, check: Check, finding: Finding) -> Finding:
    module = case.modules[finding.module or ""]
    line = finding.line
    if not line and check.seeks != "module" and (finding.module or "") in case.calls:
        line = _line(check.seeks, trace(case, finding.module or ""))
    kind, where = type(module).__name__, line or forward_line(module)
    return replace(finding, kind=kind, line=where, cure=finding.cure or check.cure)


def _line(seeks: str, seen: Trace) -> str:
    if seeks == "draw":
        return next(filter(None, seen.draws), "")
    if seeks == "probability":
        return next((line for name, line in reversed(seen.calls) if name in HEADS and line), "")
    # A block without gradients may be the forward of an autograd Function: then its backward tells.
    ends = [end for end in seen.endings if end.line]
    open_ = [end for end in ends if not end.call.endswith("no_grad")]
    return seen.raised or _worst(open_) or seen.backward or _worst(ends)


def _worst(ends: Sequence[Ending]) -> str:
    """The line of the first that loses most, and could have passed a gradient on."""
    return max(ends, key=lambda end: (end.soft, end.share)).line if ends else ""
