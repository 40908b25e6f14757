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
    field: str = ""  # in which the task is at home: "fraud", "medicine"


QUICK_WORDS = Words()
DEFAULT_PAIR = "clipping,masking"
TRAIN, SECURE = "training", "security"  # purposes, of a task and of a contender


@dataclass(frozen=True, kw_only=True)
class Picks:
    """Names of the arms that answer for the two contenders; all others stand beside."""

    clip: str  # the arm that the contender for training is judged by, say the repr of a rule
    masks: tuple[str, ...]  # the contender for security is judged by all of these
    harden: str  # the honest control
    main: tuple[str, str] = ("lstm", "SGD")  # net, optimizer: their ladder answers for C1 to C4
    words: Words = QUICK_WORDS
    train: str = "clipping"  # what the contender for training is called
    secure: str = "masking"
    base: str = ""  # the arm that it is held against; "" for the untreated one
    other: str = ""  # what that is called, where it is a contender too
    rivals: tuple[str, ...] = ()  # defences of the other contender, where both are for security
    rival: str = ""  # what that is called
    both: tuple[tuple[str, str], ...] = ()  # defences of both contenders, each beside one of them
    matched: tuple[str, str] | None = None  # a defence, and an undefended net as accurate

    @property
    def against(self) -> str:
        """ "without clipping", or "with warm-up" where that is the other contender."""
        return f"with {self.other}" if self.other else f"without {self.train}"


def sentence(text: str) -> str:
    """With a capital."""
    return text[:1].upper() + text[1:]


QUICK = Picks(
    clip="MaxNorm(max_norm=0.25)",
    masks=("BitDepth(bits=3)", "JPEG(quality=50)", "Distillation(temperature=20.0)"),
    harden="AdversarialTraining",
    both=(("MaxNorm(max_norm=0.25) + BitDepth(bits=3)", "BitDepth(bits=3)"),),
)
