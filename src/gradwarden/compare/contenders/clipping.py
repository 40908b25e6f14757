"""Gradient clipping, by the bound that a pilot run advises or by any rule.

Source: Pascanu et al. 2013, arXiv:1211.5063, sec. 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor, log10
from typing import Any, Self

from gradwarden.clip.advice import Advice, advise
from gradwarden.clip.record import Record, Row
from gradwarden.clip.rule import Rule
from gradwarden.clip.rules.adagc import AdaGC
from gradwarden.clip.rules.adaptive import Adaptive
from gradwarden.clip.rules.agc import AGC
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.rules.median_multiple import MedianMultiple
from gradwarden.clip.rules.quantile import Quantile
from gradwarden.clip.rules.skip_spikes import SkipSpikes
from gradwarden.clip.rules.zscore import ZScore
from gradwarden.compare.contenders.contender import Treatment
from gradwarden.compare.contenders.warm_up import WarmUp
from gradwarden.compare.results import Trained
from gradwarden.core.errors import BadInput
from gradwarden.tasks.task import TrainingTask

USUAL = 1.0  # the bound of most published code, where norms tell nothing


@dataclass(frozen=True, kw_only=True)
class Clipping(Treatment):
    """`rule` None: a fixed bound, the field's usual one or what the pilot's norms advise."""

    rule: Rule[Any] | None = None

    name = "clipping"
    what = "Scales a training step's gradient down where its norm exceeds a threshold."

    @property
    def title(self) -> str:
        return f"Gradient {self.noun}"

    @property
    def noun(self) -> str:
        return "clipping" if self.rule is None else f"clipping by {self.rule}"

    @property
    def label(self) -> str:
        return repr(self.rule)

    @property
    def usual(self) -> Self:
        return self if self.rule is not None else replace(self, rule=MaxNorm(USUAL))

    @property
    def beside(self) -> tuple[Treatment, ...]:
        return () if self.rule is not None else (ADAPTIVE,)

    @property
    def controls(self) -> tuple[Treatment, ...]:
        """The other published rules, and warm-up, which is said to make clipping needless."""
        if self.rule is not None:
            return ()
        rules = (Quantile(), ZScore(), MedianMultiple(), SkipSpikes(), AGC(), AdaGC())
        return (*(Clipping(rule=rule) for rule in rules), WarmUp())

    def fitted(self, task: TrainingTask, pilot: Trained) -> Self:
        if self.rule is not None:
            return self
        return replace(self, rule=bound(pilot) if task.bound is None else MaxNorm(task.bound))


ADAPTIVE = Clipping(rule=Adaptive())


def bound(run: Trained) -> MaxNorm:
    """The fixed bound that clip advises from a pilot run, to two digits.

    At most the largest norm that it saw: a bound above is none.
    """
    advice = advice_on(run)
    if advice is None:
        return MaxNorm(USUAL)
    threshold = min(advice.threshold, max(run.norms))
    return MaxNorm(round(threshold, 1 - floor(log10(threshold))))


def advice_on(run: Trained) -> Advice | None:
    """What clip advises from the norms of `run`; None where they are too few."""
    bare = [float("inf")] * len(run.norms)
    rows = tuple(
        Row(step, norm, threshold, coefficient, True, norm * coefficient, loss)
        for step, (norm, threshold, coefficient, loss) in enumerate(
            zip(run.norms, run.thresholds or bare, run.coefficients, run.losses, strict=True)
        )
    )
    record = Record(
        rule=run.rule or "None", version="", optimizer=run.optimizer, parameters=(), rows=rows
    )
    try:
        return advise(record)
    except BadInput:
        return None
