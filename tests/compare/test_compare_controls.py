"""Claims that stand beside the first ones: essential, controls, fields, both together, head to head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from made_up_runs import PICKS, defended, ladder, lost, trained

from gradwarden.compare.claims import (
    b1_both_keep,
    b2_both_stand,
    c1_divergence,
    c2_rates,
    c3_speed,
    c4_quality,
    c5_essential,
    k1_lower_rate,
    k2_same_accuracy,
    m1_followers,
    m2_security,
    m3_fields,
    s1_stands,
    s2_keeps,
)
from gradwarden.compare.judge import judge
from gradwarden.compare.picks import Picks, Words
from gradwarden.compare.results import Defended, Results, Trained
from gradwarden.core.comparison import Answer

HIGHER = replace(PICKS, words=Words(higher=True))
WARM = replace(PICKS, train="warm-up", clip="Warm", base="Clip", other="clipping")


def scored(rule: str, tests: Sequence[float], **options: object) -> list[Trained]:
    """One run a seed at rate 1; validation is the test figure."""
    return [
        trained(rule=rule, seed=seed, test=test, validation=test, **options)
        for seed, test in enumerate(tests)
    ]


def near(value: float, n: int = 5) -> list[float]:
    return [value * (1 + 0.002 * (seed - 2)) for seed in range(n)]


@pytest.mark.parametrize(
    ("with_", "answer"), [(1.8, "supported"), (2.0, "refuted"), (2.2, "refuted"), (1.905, "open")]
)
def test_c5_essential_is_better_by_a_twentieth(with_: float, answer: str) -> None:
    """Bits: fewer are better; the bare arm reaches 2."""
    bare = [value * (1 + 0.01 * (-1) ** n) for n, value in enumerate(near(2.0))]
    found = c5_essential.judge(Results(scored("", bare) + scored("Clip", near(with_))), PICKS)
    assert found.answer == answer


def test_c5_where_more_is_better() -> None:
    runs = scored("", near(0.7)) + scored("Clip", near(0.9))
    assert c5_essential.judge(Results(runs), HIGHER).answer == "supported"


def controlled(with_: float, lower: float) -> Answer:
    """Clipped at rate 4, where its steps are those of rate 2; without it at 2, and lost at 4."""
    clipped = [
        replace(run, rate=4.0, coefficients=(0.5,) * 100) for run in scored("Clip", near(with_))
    ]
    same = [replace(run, rate=2.0) for run in scored("", near(lower))]
    gone = [lost(rate=4.0, seed=seed) for seed in range(5)]
    return k1_lower_rate.judge(Results(clipped + same + gone), PICKS)


@pytest.mark.parametrize(
    ("with_", "lower", "answer"),
    [(1.8, 2.0, "supported"), (2.0, 2.0, "open"), (2.2, 2.0, "refuted")],
)
def test_k1_against_the_effective_rate(with_: float, lower: float, answer: str) -> None:
    found = controlled(with_, lower)
    assert found.answer == answer
    assert "those of a rate of 2" in found.says
    assert "At the nominal rate 4 without it 5 of 5 seeds diverge." in found.says


def test_k1_is_not_run_without_its_control() -> None:
    clipped = [replace(r, rate=4.0, coefficients=(0.5,) * 100) for r in scored("Clip", near(1.8))]
    found = k1_lower_rate.judge(Results(clipped + scored("", near(2.0))), PICKS)
    assert found.answer == "not run"
    assert "effective rate 2" in found.says


def test_k1_where_the_control_is_lost_or_the_steps_are_no_shorter() -> None:
    clipped = [replace(r, rate=4.0, coefficients=(0.5,) * 100) for r in scored("Clip", near(1.8))]
    control = [replace(run, rate=2.0) for run in scored("", near(2.0))]
    control[0] = lost(rate=2.0, seed=0)
    gone = k1_lower_rate.judge(Results(clipped + control), PICKS)
    assert gone.says == "Not run: at the effective rate 2 without it 1 of 5 seeds diverge."
    bare = [replace(run, rate=4.0) for run in scored("", near(2.0))]
    adam = [replace(run, optimizer="AdamW") for run in clipped + bare]
    assert adam[0].effective == 4.0  # AdamW divides the coefficient out
    assert clipped[0].effective == 2.0
    same = k1_lower_rate.judge(Results(adam), replace(PICKS, main=("lstm", "AdamW")))
    assert same.says == "Not run: the steps of Clip are no shorter than its rate says."


def test_further_seeds_at_some_rates_do_not_break_the_ladder() -> None:
    """Two seeds on all rates, three more at two of them: every claim is on what both arms share."""
    few = [run for s in range(2) for run in ladder("", s, 2.0) + ladder("Clip", s, 8.0)]
    more = [
        run
        for s in range(2, 5)
        for rule, edge in (("", 2.0), ("Clip", 8.0))
        for run in ladder(rule, s, edge)
        if run.rate in (2.0, 4.0, 8.0, 16.0)
    ]
    others = [run for s in range(2) for run in ladder("Other", s, 4.0) if run.rate in (2.0, 4.0)]
    odd = [replace(run, rate=3.3) for run in scored("", near(2.0, 2))]
    answers = judge(Results(few + more + others + odd), PICKS)
    assert answers["C1"].says.startswith("Of 20 pairs of runs, 15 diverged without clipping")
    assert answers["C1"].effect is not None
    assert answers["C1"].effect.n == 5
    table = answers["C2"].table
    assert table is not None
    assert [row.cells[0].rpartition(", ")[2] for row in table.rows] == [
        "no clipping",
        "Clip",
        "Other",
    ]
    assert "2, 4, 8, 16" in answers["C2"].how


def test_two_contenders_for_training_meet_on_the_same_runs() -> None:
    runs = [run for s in range(5) for run in ladder("Clip", s, 2.0) + ladder("Warm", s, 8.0)]
    results = Results(runs + [run for s in range(5) for run in ladder("", s, 1.0)])
    won = c1_divergence.judge(results, WARM)
    assert won.answer == "supported"
    assert won.claim == "Warm-up loses fewer runs to divergence than clipping."
    assert "15 diverged with clipping" in won.says
    assert "5 with Warm" in won.says
    lost_ = c1_divergence.judge(results, replace(WARM, clip="Clip", base="Warm"))
    assert lost_.answer == "refuted"
    assert c2_rates.judge(results, WARM).answer == "supported"
    for claim in (c2_rates, c3_speed, c4_quality, c5_essential):
        assert "han clipping" in claim.claim(WARM)


# Security


def bits(right: int, n: int = 100) -> str:
    return "1" * right + "0" * (n - right)


def arm(
    name: str, right: int, *, clean: int = 100, seed: int = 0, purpose: str = "mask"
) -> Defended:
    some = defended(name, purpose, naive=bits(right), adaptive=bits(right), clean=bits(clean))
    return replace(some, seed=seed)


@pytest.mark.parametrize(("right", "answer"), [(90, "supported"), (10, "refuted"), (52, "open")])
def test_shares_are_pooled_over_nets(right: int, answer: str) -> None:
    runs = [arm("", 0, seed=s, purpose="none") for s in range(3)]
    runs += [arm(name, right + s, seed=s) for s in range(3) for name in ("MaskA", "MaskB")]
    for claim in (m1_followers, m2_security):
        found = claim.judge(Results(runs), PICKS)
        assert found.answer == answer
        assert found.parts[0].effect is not None
        assert found.parts[0].effect.n == 300
    assert found.table is not None
    assert [row.cells[1] for row in found.table.rows] == ["3", "3", "3"]


def test_nets_without_a_control_of_the_same_seed_are_left_out() -> None:
    runs = [arm("", 0, purpose="none"), arm("MaskA", 90), arm("MaskA", 0, seed=1)]
    found = m2_security.judge(Results(runs), replace(PICKS, masks=("MaskA",)))
    assert found.effect is not None
    assert (found.effect.value, found.effect.n) == (0.9, 100)


FRAUD = replace(PICKS, masks=("MaskA",), words=Words(figure="recall", higher=True, field="fraud"))


def at_field(name: str, clean: float, attacked: float, seed: int) -> Defended:
    metrics = {"clean": {"recall": clean}, "adaptive": {"recall": attacked}}
    return replace(arm(name, 50, seed=seed), metrics=metrics)


@pytest.mark.parametrize(
    ("attacked", "answer"), [(0.75, "supported"), (0.25, "refuted"), (0.5, "open")]
)
def test_m3_is_about_the_figure_of_the_field(attacked: float, answer: str) -> None:
    """Without a defence an attacker takes it from 0.8 to 0.2."""
    runs = [at_field("", 0.8, 0.2, s) for s in range(3)]
    runs += [at_field("MaskA", 0.8, attacked + 0.01 * s, s) for s in range(3)]
    found = m3_fields.judge(Results(runs), FRAUD)
    assert found.answer == answer
    assert found.effect is not None
    assert found.effect.value == pytest.approx((attacked + 0.01 - 0.2) / 0.6)
    assert found.claim == "Masking suits fraud."
    assert "recall" in found.says


def test_m3_of_a_figure_that_is_to_be_low_and_of_no_field() -> None:
    """Departures from 0 to 0.5, and with the mask to 0.1: four fifths are restored."""
    runs = [at_field("", 0.0, 0.5, s) for s in range(2)]
    runs += [at_field("MaskA", 0.0, 0.1, s) for s in range(2)]
    lower = replace(FRAUD, words=replace(FRAUD.words, higher=False))
    found = m3_fields.judge(Results(runs), lower)
    assert found.effect is not None
    assert found.effect.value == pytest.approx(0.8)
    assert m3_fields.judge(Results(runs), PICKS).answer == "not run"
    assert m3_fields.judge(Results(runs), FRAUD).answer == "not run"  # the attack did no harm
    safe = [at_field("", 0.8, 0.79, 0), at_field("MaskA", 0.8, 0.8, 0)]
    assert m3_fields.judge(Results(safe), FRAUD).answer == "not run"


SIDES = Picks(
    clip="",
    masks=("A",),
    harden="Honest",
    secure="masking",
    rivals=("B",),
    rival="smoothing",
    both=(("A + B", "A"),),
    matched=("A", "as accurate"),
)


@pytest.mark.parametrize(("claim", "other"), [(s1_stands, "B"), (k2_same_accuracy, "as accurate")])
@pytest.mark.parametrize(("right", "answer"), [(80, "supported"), (20, "refuted"), (50, "open")])
def test_who_stands_under_attack(claim: object, other: str, right: int, answer: str) -> None:
    found = claim.judge(Results([arm("A", right), arm(other, 50)]), SIDES)  # type: ignore[attr-defined]
    assert found.answer == answer
    assert found.id in ("S1", "K2")


@pytest.mark.parametrize(
    ("claim", "other"), [(s2_keeps, ("A", "B")), (b1_both_keep, ("A + B", "A"))]
)
@pytest.mark.parametrize(("clean", "answer"), [(400, "supported"), (320, "refuted"), (390, "open")])
def test_who_keeps_accuracy(claim: object, other: tuple[str, str], clean: int, answer: str) -> None:
    """A hundred samples could not show a loss of less than 2 points, 400 can."""
    half = bits(200, 400)
    runs = [
        defended(name, "mask", naive=half, adaptive=half, clean=bits(right, 400))
        for name, right in zip(other, (clean, 400), strict=True)
    ]
    assert claim.judge(Results(runs), SIDES).answer == answer  # type: ignore[attr-defined]
    few = Results([arm(name, 50) for name in other])
    assert claim.judge(few, SIDES).answer == "open"  # type: ignore[attr-defined]


def test_b2_and_what_has_no_pair() -> None:
    runs = [arm("A + B", 50), arm("A", 50)]
    assert b2_both_stand.judge(Results(runs), SIDES).answer == "supported"
    assert b2_both_stand.judge(Results(runs[:1]), SIDES).answer == "not run"
    assert k2_same_accuracy.judge(Results(runs), replace(SIDES, matched=None)).answer == "not run"


def test_which_claims_belong_to_which_pair() -> None:
    nothing = Results([])
    assert set(judge(nothing, PICKS)) == {
        *("C0", "C1", "C2", "C3", "C4", "C5", "K1"),
        *("A1", "M1", "M2", "M3", "K2", "H2", "H4", "B1", "B2"),
    }
    assert set(judge(nothing, WARM, "training")) == {"C0", "C1", "C2", "C3", "C4", "C5"}
    assert set(judge(nothing, SIDES, "security")) == {"A1", "M1", "M2", "S1", "S2", "B1", "B2"}
    assert {a.answer for a in judge(nothing, PICKS).values()} == {"not run"}
