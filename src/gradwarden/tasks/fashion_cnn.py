"""Task `fashion-cnn`: a small convolutional net on photos of clothes, attacked within Linf.

Source: Fashion-MNIST, Xiao et al. 2017, arXiv:1708.07747 (MIT); the threat model of Madry et al.
2018, arXiv:1706.06083.
Differs: the quick size trains on the first images alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import MissingData
from gradwarden.core.threat import Threat
from gradwarden.tasks.files import digest, find
from gradwarden.tasks.image_files import FASHION, fashion
from gradwarden.tasks.loader import Split
from gradwarden.tasks.nets import convolutional, weights
from gradwarden.tasks.task import ACCURACY, SecurityTask, at_least, part

DEBIAN = "/usr/share/datasets/fashion-mnist"
SOURCE = (
    "Debian's package dataset-fashion-mnist or https://github.com/zalandoresearch/fashion-mnist"
)


@dataclass(frozen=True, kw_only=True)
class FashionCNN(SecurityTask):
    """Clothes of ten kinds, within Linf `radius`; trained on `images` of them."""

    path: str = ""  # of the folder with the four idx files; else Debian's, or GRADWARDEN_DATA's
    radius: float = 0.05
    images: int = 6000
    samples: int = 500
    epochs: int = 3
    batch: int = 64
    rate: float = 2e-3  # of Adam

    name = "fashion-cnn"
    field = "images"
    provenance = "70,000 photos of clothes of ten kinds (Fashion-MNIST of Zalando, MIT)."
    metrics = (ACCURACY,)
    classes = (
        "T-shirt",
        "trousers",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    )

    def __post_init__(self) -> None:
        at_least(1, self, "images", "samples", "epochs", "batch")

    @classmethod
    def full(cls) -> FashionCNN:
        return cls(images=20_000, samples=1000, epochs=4)

    @property
    def data(self) -> Mapping[str, str]:
        return {name: digest(self._folder / name) for name in FASHION}

    @property
    def threat(self) -> Threat:
        return Threat(ball=Linf(self.radius))

    def model(self, seed: int) -> nn.Module:
        with weights(seed, self.name):
            return convolutional((1, 28, 28), width=8, classes=len(self.classes))

    def split(self, name: str) -> Split:
        x, y = part(fashion(self._folder), name)
        return Split(x[: self.images], y[: self.images]) if name == "train" else Split(x, y)

    @property
    def _folder(self) -> Path:
        """Raises MissingData where one of the four files is not there."""
        if not self.path and Path(DEBIAN, FASHION[0]).exists():
            return Path(DEBIAN)
        name = f"{self.path}/{FASHION[0]}" if self.path else ""
        folder = find(name, FASHION[0], f"fashion-mnist/{FASHION[0]}", source=SOURCE).parent
        for each in FASHION:
            if not (folder / each).exists():
                raise MissingData(each, SOURCE)
        return folder
