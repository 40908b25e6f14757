"""Every published sign, read off one model."""

from __future__ import annotations

from importlib import import_module

from gradwarden.audit.case import Case
from gradwarden.audit.indicators.indicator import Sign
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


def signs() -> tuple[Sign, ...]:
    """Those that audit/indicators/__init__.py lists, with their default options, by source."""
    listed = import_module("gradwarden.audit.indicators")
    found: list[Sign] = [getattr(listed, name)() for name in listed.__all__]
    return tuple(sorted(found, key=lambda sign: (sign.source, sign.name)))


def read(case: Case) -> tuple[Indicator, ...]:
    """One record a sign; what several of them look at is asked of the model once.

    `case` holds few samples, 64 are enough. Nothing is raised for a model that cannot be measured.
    """
    tried = Tried(case=case)
    return tuple(sign.check(tried) for sign in signs())
