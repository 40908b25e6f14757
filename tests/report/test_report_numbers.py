"""Numbers, bars and colours: closed forms and hand-computed answers."""

from __future__ import annotations

import math
import re
from importlib import resources
from itertools import combinations

import pytest

from gradwarden.core.display import Row, Table
from gradwarden.core.estimate import Estimate
from gradwarden.report import bars, numbers


def estimate(low: float, value: float, high: float, bound: str = "", n: int = 5) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=n, bound=bound)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (0.69314, "0.693"),
        (-2.5, "\u22122.5"),
        (99.96, "100"),
        (1234.4, "1,234"),
        (0.00012345, "0.000123"),
        (0.000012345, "1.23\u00a0\u00d7\u00a010⁻⁵"),
        (1e-12, "10⁻¹²"),
        (-3.2e9, "\u22123.2\u00a0\u00d7\u00a010⁹"),
        (math.inf, "∞"),
        (-math.inf, "\u2212∞"),
        (math.nan, "NaN"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert numbers.number(value) == text


def test_percent_and_p_value() -> None:
    assert [numbers.percent(v) for v in (0.0, 0.915, 1.0, 0.9123)] == [
        "0\u00a0%",
        "91.5\u00a0%",
        "100\u00a0%",
        "91.2\u00a0%",
    ]
    assert [numbers.p_value(p) for p in (1e-9, 0.0123, 1.0)] == ["p < 0.001", "p = 0.012", "p = 1"]


def test_points() -> None:
    shares = (0.55, 0.01, 0.095, 0.0, -0.02)
    said = ["55 points", "1 point", "9.5 points", "0 points", "\u22122 points"]
    assert [numbers.points(v).replace("\u00a0", " ") for v in shares] == said


def test_effects_in_words() -> None:
    e = estimate(0.5, 0.693147, 0.9, bound="at least")
    assert numbers.effect(e, "log ratio") == "at least 0.693 log ratio"
    assert numbers.effect(estimate(1, 2, 3), "") == "2"
    assert numbers.interval(e, "log ratio") == "95\u00a0% interval 0.5 to 0.9, n = 5"
    assert numbers.interval(estimate(-math.inf, 1, math.inf, n=1), "") == "no interval, n = 1"
    assert numbers.ends(estimate(0.5, 1, math.inf), "") == "0.5 to ∞"


def test_a_share_is_said_in_percent() -> None:
    e = estimate(0.4, 0.6, math.inf)
    assert numbers.effect(e, "share of rates") == "60\u00a0% of rates"
    assert numbers.ends(e, "share of rates") == "40\u00a0% to ∞"
    assert numbers.quantity(0.5, "shares") == "0.5"
    assert (numbers.words("share of rates"), numbers.words("points")) == ("of rates", "points")


def test_a_log_ratio_is_also_a_factor() -> None:
    two = estimate(math.log(1.5), math.log(2), math.log(3))
    assert numbers.factor(two, "log ratio") == "a factor of 2 (1.5 to 3)"
    assert numbers.factor(two, "points") == ""
    assert numbers.factor(estimate(-math.inf, 0.0, math.inf), "log ratio") == "a factor of 1"
    assert numbers.factor(estimate(0, 1e9, 2e9), "log ratio") == ""
    assert numbers.factor(estimate(0, 0, 800), "log ratio") == "a factor of 1 (1 to ∞)"


def test_columns_of_numbers_are_found() -> None:
    cells = [("a", "1", "≥ 45", "\u2013", "x1"), ("2", "\u22123.5 %", "11 of 30", "∞", "2")]
    table = Table(title="", columns=("a",) * 5, rows=tuple(Row(cells=c) for c in cells))
    assert numbers.numeric(table) == [False, True, True, True, False]


def test_a_bar_has_the_null_in_the_middle_and_reaches_its_edge() -> None:
    bar = bars.around(estimate(24.3, 36.7, 50.0), null=0.0, smallest=10.0)
    assert bar.null == 50
    assert (bar.low, bar.value, bar.high) == (72.84, 84.5, 97.0)
    assert bar.zone == (40.6, 59.4)
    mirrored = bars.around(estimate(-50.0, -36.7, -24.3), null=0.0, smallest=10.0)
    assert (mirrored.low, mirrored.value) == (3.0, 15.5)


def test_a_bar_without_end_is_open_and_one_without_extent_is_drawn() -> None:
    bar = bars.around(estimate(-math.inf, 1.0, math.inf), null=0.0, smallest=0.0)
    assert (bar.low, bar.high, bar.open_low, bar.open_high) == (3.0, 97.0, True, True)
    assert bar.zone is None
    assert bars.around(estimate(2.0, 2.0, 2.0), null=2.0, smallest=0.0).value == 50


def test_a_shifted_null() -> None:
    bar = bars.around(estimate(-0.01, 0.0, 0.01), null=-0.02, smallest=0.0)
    assert bar.low > 50
    assert bar.high == 97


def test_shares_lie_on_their_axis() -> None:
    bar = bars.share(estimate(0.134, 0.185, 0.246), mark=0.9)
    assert (bar.low, bar.value, bar.high, bar.null) == (13.4, 18.5, 24.6, 90)


# ---- colours: read from the style sheet, checked against published formulas ----

Rgb = tuple[float, float, float]


def styles() -> dict[str, tuple[Rgb, Rgb]]:
    css = (resources.files("gradwarden.report") / "templates" / "style.css").read_text()
    found = re.findall(r"--([\w-]+): light-dark\(#(\w{6}), #(\w{6})\)", css)
    return {name: (linear(a), linear(b)) for name, a, b in found}


def linear(code: str) -> Rgb:
    """sRGB hex -> linear light. Source: IEC 61966-2-1."""
    parts = [int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return r, g, b


def contrast(a: Rgb, b: Rgb) -> float:
    """Source: WCAG 2.2, relative luminance and contrast ratio."""
    light = [0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2] + 0.05 for c in (a, b)]
    return max(light) / min(light)


# Linear light seen with one kind of cone missing. Source: Machado, Oliveira & Fernandes 2009,
# IEEE TVCG 15(6), severity 1.0.
BLIND = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
}


def lab(colour: Rgb, kind: str) -> Rgb:
    """CIE 1976 L*a*b* at D65 of what is seen."""
    r, g, b = (
        min(1.0, max(0.0, sum(m * c for m, c in zip(row, colour, strict=True))))
        for row in BLIND[kind]
    )
    xyz = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089,
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(scheme: int) -> None:
    c = {name: pair[scheme] for name, pair in styles().items()}
    for ground in ("ground", "raised"):
        for text in ("ink", "soft", "link"):
            assert contrast(c[text], c[ground]) >= 4.5, (text, ground)
    for tone in ("yes", "no", "open"):
        assert contrast(c[tone], c[f"{tone}-ground"]) >= 4.5, tone
        assert contrast(c[tone], c["ground"]) >= 4.5, tone
    for i in range(8):
        assert contrast(c[f"s{i}"], c["ground"]) >= 3, i


@pytest.mark.parametrize("kind", BLIND)
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_first_series_differ_for_every_eye(scheme: int, kind: str) -> None:
    """Later ones differ by marker too; 12 is about five times a just noticeable difference."""
    seen = [lab(styles()[f"s{i}"][scheme], kind) for i in range(5)]
    assert min(math.dist(a, b) for a, b in combinations(seen, 2)) > 12
