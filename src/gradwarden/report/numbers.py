"""Numbers as a reader wants them: three significant digits, a true minus, intervals in words."""

from __future__ import annotations

import math
import re

from gradwarden.core.display import Table
from gradwarden.core.estimate import Estimate

MINUS = "\N{MINUS SIGN}"
SHARE = "share "
NBSP = "\N{NO-BREAK SPACE}"
TIMES = "\N{MULTIPLICATION SIGN}"
DASHES = "-\N{EN DASH}\N{EM DASH}"
NUMBER = re.compile(rf"(?:[<>≤≥≈~{TIMES}]\s?)?[-+±{MINUS}]?(?:\d|∞|NaN)|$|[{DASHES}]$")
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits; "∞" and "NaN" where it is not finite."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-4:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
        text = power if float(mantissa) == 1 else f"{float(mantissa):g}{NBSP}{TIMES}{NBSP}{power}"
    elif size >= 10 ** (digits - 1):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{digits}g}"
    return "0" if text == "-0" else text.replace("-", MINUS)


def percent(share: float) -> str:
    """A share in [0, 1] as "91.2 %"."""
    return f"{_hundredths(share)}{NBSP}%"


def points(share: float) -> str:
    """A difference of two shares as "1 point" or "12.5 points"."""
    said = _hundredths(share)
    return f"{said}{NBSP}point{'' if said == '1' else 's'}"


def _hundredths(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0").replace("-", MINUS)


def p_value(p: float) -> str:
    """ "p < 0.001", or "p = 0.012"."""
    return "p < 0.001" if p < 1e-3 else f"p = {number(p, 2)}"


def span(low: str, high: str) -> str:
    return f"{low} to {high}"


def quantity(value: float, unit: str) -> str:
    """`value` as its unit wants it: a share in percent, all else as a number."""
    shared = unit.startswith(SHARE) and math.isfinite(value)
    return percent(value) if shared else number(value)


def words(unit: str) -> str:
    """The unit after the number: "0.6", "share of rates" is said as "60 %", "of rates"."""
    return unit.removeprefix(SHARE).strip()


def effect(estimate: Estimate, unit: str) -> str:
    """ "at least 0.69 log ratio", "60 % of rates"."""
    said = (estimate.bound, quantity(estimate.value, unit), words(unit))
    return " ".join(word for word in said if word)


def ends(estimate: Estimate, unit: str) -> str:
    """ "0.52 to 0.86"; one observation has no interval."""
    if math.isinf(estimate.low) and math.isinf(estimate.high):
        return "no interval"
    return span(quantity(estimate.low, unit), quantity(estimate.high, unit))


def interval(estimate: Estimate, unit: str) -> str:
    """ "95 % interval 0.52 to 0.86, n = 5"."""
    said = ends(estimate, unit)
    return f"{said if said == 'no interval' else f'95{NBSP}% interval {said}'}, n = {estimate.n}"


def factor(estimate: Estimate, unit: str) -> str:
    """What a natural log ratio is as a factor; "" for every other unit."""
    if unit != "log ratio" or abs(estimate.value) > 100:
        return ""
    value = number(math.exp(estimate.value))
    if math.isinf(estimate.low) or math.isinf(estimate.high):
        return f"a factor of {value}"
    low, high = (number(_exp(v)) for v in (estimate.low, estimate.high))
    return f"a factor of {value} ({span(low, high)})"


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def accuracy(estimate: Estimate) -> str:
    """ "91.2 % (88.4 % to 93.5 %)"."""
    return f"{percent(estimate.value)} ({span(percent(estimate.low), percent(estimate.high))})"


def numeric(table: Table) -> list[bool]:
    """For each column, whether it holds numbers, to be set flush right; the first names rows."""
    flags = []
    for i in range(len(table.columns)):
        cells = [row.cells[i] for row in table.rows if i < len(row.cells)]
        flags.append(i > 0 and bool(cells) and all(NUMBER.match(cell) for cell in cells))
    return flags
