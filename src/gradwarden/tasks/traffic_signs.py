"""Task `traffic-signs`: a photographed sign is changed, or a sticker put on it, until it is misread.

Source: GTSRB, Stallkamp et al. 2012; stickers on signs: Eykholt et al. 2018, arXiv:1707.08945.
Differs: photos of 32 x 32 pixels, the kinds with the lowest numbers (the speed limits come first),
split by track; a sticker lies along the axes wherever the attacker likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.patch import Patch
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat
from gradwarden.tasks.files import digest, find
from gradwarden.tasks.image_files import Images, signs
from gradwarden.tasks.loader import Split
from gradwarden.tasks.metrics import judged
from gradwarden.tasks.nets import convolutional, weights
from gradwarden.tasks.task import ACCURACY, Metric, SecurityTask, at_least, logits_of, part

KINDS = 43
ATTACKERS = ("linf", "patch")
STICKER = Metric("accuracy with a sticker", "share of the signs", True)


@dataclass(frozen=True, kw_only=True)
class TrafficSigns(SecurityTask):
    """Signs against an `attacker` of Linf `radius`, or with a sticker of `side` x `side` pixels."""

    # Of the official training archive, packed or not, or of an npz with X, y and track; else it is
    # looked for in the folder of GRADWARDEN_DATA.
    path: str = ""
    attacker: str = "linf"
    radius: float = 4 / 255
    side: int = 6
    kinds: int = 10  # of the 43
    samples: int = 200
    epochs: int = 6
    batch: int = 64
    rate: float = 2e-3  # of Adam

    name = "traffic-signs"
    field = "vehicles"
    provenance = "Photos of German traffic signs (GTSRB, INI Bochum), 32 x 32 pixels."
    metrics = (ACCURACY, STICKER)

    def __post_init__(self) -> None:
        if self.attacker not in ATTACKERS:
            raise BadInput(f"attacker must be one of linf, patch, got {self.attacker!r}")
        at_least(1, self, "side", "samples", "epochs", "batch")
        if not 2 <= self.kinds <= KINDS:
            raise BadInput(f"kinds must be in 2 to {KINDS}, got {self.kinds}")

    @classmethod
    def full(cls) -> TrafficSigns:
        return cls(kinds=KINDS, samples=500, epochs=10)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(f"GTSRB {k}" for k in range(self.kinds))

    @property
    def data(self) -> Mapping[str, str]:
        return {self._file.name: digest(self._file)}

    @property
    def threat(self) -> Threat:
        patch = Patch(shape=(self.side, self.side))
        return Threat(ball=Linf(self.radius) if self.attacker == "linf" else patch)

    def model(self, seed: int) -> nn.Module:
        with weights(seed, self.name):
            return convolutional((3, 32, 32), width=12, classes=self.kinds)

    def split(self, name: str) -> Split:
        found: Split = part(self._images, name)
        return found

    def scores(self, model: nn.Module, split: str) -> dict[str, float]:
        """Without an attacker no sign has a sticker."""
        x, y = self.split(split)
        found = self.judge(logits_of(model, x), y, self.threat_on(model))
        return found | {STICKER.name: found[ACCURACY.name]}

    def judge(self, logits: Tensor, y: Tensor, threat: Threat) -> dict[str, float]:
        """The accuracy alone: `under` tells the one with a sticker."""
        return judged([ACCURACY.name], logits, y, threat.goal)

    def under(self, model: nn.Module, attack: Attack) -> dict[str, float]:
        """The share still right with a sticker that `attack` paints, wherever it does most harm."""
        x, y = self.held_out()
        sticker = Threat(ball=Patch(shape=(self.side, self.side)))
        hit = logits_of(model, attack.run(model, x, y, sticker).x_adv).argmax(1) == y
        return {STICKER.name: float(hit.double().mean())}

    @property
    def _file(self) -> Path:
        source = "GTSRB, https://benchmark.ini.rub.de"
        names = ("GTSRB_Final_Training_Images.zip", "gtsrb32.npz", "gtsrb32_8879.npz")
        return find(self.path, *names, source=source)

    @property
    def _images(self) -> Images:
        return signs(self._file, self.kinds)
