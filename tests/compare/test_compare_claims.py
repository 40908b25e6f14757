"""Made-up runs that lead to each answer of each claim."""

import math

import pytest
from made_up_runs import PICKS, defended, grown, ladder, lost, reaching, trained

from gradwarden.compare.claims import (
    c0_growth,
    c1_divergence,
    c2_rates,
    c3_speed,
    c4_quality,
    h2_control,
    m1_followers,
    m2_security,
)
from gradwarden.compare.claims.security import saved
from gradwarden.compare.results import Defended, Result, Results, Trained
from gradwarden.core.comparison import Answer

SEEDS = range(5)


def jitter(seed: int, size: float = 0.01) -> float:
    return size * (seed - 2)


# C0


@pytest.mark.parametrize(
    ("slopes", "answer"),
    [
        ([0.5] * 5, "supported"),
        ([-0.5] * 5, "refuted"),
        ([0.5, -0.5, 0.5, -0.5, 0.1], "open"),
        ([0.001 + 0.0001 * s for s in SEEDS], "open"),  # certain, but too small to matter
    ],
)
def test_c0(slopes: list[float], answer: str) -> None:
    runs = [grown(slope, seed) for seed, slope in enumerate(slopes)]
    assert c0_growth.judge(Results(runs)).answer == answer


def test_c0_is_open_where_settings_disagree() -> None:
    runs = [grown(0.5, seed) for seed in SEEDS] + [
        grown(-0.5, seed, along="depth") for seed in SEEDS
    ]
    found = c0_growth.judge(Results(runs))
    assert found.answer == "open"
    assert [part.answer for part in found.parts] == ["supported", "refuted"]
    assert c0_growth.judge(Results([])).answer == "not run"


# C1


def divergence(without: float, with_: float) -> Answer:
    runs = [
        run
        for seed in SEEDS
        for rule, edge in (("", without), ("Clip", with_))
        for run in ladder(rule, seed, edge)
    ]
    return c1_divergence.judge(Results(runs), PICKS)


@pytest.mark.parametrize(
    ("without", "with_", "answer"),
    [
        (1.0, 16.0, "supported"),
        (16.0, 1.0, "refuted"),
        (4.0, 4.0, "open"),
        (4.0, 8.0, "open"),  # one rung: no more than the ladder can tell
    ],
)
def test_c1(without: float, with_: float, answer: str) -> None:
    assert divergence(without, with_).answer == answer


def test_c1_says_what_happened() -> None:
    found = divergence(1.0, 16.0)
    assert "Of 25 pairs of runs, 20 diverged without clipping (20" in found.says
    assert " 0 with it" in found.says
    only_clipped = Results(ladder("Clip", 0, 4.0))
    assert c1_divergence.judge(only_clipped, PICKS).answer == "not run"


def test_c1_counts_plain_sgd_and_names_the_others() -> None:
    runs = [
        run
        for seed in SEEDS
        for rule in ("", "Clip")
        for run in ladder(rule, seed, 16.0)
        + ladder(rule, seed, 16.0 if rule else 1.0, optimizer="AdamW")
    ]
    found = c1_divergence.judge(Results(runs), PICKS)
    assert found.answer == "open"
    assert "With AdamW: 20 against 0 of 25." in found.says


# C2


def rates(edges: dict[str, list[float]], coefficient: float = 1.0) -> Answer:
    runs = [
        run
        for rule, each in edges.items()
        for seed, edge in enumerate(each)
        for run in ladder(rule, seed, edge, coefficients=((coefficient if rule else 1.0),) * 100)
    ]
    return c2_rates.judge(Results(runs), PICKS)


@pytest.mark.parametrize(
    ("without", "with_", "coefficient", "answer"),
    [
        ([1.0] * 5, [8.0] * 5, 1.0, "supported"),
        ([8.0] * 5, [1.0] * 5, 1.0, "refuted"),
        ([4.0] * 5, [4.0] * 5, 1.0, "open"),
        ([4.0] * 5, [8.0] * 5, 1.0, "open"),  # one rung: no more than the ladder can tell
        ([1.0] * 5, [8.0] * 5, 0.125, "open"),  # a larger rate in name only
        ([1.0] * 5, [16.0] * 5, 1.0, "supported"),  # "at least" does no harm to support
        ([0.5] * 5, [8.0] * 5, 1.0, "supported"),  # not even the lowest rate holds without
        ([16.0] * 5, [1.0] * 5, 1.0, "refuted"),
    ],
)
def test_c2(without: list[float], with_: list[float], coefficient: float, answer: str) -> None:
    assert rates({"": without, "Clip": with_}, coefficient).answer == answer


def test_c2_bounds() -> None:
    assert "at least 16 times" in rates({"": [1.0] * 5, "Clip": [16.0] * 5}).says
    assert "at most 0.0625 times" in rates({"": [16.0] * 5, "Clip": [1.0] * 5}).says
    beyond = rates({"": [16.0] * 5, "Clip": [16.0] * 5})  # nobody's edge was found
    assert beyond.answer == "not run"
    one = rates({"": [1.0, 16.0], "Clip": [4.0, 16.0]})  # one seed alone gives no interval
    assert one.answer == "open"


@pytest.mark.parametrize(
    ("c3", "c4", "counts"),
    [
        ("supported", "supported", True),
        ("open", "supported", False),
        ("supported", "refuted", False),
    ],
)
def test_c2_counts_only_with_c3_and_c4(c3: str, c4: str, counts: bool) -> None:
    def said(id: str, answer: str) -> Answer:
        return Answer(
            id=id,
            claim="",
            answer=answer,
            says="",
            how="",
            effect=None,
            null=0.0,
            smallest=0.0,
            unit="",
            about="clipping",
        )

    answers = {a.id: a for a in (said("C2", "supported"), said("C3", c3), said("C4", c4))}
    assert c2_rates.depends(answers).counts is counts


# C3


def speed(without: int | None, with_: int | None) -> Answer:
    def run(rule: str, step: int | None, seed: int) -> Trained:
        if step is None:
            return trained(rule=rule, seed=seed, losses=(4.0,) * 100)
        return reaching(step + seed, rule=rule, seed=seed)

    runs = [run(*arm, seed) for arm in (("", without), ("Clip", with_)) for seed in SEEDS]
    return c3_speed.judge(Results(runs), PICKS)


@pytest.mark.parametrize(
    ("without", "with_", "answer"),
    [
        (80, 40, "supported"),
        (40, 80, "refuted"),
        (60, 60, "open"),
        (62, 60, "open"),  # certain, but less than a tenth
        (None, 40, "supported"),
        (40, None, "refuted"),
        (None, None, "not run"),
    ],
)
def test_c3(without: int | None, with_: int | None, answer: str) -> None:
    assert speed(without, with_).answer == answer


def test_c3_says_where_the_target_was_not_reached() -> None:
    found = speed(None, 40)
    assert found.effect is not None
    assert found.effect.bound == "at least"
    assert "not reached" in str(found.table)


# C4


@pytest.mark.parametrize(
    ("ratio", "spread", "answer"),
    [
        (1.0, 0.001, "supported"),
        (1.2, 0.001, "supported"),  # better is not worse
        (0.9, 0.001, "refuted"),
        (0.98, 0.01, "open"),
        (1.0, 0.1, "open"),
    ],
)
def test_c4(ratio: float, spread: float, answer: str) -> None:
    runs = [trained(seed=seed, test=2.0 * ratio * math.exp(jitter(seed, spread))) for seed in SEEDS]
    runs += [trained(rule="Clip", seed=seed, test=2.0) for seed in SEEDS]
    assert c4_quality.judge(Results(runs), PICKS).answer == answer


def test_c4_is_not_run_where_an_arm_always_diverges() -> None:
    runs = [lost(seed=seed) for seed in SEEDS] + [trained(rule="Clip", seed=s) for s in SEEDS]
    assert c4_quality.judge(Results(runs), PICKS).answer == "not run"


# M1, M2, H2

CONTROL = defended("", "none", naive="0" * 100, adaptive="0" * 100)


def bits(right: int) -> str:
    return "1" * right + "0" * (100 - right)


@pytest.mark.parametrize(
    ("a", "b", "answer"),
    [
        (95, 90, "supported"),
        (5, 10, "refuted"),
        (95, 5, "open"),  # the masks disagree
        (50, 50, "open"),
        (58, 58, "open"),  # too near to one half
    ],
)
def test_m1_and_m2(a: int, b: int, answer: str) -> None:
    masks = (
        defended(name, "mask", naive=bits(right), adaptive=bits(right))
        for name, right in zip(PICKS.masks, (a, b), strict=True)
    )
    both = Results([CONTROL, *masks])
    assert m1_followers.judge(both, PICKS).answer == answer
    assert m2_security.judge(both, PICKS).answer == answer


def test_m1_and_m2_differ_by_attacker() -> None:
    masks = [defended(m, "mask", naive=bits(97), adaptive=bits(3)) for m in PICKS.masks]
    results = Results([CONTROL, *masks])
    assert m1_followers.judge(results, PICKS).answer == "supported"
    found = m2_security.judge(results, PICKS)
    assert found.answer == "refuted"
    assert "MaskA saves 3 %" in found.says


@pytest.mark.parametrize(
    ("right", "answer"), [(90, "supported"), (10, "refuted"), (52, "open"), (None, "not run")]
)
def test_h2(right: int | None, answer: str) -> None:
    runs: list[Result] = [CONTROL]
    if right is not None:
        runs.append(defended("Honest", "harden", naive=bits(99), adaptive=bits(right)))
    assert h2_control.judge(Results(runs), PICKS).answer == answer


def test_images_that_noise_takes_do_not_count() -> None:
    control = defended("", "none", naive="0000", adaptive="0000", noise="0011")
    mask = defended("MaskA", "mask", naive="1101", adaptive="1100")
    assert (saved(control, mask, "naive").value, saved(control, mask, "naive").n) == (0.5, 2)
    assert saved(control, mask, "adaptive").value == 0.0


def test_the_table_shows_every_defence_beside_the_control() -> None:
    runs: list[Defended] = [
        CONTROL,
        defended("MaskA", "mask", naive=bits(97), adaptive=bits(3)),
        defended("Honest", "harden", naive=bits(90), adaptive=bits(88)),
    ]
    table = m2_security.judge(Results(runs), PICKS).table
    assert table is not None
    assert [row.cells[0] for row in table.rows] == ["no defence", "MaskA", "Honest"]
    assert [row.pick for row in table.rows] == [False, True, False]
    assert table.rows[1].cells[-1] == "0.25"  # 3 discordant pairs, all one way: 2 / 2^3
