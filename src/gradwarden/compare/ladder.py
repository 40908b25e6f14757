"""A ladder of learning rates: how far up an arm stays stable, and what it reaches at its best rate.

The definitions are fixed before any run: *stable* is not diverged, with a validation figure at most
`SLACK` times the best that any arm at all reached with that seed (at least 1 / `SLACK` times, where
higher is better).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from gradwarden.compare.results import Trained

SLACK = 1.1


@dataclass(frozen=True, kw_only=True)
class Rung:
    """The largest stable rate of one arm with one seed."""

    rate: float
    effective: float  # of its steps: rate times the mean coefficient
    bound: str  # "at least": the ladder ends here; "at most": not even the lowest rate is stable


@dataclass(frozen=True)
class Ladder:
    """All runs of one net and one optimizer."""

    runs: tuple[Trained, ...]
    best: Mapping[int, float]  # seed -> best validation figure of any arm of the task
    higher: bool = False  # whether a higher figure is better

    @property
    def rules(self) -> list[str]:
        return sorted({r.rule for r in self.runs})

    @property
    def seeds(self) -> list[int]:
        return sorted({r.seed for r in self.runs})

    def rates(self, *rules: str) -> list[float]:
        """Rates that every one of `rules` was run at."""
        each = [{r.rate for r in self.runs if r.rule == rule} for rule in rules]
        return sorted(set.intersection(*each)) if each else []

    def between(self, *rules: str) -> Ladder:
        """The runs of `rules` alone, at the seeds and rates that they share, so that all are paired.

        Seeds come first: a rate that not all of them were run at is left out.
        """
        mine = [r for r in self.runs if r.rule in rules]
        each = [{r.seed for r in mine if r.rule == rule} for rule in rules]
        seeds = set.intersection(*each)
        full = {
            rate
            for rate in {r.rate for r in mine}
            if all({r.seed for r in self.of(rule, [rate])} >= seeds for rule in rules)
        }
        kept = tuple(r for r in mine if r.seed in seeds and r.rate in full)
        return Ladder(kept, self.best, self.higher)

    def step(self, *rules: str) -> float:
        """The widest gap between neighbouring rates, as a log ratio: what the ladder can tell."""
        rates = self.rates(*rules)
        gaps = [math.log(b / a) for a, b in pairwise(rates)]
        return max(gaps, default=math.inf)

    def of(self, rule: str, rates: Iterable[float] | None = None) -> list[Trained]:
        kept = None if rates is None else set(rates)
        return [r for r in self.runs if r.rule == rule and (kept is None or r.rate in kept)]

    def stable(self, run: Trained) -> bool:
        if run.diverged or run.validation is None:
            return False
        best = self.best[run.seed]
        # Towards worse, also of a figure below zero.
        worst = best * SLACK if (best >= 0.0) != self.higher else best / SLACK
        return run.validation >= worst if self.higher else run.validation <= worst

    def top(self, rule: str, seed: int, rates: list[float]) -> Rung:
        """The largest stable rate of `rule` among `rates`."""
        mine = sorted((r for r in self.of(rule, rates) if r.seed == seed), key=lambda run: run.rate)
        stable = [r for r in mine if self.stable(r)]
        if not stable:
            low = mine[0]
            return Rung(rate=low.rate, effective=low.effective, bound="at most")
        top = stable[-1]
        bound = "at least" if top.rate == rates[-1] else ""
        return Rung(rate=top.rate, effective=top.effective, bound=bound)

    def chosen(self, rule: str) -> float | None:
        """The rate with the best mean validation figure over the seeds; None if all diverged.

        Of the rates that every seed of `rule` was run at.
        """
        own, means = self.between(rule), {}
        for rate in own.rates(rule):
            runs = self.of(rule, [rate])
            if not any(r.diverged or r.validation is None for r in runs):
                means[rate] = sum(r.validation or 0.0 for r in runs) / len(runs)
        pick = max if self.higher else min
        return pick(means, key=means.__getitem__) if means else None


Ladders = dict[tuple[str, str], Ladder]  # by net and optimizer


def ladders(runs: Iterable[Trained], *, higher: bool = False) -> Ladders:
    """(net, optimizer) -> its ladder, in the order of first appearance."""
    groups: dict[tuple[str, str], list[Trained]] = {}
    best: dict[int, float] = {}
    for run in runs:
        groups.setdefault((run.net, run.optimizer), []).append(run)
        nothing = -math.inf if higher else math.inf
        reached = nothing if run.validation is None else run.validation
        best[run.seed] = (max if higher else min)(best.get(run.seed, nothing), reached)
    return {key: Ladder(tuple(group), best, higher) for key, group in groups.items()}
