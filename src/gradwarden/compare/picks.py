"""Which arms stand for each contender, and what their task calls its figures: fixed before any run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Words:
    """How the page speaks of a task; the defaults are those of the quick comparison."""

    figure: str = "bits per character"  # the metric that decides
    short: str = "bits"
    higher: bool = False  # whether more of it is better
    target: str = "what bigram counts reach"
    loss: str = "loss in nats per character"
    sample: str = "image"
    radius: str = "radius (Linf, pixels in 0 to 1)"


QUICK_WORDS = Words()


@dataclass(frozen=True, kw_only=True)
class Picks:
    """Names (reprs) of the arms that answer for the two contenders; all others stand beside."""

    clip: str  # the rule that clipping is judged by
    masks: tuple[str, ...]  # masking is judged by all of these
    harden: str  # the honest control
    main: tuple[str, str] = ("lstm", "SGD")  # net, optimizer: their ladder answers for C1 to C4
    words: Words = QUICK_WORDS


QUICK = Picks(
    clip="MaxNorm(max_norm=0.25)",
    masks=("BitDepth(bits=3)", "JPEG(quality=50)", "Distillation(temperature=20.0)"),
    harden="AdversarialTraining",
)
