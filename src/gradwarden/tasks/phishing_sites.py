"""Task `phishing`: a phishing site changes what it shows until it passes as an honest one.

Source: data of Abdelhamid et al. 2014 (UCI Website Phishing); threat of Simonetto et al. 2024,
arXiv:2406.00775.
Differs: any feature but the age of the domain may change, by as many levels in all as the ball allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from torch import nn

from gradwarden.core.balls.l1 import L1
from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Feature
from gradwarden.core.threat import Threat
from gradwarden.tasks.evasion import (
    FALSE_POSITIVES,
    RECALL,
    Table,
    at_rate,
    check_rate,
    evasion,
    sought,
)
from gradwarden.tasks.loader import Split
from gradwarden.tasks.nets import perceptron, weights
from gradwarden.tasks.packages import version
from gradwarden.tasks.phishing import phishing
from gradwarden.tasks.task import SecurityTask, at_least, part

FIXED = "age_of_domain"  # nobody makes a domain older


@dataclass(frozen=True, kw_only=True)
class PhishingSites(SecurityTask):
    """Sites by nine observations of three levels; `radius` 1 is two levels in all."""

    radius: float = 1.0
    false_positives: float = 0.05  # share of honest sites that may be flagged
    samples: int = 200
    hidden: int = 32
    epochs: int = 20
    batch: int = 50
    rate: float = 3e-3  # of Adam

    name = "phishing"
    field = "fraud"
    provenance = "1,250 websites, 548 of them phishing, from the package river (UCI, CC BY 4.0)."
    metrics = (RECALL, FALSE_POSITIVES)
    classes = ("honest", "phishing")

    def __post_init__(self) -> None:
        at_least(1, self, "hidden", "epochs", "batch", "samples")
        check_rate(self.false_positives)

    @classmethod
    def full(cls) -> PhishingSites:
        return cls(hidden=64, epochs=100)

    @property
    def data(self) -> Mapping[str, str]:
        return {"river": version("river")}

    @property
    def threat(self) -> Threat:
        return evasion(_table().schema, L1(self.radius))

    def model(self, seed: int) -> nn.Module:
        with weights(seed, self.name):
            return perceptron(_table().train.x, hidden=self.hidden)

    def split(self, name: str) -> Split:
        found: Split = part(_table()[1:], name)
        return found

    def threat_on(self, model: nn.Module) -> Threat:
        return at_rate(self.threat, model, self.split("validation"), self.false_positives)

    def held_out(self) -> Split:
        """Phishing sites of the test split."""
        return sought(self.split("test"), self.samples)


@cache
def _table() -> Table:
    found = phishing()
    schema = Tabular(features=tuple(map(_movable, found.features)))
    return Table(schema, found.train, found.validation, found.test)


def _movable(feature: Feature) -> Feature:
    return replace(feature, change="none") if feature.name == FIXED else feature
