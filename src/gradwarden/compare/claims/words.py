"""How estimates are written out, and how parts make up a whole answer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradwarden.core.comparison import Answer
from gradwarden.core.display import Table
from gradwarden.core.estimate import Estimate, answer

TRAIN, ATTACK = "gradwarden compare lstm-text", "gradwarden compare digits-cnn"
REPRODUCE = {"clipping": TRAIN, "masking": ATTACK, "hardening": ATTACK}  # by what a claim is about


def number(value: float) -> str:
    """Three significant digits, "infinity" where there is no bound."""
    if math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.2e}"


def plain(e: Estimate, unit: str = "") -> str:
    """ "0.31 [0.12, 0.5] per step"."""
    return f"{_bound(e)}{number(e.value)}{unit} [{number(e.low)}, {number(e.high)}]"


def times(e: Estimate) -> str:
    """A log ratio as a factor: "1.41 times [1.1, 1.8]"."""
    low, high = _exp(e.low), _exp(e.high)
    return f"{_bound(e)}{number(_exp(e.value))} times [{number(low)}, {number(high)}]"


def share(e: Estimate) -> str:
    """A proportion in percent: "93 % [88, 96]"."""
    if math.isinf(e.high - e.low):
        return f"{100 * e.value:.0f} % (no interval from one net or seed)"
    return f"{_bound(e)}{100 * e.value:.0f} % [{100 * e.low:.0f}, {100 * e.high:.0f}]"


def points(e: Estimate) -> str:
    """A difference of proportions in percentage points: "30 points [18, 42]"."""
    if math.isinf(e.high - e.low):
        return f"{round(100 * e.value)} points (no interval from one net or seed)"
    value, low, high = (round(100 * v) for v in (e.value, e.low, e.high))
    return f"{value} points [{low}, {high}]"


def shown(answer: Answer) -> str:
    """The effect in a few words, "" where there is none: "12 points [3, 20]"."""
    if answer.effect is None:
        return ""
    if answer.unit == "log ratio":
        return times(answer.effect)
    if answer.scale == "share" or "restored" in answer.unit:
        return share(answer.effect)
    return points(answer.effect) if "share" in answer.unit else plain(answer.effect)


def _bound(e: Estimate) -> str:
    return f"{e.bound} " if e.bound else ""


def _exp(v: float) -> float:
    return math.exp(v) if v < 700 else math.inf


def overall(parts: Sequence[Answer]) -> str:
    """What all parts say; where they disagree, the claim as a whole is open."""
    said = {part.answer for part in parts}
    return said.pop() if len(said) == 1 else "open" if said else "not run"


def judged(
    *,
    id: str,
    claim: str,
    about: str,
    says: str,
    how: str,
    effect: Estimate,
    null: float,
    smallest: float,
    unit: str,
    table: Table | None = None,
    figures: tuple[str, ...] = (),
    subject: str = "",
    scale: str = "mean",
) -> Answer:
    """The answer that `effect` gives."""
    return Answer(
        id=id,
        claim=claim,
        answer=answer(effect, null=null, smallest=smallest),
        says=says,
        how=how,
        effect=effect,
        null=null,
        smallest=smallest,
        unit=unit,
        about=about,
        table=table,
        figures=figures,
        command=REPRODUCE[about],
        subject=subject,
        scale=scale,
    )


def from_parts(
    *,
    id: str,
    claim: str,
    about: str,
    says: str,
    how: str,
    parts: tuple[Answer, ...],
    table: Table | None = None,
    figures: tuple[str, ...] = (),
) -> Answer:
    """A claim that holds only where each of its parts does."""
    return Answer(
        id=id,
        claim=claim,
        answer=overall(parts),
        says=says,
        how=how,
        effect=None,
        null=0.0,
        smallest=0.0,
        unit="",
        about=about,
        parts=parts,
        table=table,
        figures=figures,
        command=REPRODUCE[about],
    )


def not_run(id: str, claim: str, about: str, why: str) -> Answer:
    return Answer(
        id=id,
        claim=claim,
        answer="not run",
        says=f"Not run: {why}.",
        how="",
        effect=None,
        null=0.0,
        smallest=0.0,
        unit="",
        about=about,
        command=REPRODUCE[about],
    )
