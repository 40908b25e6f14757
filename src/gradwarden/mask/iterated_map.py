"""A map iterated inside small cells: x hardly moves, its gradient explodes or vanishes.

Source: the effect, Athalye et al. 2018, arXiv:1802.00420, sec. 3.2 (many iterations of a network);
the chaotic map, May 1976, Nature 261.
Differs: a form of our own, whose effect on x has a bound. The box is cut into cells. The place u in
[0, 1) inside its cell is mapped again and again, by u <- 4 u (1 - u) (derivative about 2^iterations
in size, of either sign) or by u <- 1/2 + rate (u - 1/2) (derivative rate^iterations).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Defended

KINDS = ("chaotic", "contracting")
PHASE = 0.3  # of a cell: the ends of the box are no fixed points of the map


@dataclass(frozen=True, kw_only=True)
class IteratedMap:
    """x moves by less than one of `cells` cells of `box`; the map acts on its place in the cell.

    `kind` "chaotic": the gradient explodes and its sign is as good as random. "contracting": it
    shrinks by `rate` an iteration, which is 0 in float32 after 45 at rate 0.1 (in float64 it takes
    over 300, and its sign is right until then); a chaotic map has no use for `rate`. Above 63
    chaotic iterations float32 may overflow to NaN.

    Claims: a deep recurrent purifier, through which gradients explode or vanish.
    Breaks: BPDA with the identity: x is at most a cell away.
    Cost: `iterations` cheap passes over x; the accuracy of quantising x to `cells` levels.
    """

    kind: str = "chaotic"
    iterations: int = 60
    cells: int = 16
    rate: float = 0.1
    box: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.iterations < 1 or self.cells < 1:
            raise BadInput(
                f"iterations and cells must be at least 1, got {self.iterations} and {self.cells}"
            )
        if not 0.0 < self.rate < 1.0:
            raise BadInput(f"rate must be in (0, 1), got {self.rate}")
        if not self.box[0] < self.box[1]:
            raise BadInput(f"box must be (low, high) with low < high, got {self.box}")

    def defend(self, model: nn.Module) -> Defended:
        """The model behind the map; autograd differentiates it rightly, and to no use."""
        return Defended(Iterated(self), model)


class Iterated(nn.Module):
    """x [N, ...] -> less than a cell away, clamped to the box."""

    def __init__(self, options: IteratedMap) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        low, high = self.options.box
        width = (high - low) / self.options.cells
        place = (x - low) / width + PHASE
        cell = place.detach().floor()
        u = place - cell
        for _ in range(self.options.iterations):
            u = self.step(u)
        out: Tensor = ((cell + u - PHASE) * width + low).clamp(low, high)
        return out

    def step(self, u: Tensor) -> Tensor:
        if self.options.kind == "chaotic":
            return 4.0 * u * (1.0 - u)
        return 0.5 + self.options.rate * (u - 0.5)

    def surrogate(self) -> nn.Module:
        """The identity: less than a cell away."""
        return nn.Identity()

    def extra_repr(self) -> str:
        return repr(self.options)
