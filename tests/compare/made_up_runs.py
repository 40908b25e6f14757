"""Made-up results for tests: only what a test names differs from a plain run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gradwarden.compare.picks import Picks
from gradwarden.compare.results import Defended, Grown, Trained

PICKS = Picks(clip="Clip", masks=("MaskA", "MaskB"), harden="Honest")
RATES = (1.0, 2.0, 4.0, 8.0, 16.0)

PLAIN = Trained(
    net="lstm",
    optimizer="SGD",
    rule="",
    rate=1.0,
    seed=0,
    steps=100,
    target=2.0,
    losses=(4.0,) * 40 + (1.5,) * 60,
    norms=(1.0,) * 100,
    thresholds=(),
    coefficients=(1.0,) * 100,
    nonfinite_step=None,
    validation=2.0,
    test=2.0,
)


def trained(**changes: Any) -> Trained:
    return replace(PLAIN, **changes)


def lost(**changes: Any) -> Trained:
    """A run that ended non-finite after 3 steps."""
    gone: dict[str, Any] = {
        "losses": (4.0, 5.0, 6.0),
        "norms": (1.0,) * 3,
        "coefficients": (1.0,) * 3,
        "nonfinite_step": 3,
        "validation": None,
        "test": None,
    }
    return trained(**(gone | changes))


def reaching(step: int, **changes: Any) -> Trained:
    """The smoothed loss first meets the target at `step` (10 or more)."""
    return trained(losses=(4.0,) * (step - 10) + (2.0,) * (110 - step), **changes)


def ladder(rule: str, seed: int, edge: float, **changes: Any) -> list[Trained]:
    """Stable at every rate up to `edge`, lost above it."""
    return [
        (trained if rate <= edge else lost)(rule=rule, seed=seed, rate=rate, **changes)
        for rate in RATES
    ]


def grown(slope: float, seed: int = 0, **changes: Any) -> Grown:
    sizes = (1.0, 2.0, 4.0)
    plain = Grown(
        along="length",
        state="fresh",
        net="lstm",
        seed=seed,
        sizes=sizes,
        log_norms=tuple(slope * size for size in sizes),
    )
    return replace(plain, **changes)


def defended(defence: str, purpose: str, *, naive: str, adaptive: str, **changes: Any) -> Defended:
    """Right on every image without an attack; FGSM does nothing, PGD does what `naive` says."""
    n = len(naive)
    plain = Defended(
        defence=defence,
        purpose=purpose,
        seed=0,
        radius=0.1,
        gradient={"none": 0.0, "zero": 0.0, "nonzero": 1.0},
        clean="1" * n,
        noise="1" * n,
        fgsm="1" * n,
        pgd=naive,
        adaptive=adaptive,
        findings=(),
        patches=(),
        radii=(0.1,),
        naive_curve=(0.5,),
        adaptive_curve=(0.5,),
        curve_images=n,
        forwards=1,
        backwards=1,
        pictures=(),
    )
    return replace(plain, **changes)
