"""The record of what is known of a model, and how it follows from the samples' fates."""

from __future__ import annotations

from dataclasses import dataclass

from gradwarden.core.estimate import Estimate, mcnemar, proportion

WRONG, NAIVE, ADAPTED, STANDS = "wna."  # fates of a sample
POINTS, P_VALUE = 10, 0.001


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Figures of one entry; `fates` has a character a sample, and all the others follow from it.

    "w": wrong without an attack. "n": fell to the naive attacks. "a": fell only to those written
    for the defence. ".": stands.
    """

    name: str
    net: str
    half: str
    family: str
    kind: str
    data: str
    threat: str
    module: str | None
    note: str
    fates: str
    clean: Estimate
    naive: Estimate
    best: Estimate  # accuracy under everything that was tried: an upper bound
    attacks: dict[str, int]  # how many samples fell to each, in the order run
    p_value: float  # exact McNemar, naive against best
    masked: bool
    certified: Estimate | None
    weights: str  # sha256 of the file
    version: str
    command: str
    witnesses: str = ""  # sha256 of the file
    schema: int = 1

    @property
    def attack(self) -> str:
        """The one that broke most of what the naive attacks left; "" where none did."""
        rest = {name: n for name, n in self.attacks.items() if not name.startswith("naive ")}
        return max(rest, key=lambda name: rest[name]) if any(rest.values()) else ""


def accuracies(fates: str) -> tuple[Estimate, Estimate, Estimate]:
    """Clean, naive and best."""
    n = len(fates)
    clean = n - fates.count(WRONG)
    naive = clean - fates.count(NAIVE)
    return proportion(clean, n), proportion(naive, n), proportion(fates.count(STANDS), n)


def hides(fates: str) -> tuple[bool, float]:
    """Whether a model with these fates is masked, and the p-value.

    Masked: the naive accuracy exceeds the best known one by 10 points or more, with p < 0.001.
    """
    fell = fates.count(ADAPTED)
    p_value = mcnemar(fell, 0)
    return 100 * fell >= POINTS * len(fates) and p_value < P_VALUE, p_value
