"""A small convolutional net with a skip connection, trained briefly before a frozen model.

Source: Boytsov et al. 2024, arXiv:2402.17018 (front end, frozen backbone, about one epoch at a
small rate; randomised ensembles of such).
Differs: a front end small enough for a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from gradwarden.attack.pgd import PGD
from gradwarden.core.devices import device_of
from gradwarden.core.draws import seed_of
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Strongest
from gradwarden.core.protocols import Attack, Progress
from gradwarden.core.threat import Threat
from gradwarden.mask.defended import Defended
from gradwarden.mask.training import Batches, MakeOptimizer, first_batch, tell, train_pass

INNER = PGD(steps=5, step_size=0.5)
KINDS = {3: nn.Conv1d, 4: nn.Conv2d}


@dataclass(frozen=True, kw_only=True)
class DifferentiableFrontEnd:
    """x + net(x) before the model, where `net` has a U shape of `width` channels.

    With a `threat`, it is trained on what `attack` makes of each batch. `fronts` above 1: as many
    are trained, and every forward takes one by chance, from PyTorch's global generator.

    Claims: AutoAttack itself reports robustness, though every part can be differentiated. That is
    what the paper saw on CIFAR and ImageNet; on small nets and digits it hides little.
    Breaks: BPDA with the identity in place of the front end; transfer from the bare model;
    attacks without gradients. An ensemble needs them averaged over its members.
    Cost: training for `epochs`; a forward of a small net.
    """

    width: int = 16
    fronts: int = 1
    epochs: int = 1
    threat: Threat | None = None
    attack: Attack = INNER
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.width, self.fronts, self.epochs) < 1:
            raise BadInput(
                "width, fronts and epochs must be at least 1, got "
                f"{self.width}, {self.fronts} and {self.epochs}"
            )

    def fit(
        self,
        model: nn.Module,
        loader: Batches,
        make_optimizer: MakeOptimizer,
        *,
        on_progress: Progress | None = None,
    ) -> Defended:
        """Trains the front ends alone, one after the other; `model` keeps its weights.

        x is [N, C, T] or [N, C, H, W]. All is returned in eval mode, the model too. `on_progress`
        counts passes over `loader`.
        """
        x, _ = first_batch(loader)
        if x.ndim not in KINDS:
            got = tuple(x.shape)
            raise BadInput(f"DifferentiableFrontEnd needs x [N, C, T] or [N, C, H, W], got {got}")
        total = self.fronts * self.epochs
        place = device_of(model) or x.device
        nets = [self.net(x, number).to(place, x.dtype) for number in range(self.fronts)]
        model.eval()
        with frozen(model):
            for number, net in enumerate(nets):
                whole = nn.Sequential(net, model)
                optimizer = make_optimizer(net.parameters())
                for epoch in range(self.epochs):
                    train_pass(loader, optimizer, lambda x, y: self.loss(whole, x, y))  # noqa: B023
                    tell(on_progress, number * self.epochs + epoch + 1, total)
        return Defended(Fronts(self, nets), model).eval()

    def net(self, x: Tensor, number: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, "DifferentiableFrontEnd", number))
            return FrontEnd(x.shape[1], self.width, x.ndim)

    def loss(self, whole: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        if self.threat is not None:
            hardest = replace(self.threat, goal=Strongest(self.threat.goal))
            x = self.attack.run(whole, x, y, hardest).x_adv
        return cross_entropy(whole(x), y)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Within, no parameter of `model` gets a gradient."""
    trained = [p for p in model.parameters() if p.requires_grad]
    for p in trained:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trained:
            p.requires_grad_(True)


class FrontEnd(nn.Module):
    """x [N, C, ...] -> x + a correction of the same shape, of any length or size."""

    def __init__(self, channels: int, width: int, ndim: int) -> None:
        super().__init__()
        conv = KINDS[ndim]
        self.into = conv(channels, width, 3, padding=1)
        self.down = conv(width, 2 * width, 3, stride=2, padding=1)
        self.deep = conv(2 * width, 2 * width, 3, padding=1)
        self.up = conv(3 * width, width, 3, padding=1)
        self.out = conv(width, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        top = self.into(x).relu()
        low = self.deep(self.down(top).relu()).relu()
        wide = interpolate(low, size=x.shape[2:])
        correction: Tensor = self.out(self.up(torch.cat([top, wide], 1)).relu())
        return x + correction


class Fronts(nn.Module):
    """x through one of the front ends; where there are several, by chance."""

    def __init__(self, options: DifferentiableFrontEnd, nets: list[nn.Module]) -> None:
        super().__init__()
        self.options = options
        self.nets = nn.ModuleList(nets)

    def forward(self, x: Tensor) -> Tensor:
        several = len(self.nets) > 1
        number = int(torch.randint(len(self.nets), ())) if several else 0
        found: Tensor = self.nets[number](x)
        return found

    def surrogate(self) -> nn.Module:
        """The identity: the skip connection carries x itself."""
        return nn.Identity()

    def extra_repr(self) -> str:
        return repr(self.options)
