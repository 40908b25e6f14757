"""Task `breast-cancer`: measured cell nuclei are shifted until a malignant tumour passes as benign.

Source: data of Street et al. 1993 (UCI Breast Cancer Wisconsin, CC BY 4.0); adversaries of medical
systems: Finlayson et al. 2019, Science 363(6433).
Differs: a worst value stays at least the mean of its kind, as it is by definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import MissingExtra
from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Real
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
    stratified,
)
from gradwarden.tasks.loader import Split
from gradwarden.tasks.nets import perceptron, weights
from gradwarden.tasks.packages import version
from gradwarden.tasks.task import SecurityTask, at_least, part

SHARES = (0.6, 0.15)  # train, validation; the rest is the test split
KINDS = 10  # measures; the columns are the mean, the standard error and the worst of each


@dataclass(frozen=True, kw_only=True)
class BreastCancer(SecurityTask):
    """Tumours by thirty measures; `radius` 0.1 is 0.4 standard deviations of each."""

    radius: float = 0.1
    false_positives: float = 0.05  # share of benign tumours that may be flagged
    samples: int = 100
    hidden: int = 32
    epochs: int = 20
    batch: int = 32
    rate: float = 1e-2  # of Adam

    name = "breast-cancer"
    field = "medicine"
    provenance = "569 tumours, 212 of them malignant, that come with scikit-learn (UCI, CC BY 4.0)."
    metrics = (SENSITIVITY, AUROC, FALSE_POSITIVES)
    classes = ("benign", "malignant")

    def __post_init__(self) -> None:
        at_least(1, self, "hidden", "epochs", "batch", "samples")
        check_rate(self.false_positives)

    @classmethod
    def full(cls) -> BreastCancer:
        return cls(hidden=64, epochs=200)

    @property
    def data(self) -> Mapping[str, str]:
        return {"scikit-learn": version("scikit-learn", module="sklearn")}

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
        """Malignant tumours of the test split."""
        return sought(self.split("test"), self.samples)


@cache
def _table() -> Table:
    """Raises MissingExtra."""
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError:
        raise MissingExtra("scikit-learn", "tasks") from None
    found = load_breast_cancer()
    x = torch.from_numpy(found.data).float()
    y = torch.from_numpy(found.target == 0).long()  # the package calls malignant 0
    names = [str(name).replace(" ", "_") for name in found.feature_names]
    widths = (4 * x.std(0)).tolist()  # two deviations to either side hold most tumours
    columns = zip(names, x.amax(0).tolist(), widths, strict=True)
    features = tuple(Real(name, 0.0, 2 * high, width=width) for name, high, width in columns)
    pairs = zip(names[:KINDS], names[-KINDS:], strict=True)
    schema = Tabular(features=features, relations=tuple(f"{a} <= {b}" for a, b in pairs))
    rows = stratified(y, SHARES)
    return Table(schema, *(Split(x[some], y[some]) for some in rows))
