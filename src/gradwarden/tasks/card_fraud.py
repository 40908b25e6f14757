"""Task `card-fraud`: a fraudulent payment is shaped until it passes as a legitimate one.

Source: data of Dal Pozzolo et al. 2015 (ULB Machine Learning Group: creditcard.csv); constraints after
Cartella et al. 2021, arXiv:2101.08030, and Simonetto et al. 2024, arXiv:2406.00775.
Differs: the components are anonymous, so the `open` ones of least variance are taken for the buyer's
to choose and the others, with the time, for the bank's own record; an amount may only fall.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat
from gradwarden.tasks.card_payments import NAMES, SOURCE, payments
from gradwarden.tasks.evasion import (
    FALSE_POSITIVES,
    RECALL,
    Table,
    at_rate,
    check_rate,
    evasion,
    sought,
)
from gradwarden.tasks.files import digest, find
from gradwarden.tasks.loader import Loader, Split
from gradwarden.tasks.nets import perceptron, weights
from gradwarden.tasks.task import SecurityTask, at_least, part


@dataclass(frozen=True, kw_only=True)
class CardFraud(SecurityTask):
    """Payments by 28 components and their amount, at a fixed false-positive rate."""

    path: str = ""  # of creditcard.csv; else it is looked for in the folder of GRADWARDEN_DATA
    radius: float = 0.25  # one standard deviation, or one whole step
    open: int = 14  # components that the buyer can move
    false_positives: float = 0.005  # share of legitimate payments that may be flagged
    samples: int = 100
    hidden: int = 32
    epochs: int = 1  # passes through the legitimate payments
    batch: int = 256
    rate: float = 2e-3  # of Adam

    name = "card-fraud"
    field = "fraud"
    provenance = "Card payments of two days of 2013, anonymised by the ULB Machine Learning Group."
    metrics = (RECALL, FALSE_POSITIVES)
    classes = ("legitimate", "fraud")

    def __post_init__(self) -> None:
        at_least(1, self, "open", "hidden", "epochs", "batch", "samples")
        check_rate(self.false_positives)

    @classmethod
    def full(cls) -> CardFraud:
        return cls(epochs=5, hidden=64)

    @property
    def data(self) -> Mapping[str, str]:
        return {self._file.name: digest(self._file)}

    @property
    def threat(self) -> Threat:
        return evasion(self._table.schema, Linf(self.radius))

    def model(self, seed: int) -> nn.Module:
        with weights(seed, self.name):
            return perceptron(self._table.train.x, hidden=self.hidden)

    def split(self, name: str) -> Split:
        found: Split = part(self._table[1:], name)
        return found

    def threat_on(self, model: nn.Module) -> Threat:
        return at_rate(self.threat, model, self.split("validation"), self.false_positives)

    def held_out(self) -> Split:
        """Frauds of the test split."""
        return sought(self.split("test"), self.samples)

    def loader(self, seed: int) -> Loader:
        """A quarter of each batch is fraud, drawn anew: else a net hardly ever sees one."""
        return Loader.of(self.split("train"), self.batch, seed, self.name, share=0.25)

    @property
    def _file(self) -> Path:
        return find(self.path, *NAMES, source=SOURCE)

    @property
    def _table(self) -> Table:
        return payments(self._file, self.open)
