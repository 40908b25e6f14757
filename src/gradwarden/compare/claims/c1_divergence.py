"""C1: clipping prevents divergence and NaN.

Source of the claim: Pascanu et al. 2013, arXiv:1211.5063, sec. 3.2.
"""

from __future__ import annotations

from gradwarden.compare.claims.arms import rates, table
from gradwarden.compare.claims.words import judged, not_run, points
from gradwarden.compare.ladder import Ladder, Ladders, ladders
from gradwarden.compare.picks import Picks, sentence
from gradwarden.compare.results import Results, Trained
from gradwarden.core.comparison import Answer
from gradwarden.core.estimate import paired_mean

ID = "C1"
COLUMNS = ("rates", "diverged", "of them NaN or infinite", "steps clipped")


def judge(results: Results, picks: Picks) -> Answer:
    """Over the ladders of the main optimizer; the other optimizers stand in the table and the sentence."""
    groups = ladders(results.trained, higher=picks.words.higher)
    main = [ladder for (_, optimizer), ladder in groups.items() if optimizer == picks.main[1]]
    pairs = [pair for ladder in main for pair in _pairs(ladder, picks)]
    if not pairs:
        why = f"no pair of runs with {picks.train} and {picks.against}"
        return not_run(ID, claim(picks), "clipping", why)
    seeds = sorted({without.seed for without, _ in pairs})
    saved = []
    for seed in seeds:
        mine = [(a.diverged, b.diverged) for a, b in pairs if a.seed == seed]
        saved.append(sum(a - b for a, b in mine) / len(mine))
    optimizer = "plain SGD" if picks.main[1] == "SGD" else picks.main[1]
    rungs = len(pairs) / len(seeds)
    effect = paired_mean(saved, floor=1 / rungs)
    without, with_ = sum(a.diverged for a, _ in pairs), sum(b.diverged for _, b in pairs)
    with_it = f"with {picks.clip}" if picks.other else "with it"
    bad = sum(a.nonfinite_step is not None for a, _ in pairs)
    return judged(
        id=ID,
        claim=claim(picks),
        about="clipping",
        says=(
            f"Of {len(pairs)} pairs of runs, {without} diverged {picks.against} ({bad} of them "
            f"with NaN or infinity) and {with_} {with_it}, a difference of "
            f"{points(effect)}."
            f"{_others(groups, picks)}"
        ),
        how=(
            "Share of the rates at which a run diverges (a non-finite loss or gradient, or the "
            f"mean of the last tenth of the losses above the first), {picks.against} minus with "
            f"{picks.clip}, {optimizer}, same weights and batches. Null 0; the smallest effect, and "
            f"the least half-width of the interval, is one of the {rungs:g} rates. Student's t "
            "over seeds."
        ),
        effect=effect,
        null=0.0,
        smallest=1 / rungs,
        unit="share of rates",
        table=table("Runs that diverged", COLUMNS, groups, picks, _cells),
        figures=(f"rates-{picks.main[1]}", "explosion"),
    )


def claim(picks: Picks) -> str:
    name = sentence(picks.train)
    if picks.other:
        return f"{name} loses fewer runs to divergence than {picks.other}."
    return f"{name} prevents divergence and NaN."


def _pairs(ladder: Ladder, picks: Picks) -> list[tuple[Trained, Trained]]:
    """(without, with) at the same rate and seed."""
    shared = ladder.between(picks.base, picks.clip)
    with_ = {(r.rate, r.seed): r for r in shared.of(picks.clip)}
    return [(r, with_[r.rate, r.seed]) for r in shared.of(picks.base)]


def _others(groups: Ladders, picks: Picks) -> str:
    said = ""
    for (_, optimizer), ladder in groups.items():
        pairs = _pairs(ladder, picks)
        if optimizer != picks.main[1] and pairs:
            without, with_ = sum(a.diverged for a, _ in pairs), sum(b.diverged for _, b in pairs)
            said += f" With {optimizer}: {without} against {with_} of {len(pairs)}."
    return said


def _cells(ladder: Ladder, rule: str) -> tuple[str, ...]:
    runs = ladder.of(rule)
    return (
        rates(ladder, rule),
        f"{sum(r.diverged for r in runs)} of {len(runs)}",
        f"{sum(r.nonfinite_step is not None for r in runs)}",
        f"{100 * sum(r.clipped for r in runs) / len(runs):.0f} %" if rule else "-",
    )
