"""Every value becomes a row of switches, as many on as the value is high.

Source: Buckman et al. 2018, "Thermometer encoding", ICLR; the surrogate of Athalye et al. 2018,
arXiv:1802.00420, sec. 5.1.1.
Differs: the thresholds stand inside the box, at k / (levels + 1), so no switch is always on or off.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Defended
from gradwarden.mask.switches import Switches

RAMP = 4.0  # levels that a ramp rises over; one, as in the attack, is flat too near the box's ends


@dataclass(frozen=True, kw_only=True)
class Thermometer:
    """x [N, C, ...] -> [N, `levels` x C, ...]: channel by channel its switches, lowest first.

    The model must take `levels` times as many channels, and is trained behind the mask.

    Claims: a step function cannot be differentiated, and the model works on its steps alone.
    Breaks: BPDA with a ramp for every switch.
    Cost: `levels` times the first layer; little accuracy if trained with it.
    """

    levels: int = 16
    box: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= 256:
            raise BadInput(f"levels must be in [2, 256], got {self.levels}")
        if not self.box[0] < self.box[1]:
            raise BadInput(f"box must be (low, high) with low < high, got {self.box}")

    def defend(self, model: nn.Module) -> Defended:
        """The model behind the switches; autograd finds no path through them."""
        return Defended(Encoder(self, soft=False), model)


class Encoder(nn.Module):
    """x [N, C, ...] -> its switches [N, levels x C, ...]; `soft`: ramps."""

    def __init__(self, options: Thermometer, *, soft: bool) -> None:
        super().__init__()
        self.options = options
        low, high = options.box
        width = (high - low) / (options.levels + 1)
        edges = low + width * torch.arange(1, options.levels + 1, dtype=torch.float64)
        self.switches = Switches(edges, torch.full_like(edges, RAMP * width), soft=soft)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2:
            raise BadInput(f"Thermometer needs x [N, C, ...], got shape {tuple(x.shape)}")
        rows: Tensor = self.switches(x)  # [N, C, ..., levels]
        return rows.movedim(-1, 2).flatten(1, 2)

    def surrogate(self) -> nn.Module:
        """Ramps instead of switches: right on average, and sloped over several levels."""
        return Encoder(self.options, soft=True)

    def extra_repr(self) -> str:
        return repr(self.options)
