"""Who broke which sample: what a cascade of attacks leaves behind, readable without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gradwarden.core.estimate import Estimate, proportion
from gradwarden.core.records import SCHEMA, Finding, Origin


@dataclass(frozen=True, kw_only=True)
class Broken:
    """How one sample fell."""

    attack: str
    restart: int
    forwards: int  # passes spent on this sample up to its fall
    backwards: int


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One attack of a cascade, over all samples that stood before it."""

    attack: str
    tried: int
    broken: int
    forwards: int  # sample passes of the attack itself, without the referee's
    backwards: int
    seconds: float  # at work, the referee's included; summed over processes


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Who broke which sample; one entry a sample in each tuple, or none where it was not measured.

    A stochastic model is asked `draws` times at each point, and `accuracy` goes by the majority.
    """

    ids: tuple[int, ...]
    clean: tuple[bool, ...]  # right without any attack
    broken: tuple[Broken | None, ...]  # None: no attack broke it; wrong from the start has 0 passes
    attacks: tuple[str, ...]  # repr of each attack, in the order run
    forwards: int  # sample passes in all
    backwards: int
    seconds: float
    stages: tuple[Stage, ...] = ()
    infeasible: tuple[bool, ...] = ()  # a point reached the goal that the constraints forbid
    claimed: tuple[bool, ...] = ()  # wrong, or an allowed point reached the goal in some attack
    lost: tuple[float, ...] = ()  # largest share of fresh draws lost at a point the referee judged
    draws: int = 1
    double: tuple[bool, ...] = ()  # lost in float64 too, at the same point
    double_note: str = "not run"  # "", or "not run: why"
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()  # what was left out or went otherwise, one sentence each
    model: str = ""
    threat: str = ""
    origin: Origin | None = None
    schema: int = SCHEMA

    def then(self, later: Ledger, rows: Sequence[int]) -> Ledger:
        """With what `later` found on the samples at `rows`, most of which stood before.

        Its passes and stages are added. What stood before and is wrong there without an attack (a
        model that draws) still stands. The float64 column is left out: points have changed.
        """
        broken = list(self.broken)
        claimed, infeasible, lost = list(self.claimed), list(self.infeasible), list(self.lost)
        for place, row in enumerate(rows):
            how = later.broken[place]
            if broken[row] is None and how is not None and (how.forwards or how.backwards):
                broken[row] = how
            claimed[row] |= later.claimed[place]
            infeasible[row] |= later.infeasible[place]
            if lost and later.lost:  # measured of a model that draws
                lost[row] = max(lost[row], later.lost[place])
        return replace(
            self,
            broken=tuple(broken),
            claimed=tuple(claimed),
            infeasible=tuple(infeasible),
            lost=tuple(lost),
            attacks=(*self.attacks, *later.attacks),
            forwards=self.forwards + later.forwards,
            backwards=self.backwards + later.backwards,
            seconds=self.seconds + later.seconds,
            stages=(*self.stages, *later.stages),
            double=(),
            double_note="not run",
            notes=tuple(dict.fromkeys((*self.notes, *later.notes))),
        )

    @property
    def accuracy(self) -> Estimate:
        """Share right after every attack: an upper bound on robust accuracy."""
        return _share([b is None for b in self.broken])

    @property
    def clean_accuracy(self) -> Estimate:
        return _share(self.clean)

    @property
    def accuracy_while_optimising(self) -> Estimate:
        """As `accuracy`, where one success during a search is enough, lucky draws included."""
        return _share([not c for c in self.claimed]) if self.claimed else self.accuracy

    @property
    def accuracy_over_draws(self) -> Estimate:
        """Expected accuracy of one fresh draw of the model; the interval is that over samples."""
        if self.draws == 1 or not self.lost:
            return self.accuracy
        value = math.fsum(1.0 - share for share in self.lost) / len(self.lost)
        # A share varies no more than a coin of the same mean, so the coin's interval is wide enough.
        n = len(self.lost)
        low = proportion(math.floor(value * n), n).low
        high = proportion(math.ceil(value * n), n).high
        return Estimate(value=value, low=min(low, value), high=max(high, value), n=n)

    @property
    def accuracy_in_double(self) -> Estimate | None:
        """As `accuracy`, each final point judged in float64; None where that was not run."""
        return _share([not lost for lost in self.double]) if self.double else None

    @property
    def infeasible_rate(self) -> Estimate:
        """Share of samples that stand, though points that the constraints forbid reached the goal."""
        pairs = zip(self.broken, self.infeasible or (False,) * len(self.broken), strict=True)
        return _share([b is None and forbidden for b, forbidden in pairs])


def _share(which: Sequence[bool]) -> Estimate:
    return proportion(sum(which), len(which))
