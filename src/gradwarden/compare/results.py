"""What each kind of run found, as typed records; readable without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Self

from gradwarden.core.comparison import Run

TAIL = 0.1  # share of the training losses at the end that decides about divergence
SMOOTH = 10  # steps over which the loss is averaged before it is compared with the target


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One training run. Series have one entry a finished step; norms are before clipping."""

    net: str  # "lstm" or "relu-rnn": runs of one net and optimizer stand on one ladder of rates
    optimizer: str  # "SGD" or "AdamW"
    rule: str  # what it was treated with, for example the repr of a clipping rule; "" for nothing
    rate: float
    seed: int
    steps: int  # planned
    target: float | None  # training loss in nats; None where a loss does not tell
    losses: tuple[float, ...]
    norms: tuple[float, ...]
    thresholds: tuple[float, ...]
    coefficients: tuple[float, ...]
    nonfinite_step: int | None  # the first step with a non-finite loss or gradient; the run ends
    validation: float | None  # bits per character; None where the weights give no finite figure
    test: float | None
    share: float = 1.0  # mean over the steps: what warm-up or a lower rate make of the nominal one

    @property
    def diverged(self) -> bool:
        """Non-finite, or the mean of the last tenth of the losses is above the first loss."""
        if self.nonfinite_step is not None:
            return True
        tail = self.losses[-max(1, round(TAIL * len(self.losses))) :]
        return sum(tail) / len(tail) > self.losses[0]

    @property
    def coefficient(self) -> float:
        """Mean over the steps: what clipping makes of the rate."""
        return sum(self.coefficients) / len(self.coefficients) if self.coefficients else 1.0

    @property
    def effective(self) -> float:
        """The rate at which the steps were really taken, on average.

        AdamW divides the scale of the gradient out again: there clipping makes no step shorter.
        """
        scaled = 1.0 if self.optimizer == "AdamW" else self.coefficient
        return self.rate * self.share * scaled

    @property
    def clipped(self) -> float:
        """Share of the steps whose gradient was scaled down."""
        return sum(c < 1.0 for c in self.coefficients) / max(1, len(self.coefficients))

    @property
    def steps_to_target(self) -> int | None:
        """First step at which the mean of the last `SMOOTH` losses is at most the target."""
        if self.target is None:
            return None
        for end in range(SMOOTH, len(self.losses) + 1):
            if sum(self.losses[end - SMOOTH : end]) / SMOOTH <= self.target:
                return end
        return None


@dataclass(frozen=True, kw_only=True)
class Grown:
    """Gradient norms of one net, as the sequence or the stack of layers gets longer."""

    along: str  # "length" (time steps) or "depth" (layers)
    state: str  # "fresh", or how it was trained
    net: str
    seed: int
    sizes: tuple[float, ...]
    log_norms: tuple[float, ...]  # natural logarithms, computed in float64

    @property
    def slope(self) -> float:
        """Least-squares slope of the log norm per time step or layer; 0 for one size or none."""
        n = len(self.sizes)
        if n < 2:
            return 0.0
        middle, level = sum(self.sizes) / n, sum(self.log_norms) / n
        spread = sum((s - middle) ** 2 for s in self.sizes)
        pairs = zip(self.sizes, self.log_norms, strict=True)
        return sum((s - middle) * (g - level) for s, g in pairs) / spread


@dataclass(frozen=True, kw_only=True)
class Defended:
    """One model under attack. Strings of "0" and "1" say, image by image, whether it stays right."""

    defence: str  # repr, "" for none
    purpose: str  # "none", "mask", "harden", "both" (two contenders together) or "matched"
    seed: int
    radius: float
    gradient: dict[str, float]  # share of images whose own gradient is "none", "zero", "nonzero"
    clean: str
    noise: str  # after random noise of the same size
    fgsm: str
    pgd: str
    adaptive: str  # after the naive attacks and the adaptive ones
    findings: tuple[str, ...]  # what the audit found, "module: check"
    patches: tuple[str, ...]  # what the adaptive attack replaced
    radii: tuple[float, ...]
    naive_curve: tuple[float, ...]  # accuracy at `radii`, on the first images
    adaptive_curve: tuple[float, ...]
    curve_images: int
    forwards: int
    backwards: int
    pictures: tuple[dict[str, Any], ...]  # {"original", "adversarial", "label", "predicted"}
    # metrics of the task by attacker, "clean" and "adaptive"; none where accuracy is the only one
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    validation: float | None = None  # accuracy on the validation split, without an attacker

    @property
    def naive(self) -> str:
        """After FGSM and PGD, both with the defence's own gradient."""
        return both(self.fgsm, self.pgd)


def both(first: str, second: str) -> str:
    """Right under both attacks, image by image."""
    return "".join("1" if a == b == "1" else "0" for a, b in zip(first, second, strict=True))


Result = Trained | Grown | Defended


class Results:
    """All results of a comparison, by kind."""

    def __init__(self, results: Iterable[Result]) -> None:
        found = tuple(results)
        self.trained = tuple(r for r in found if isinstance(r, Trained))
        self.grown = tuple(r for r in found if isinstance(r, Grown))
        self.defended = tuple(r for r in found if isinstance(r, Defended))

    @classmethod
    def of(cls, runs: Iterable[Run]) -> Self:
        return cls(_read(run.result) for run in runs)


def as_result(result: Result) -> dict[str, Any]:
    """The plain values that `Results.of` reads back; an option at its default is left out."""
    silent = {
        f.name
        for f in fields(result)
        if f.default_factory is not MISSING and getattr(result, f.name) == f.default_factory()
    }
    values = {name: value for name, value in asdict(result).items() if name not in silent}
    return {"kind": type(result).__name__} | values


def _read(stored: dict[str, Any]) -> Result:
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in stored.items() if k != "kind"
    }
    kinds: dict[str, type[Any]] = {kind.__name__: kind for kind in (Trained, Grown, Defended)}
    found: Result = kinds[stored["kind"]](**values)
    return found
