"""Task `pneumonia`: a chest X-ray is changed until pneumonia is missed.

Source: PneumoniaMNIST of Yang et al. 2023 (MedMNIST v2), arXiv:2110.14795; adversaries of medical
systems: Finlayson et al. 2019, Science 363(6433).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from gradwarden.core.balls.linf import Linf
from gradwarden.core.goal import Evades
from gradwarden.core.threat import Threat
from gradwarden.tasks.evasion import (
    AUROC,
    FALSE_POSITIVES,
    SENSITIVITY,
    at_rate,
    check_rate,
    sought,
)
from gradwarden.tasks.files import digest, find
from gradwarden.tasks.image_files import medical
from gradwarden.tasks.loader import Split
from gradwarden.tasks.nets import convolutional, weights
from gradwarden.tasks.task import SecurityTask, at_least, part


@dataclass(frozen=True, kw_only=True)
class Pneumonia(SecurityTask):
    """X-rays of children, 28 x 28 pixels, within Linf `radius`."""

    path: str = ""  # of pneumoniamnist.npz; else looked for in the folder of GRADWARDEN_DATA
    radius: float = 4 / 255
    false_positives: float = 0.05  # share of healthy children that may be flagged
    samples: int = 200
    epochs: int = 2
    batch: int = 64
    rate: float = 1e-3  # of Adam

    name = "pneumonia"
    field = "medicine"
    provenance = "Chest X-rays of children, 28 x 28 pixels (PneumoniaMNIST of MedMNIST, CC BY 4.0)."
    metrics = (SENSITIVITY, AUROC, FALSE_POSITIVES)
    classes = ("healthy", "pneumonia")

    def __post_init__(self) -> None:
        at_least(1, self, "samples", "epochs", "batch")
        check_rate(self.false_positives)

    @classmethod
    def full(cls) -> Pneumonia:
        return cls(epochs=10, samples=390)

    @property
    def data(self) -> Mapping[str, str]:
        return {self._file.name: digest(self._file)}

    @property
    def threat(self) -> Threat:
        return Threat(ball=Linf(self.radius), goal=Evades(source=1))

    def threat_on(self, model: nn.Module) -> Threat:
        return at_rate(self.threat, model, self.split("validation"), self.false_positives)

    def model(self, seed: int) -> nn.Module:
        with weights(seed, self.name):
            return convolutional((1, 28, 28), width=8, classes=2)

    def split(self, name: str) -> Split:
        found: Split = part(medical(self._file), name)
        return found

    def held_out(self) -> Split:
        """Children with pneumonia of the test split."""
        return sought(self.split("test"), self.samples)

    @property
    def _file(self) -> Path:
        source = "MedMNIST, https://zenodo.org/records/10519652"
        return find(self.path, "pneumoniamnist.npz", source=source)
