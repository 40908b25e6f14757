"""Which arms stand for each contender, fixed before any run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Picks:
    """Names (reprs) of the arms that answer for the two contenders; all others stand beside."""

    clip: str  # the rule that clipping is judged by
    masks: tuple[str, ...]  # masking is judged by all of these
    harden: str  # the honest control


QUICK = Picks(
    clip="MaxNorm(max_norm=0.25)",
    masks=("BitDepth(bits=3)", "JPEG(quality=50)", "Distillation(temperature=20.0)"),
    harden="AdversarialTraining",
)
