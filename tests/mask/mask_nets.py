"""Small nets on the 8x8 digits of scikit-learn, trained once, and what attackers make of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.linf import Linf
from gradwarden.core.goal import Strongest, Untargeted
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat
from gradwarden.mask.inside import replaced
from gradwarden.mask.surrogates import surrogates

THREAT = Threat(ball=Linf(0.15))
SHOWN = 150  # images under attack
FOLLOW = PGD(steps=15, step_size=0.2)
Batch = tuple[Tensor, Tensor]


@cache
def digits() -> tuple[Tensor, Tensor]:
    """x [1797, 1, 8, 8] in [0, 1], y [1797], shuffled."""
    table = load_digits()
    order = torch.randperm(len(table.target), generator=torch.Generator().manual_seed(0))
    x = torch.from_numpy(table.images).float()[order, None] / 16
    return x, torch.from_numpy(table.target).long()[order]


def shown() -> Batch:
    x, y = digits()
    return x[:SHOWN], y[:SHOWN]


def loader() -> list[Batch]:
    x, y = digits()
    return list(zip(x[SHOWN:].split(64), y[SHOWN:].split(64), strict=True))


def fresh(channels: int = 1, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 64, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, 3e-3)


def learnt(model: nn.Module, epochs: int = 6) -> nn.Module:
    """Trained in place; in eval mode."""
    torch.manual_seed(0)
    optimizer = adam(model.parameters())
    model.train()
    for _ in range(epochs):
        for x, y in loader():
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
    return model.eval()


@cache
def plain(seed: int = 0) -> nn.Module:
    """Undefended; whoever changes its weights must take a copy."""
    return learnt(fresh(seed=seed))


def accuracy(model: nn.Module, x: Tensor, y: Tensor, draws: int = 1) -> float:
    """The mean over `draws` forwards."""
    with torch.no_grad():
        return sum(float((model(x).argmax(1) == y).double().mean()) for _ in range(draws)) / draws


def after(
    model: nn.Module,
    attack: Attack,
    threat: Threat = THREAT,
    *,
    seen: nn.Module | None = None,
    draws: int = 1,
) -> float:
    """Accuracy of `model` on what `attack` found against `seen`, or against the model itself."""
    torch.manual_seed(0)
    x, y = shown()
    found = attack.run(model if seen is None else seen, x, y, threat, seed=0)
    assert threat.allows(found.x_adv, x).all()
    return accuracy(model, found.x_adv, y, draws)


def relentless(threat: Threat = THREAT) -> Threat:
    """Goes on after a success, which against a random model may be luck."""
    return Threat(ball=threat.ball, box=threat.box, goal=Strongest(Untargeted()))


def unmasked(model: nn.Module) -> nn.Module:
    """The model with every mask replaced by its surrogate, forward too."""
    stand_in = {patch.path: patch.module for patch in surrogates(model)}
    left = iter(stand_in.values())

    def surrogate(_: nn.Module) -> nn.Module:
        found = next(left)
        assert found is not None
        return found

    return replaced(model, list(stand_in), surrogate)


class Averaged(nn.Module):
    """Mean log-probability over `draws` forwards: what EOT differentiates."""

    def __init__(self, model: nn.Module, draws: int) -> None:
        super().__init__()
        self.model, self.draws = model, draws
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.model(x).log_softmax(1) for _ in range(self.draws)]).mean(0)
