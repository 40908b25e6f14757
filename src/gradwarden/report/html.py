"""Records as one HTML page each: self-contained, offline, no request leaves it.

Every text of a record is escaped, and a content security policy lists the hashes of the page's own
two scripts, so that no other script runs even where escaping failed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from gradwarden.core.comparison import Comparison
from gradwarden.core.errors import BadInput
from gradwarden.core.examination import Examination
from gradwarden.core.provenance import combined
from gradwarden.report import audit_view, bars, numbers, view

if TYPE_CHECKING:
    from jinja2 import Environment


def render(record: object) -> str:
    """The page of a Comparison or an Examination. Raises BadInput for what has no page."""
    if isinstance(record, Comparison):
        page = view.page(record)
        return _filled(
            "comparison.html",
            record.origin.sources,
            page=page,
            record=record,
            plots=bool(record.figures),
            sheets=("style.css", "matrix.css"),
        )
    if isinstance(record, Examination):
        return _filled(
            "examination.html",
            record.origin.sources,
            page=audit_view.page(record),
            record=record,
            plots=bool(record.figures),
            sheets=("style.css", "audit.css"),
        )
    raise BadInput(
        f"there is no page for {type(record).__name__}, expected a Comparison or an Examination: "
        "write it as .json"
    )


def _filled(
    template: str,
    sources: Mapping[str, str],
    sheets: Sequence[str] = ("style.css",),
    **context: Any,
) -> str:
    scripts = [_text("page.js"), _plotly()] if context["plots"] else [_text("page.js")]
    return (
        _environment()
        .get_template(template)
        .render(
            **context,
            style="\n".join(_text(sheet) for sheet in sheets),
            scripts=scripts,
            script_hashes=[_hash(script) for script in scripts],
            sources_hash=combined(dict(sources)),
        )
        .strip()
        + "\n"
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gradwarden.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"bars": bars, "n": numbers}
    return environment


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _text(name: str) -> str:
    return (resources.files("gradwarden.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
