"""The class that a model answers most often under Gaussian noise, and how far that holds.

Source: Cohen et al. 2019, arXiv:1902.02918, theorem 1, alg. "Certify" (sec. 3.2.2).
Differs: draws on which the model predicts nothing (NaN) count as votes for no class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.estimate import Estimate, proportion
from gradwarden.core.goal import predicts
from gradwarden.core.protocols import Progress
from gradwarden.core.search import Model
from gradwarden.harden.noise_training import check_sigma
from gradwarden.harden.smoothed import Smoothed

ABSTAINS = -1
BLOCK = 32  # noise vectors drawn at a time, whatever the batch size


class Certified(NamedTuple):
    """Each radius holds with probability 1 - alpha, over the draws."""

    predicted: Tensor  # [N] class, or -1 where it abstains
    radius: Tensor  # [N] float64, L2, in units of x; 0 where it abstains

    def accuracy(self, y: Tensor, radius: float) -> Estimate:
        """Share of y [N] that is predicted right all over the L2 ball: a lower bound.

        The interval is that of the share; that each certificate may fail with alpha is not in it.
        """
        return proportion(int(((self.predicted == y) & (self.radius >= radius)).sum()), len(y))


@dataclass(frozen=True, kw_only=True)
class RandomisedSmoothing:
    """Answers for the smoothed model: the most frequent class of x + N(0, sigma^2).

    Of `n0` draws the most frequent class is taken; of `n` fresh ones its share is bounded from
    below (Clopper-Pearson, one-sided, level 1 - alpha). Above 1/2, no change of L2 length below
    sigma * quantile(share) changes the smoothed answer; else it abstains. Costs n0 + n forwards a
    sample. Worth it for a model trained with noise of the same sigma (`NoiseTraining`).
    """

    sigma: float
    n0: int = 100
    n: int = 10_000
    alpha: float = 0.001

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
        if self.n0 < 1 or self.n < 1:
            raise BadInput(f"n0 and n must be at least 1, got {self.n0} and {self.n}")
        if not 0.0 < self.alpha < 0.5:
            raise BadInput(f"alpha must be in (0, 0.5), got {self.alpha}")

    def certify(
        self,
        model: Model,
        x: Tensor,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
        batch_size: int = 512,
        on_progress: Progress | None = None,
    ) -> Certified:
        """x [N, ...] -> class and radius of each; `batch_size` noisy copies go through at a time.

        `ids` [N] (default 0 ... N-1) key the draws. `on_progress` counts samples.
        """
        if batch_size < 1:
            raise BadInput(f"batch_size must be at least 1, got {batch_size}")
        if isinstance(model, nn.Module) and model.training:
            raise BadInput("the model is in train mode: call model.eval() first")
        names = range(len(x)) if ids is None else ids
        if len(names) != len(x):
            raise BadInput(f"ids must name each of the {len(x)} samples, got {len(names)}")
        found = []
        for i, row in enumerate(x.split(1)):
            draws = Draws(seed, [names[i]], "RandomisedSmoothing")
            found.append(self._certify(model, row, draws, batch_size))
            if on_progress is not None:
                on_progress(i + 1, len(x))
        classes, radii = [c for c, _ in found], [r for _, r in found]
        return Certified(
            torch.tensor(classes, dtype=torch.long, device=x.device),
            torch.tensor(radii, dtype=torch.float64, device=x.device),
        )

    def defend(
        self, model: nn.Module, *, draws: int = 32, seed: int = 0, votes: bool = False
    ) -> Smoothed:
        """The smoothed model as a module: an estimate of it from `draws` draws."""
        return Smoothed(model, sigma=self.sigma, draws=draws, seed=seed, votes=votes)

    def _certify(
        self, model: Model, row: Tensor, draws: Draws, batch_size: int
    ) -> tuple[int, float]:
        guess = int(self._votes(model, row, draws, self.n0, batch_size).argmax())
        votes = self._votes(model, row, draws, self.n, batch_size)
        return decide(guess, int(votes[guess]), self.n, self.alpha, self.sigma)

    def _votes(self, model: Model, row: Tensor, draws: Draws, n: int, batch_size: int) -> Tensor:
        """[classes] how many of `n` noisy copies of row [1, ...] were answered with each class."""
        votes: Tensor | None = None
        for noise in _noise(row, draws, n, batch_size):
            with torch.no_grad():
                logits = model(row + self.sigma * noise)
            answers = logits.argmax(1)[predicts(logits)]
            counted = answers.bincount(minlength=logits.shape[1])
            votes = counted if votes is None else votes + counted
        assert votes is not None
        return votes


def decide(guess: int, votes: int, n: int, alpha: float, sigma: float) -> tuple[int, float]:
    """(class, radius) where `guess` got `votes` of `n`; (-1, 0.0) where that is too few."""
    from scipy.special import ndtri

    share = proportion(votes, n, level=1 - 2 * alpha).low
    return (guess, sigma * float(ndtri(share))) if share > 0.5 else (ABSTAINS, 0.0)


def _noise(row: Tensor, draws: Draws, n: int, batch_size: int) -> Iterator[Tensor]:
    """`n` standard normal vectors like row [1, ...], at most `batch_size` at a time.

    Drawn in whole blocks, for torch's generator gives other numbers where it is asked for less.
    """
    waiting: list[Tensor] = []
    for left in range(n, 0, -BLOCK):
        waiting.append(draws.normal(row, BLOCK, *row.shape[1:])[0][:left])
        if len(waiting) * BLOCK >= batch_size or left <= BLOCK:
            yield from torch.cat(waiting).split(batch_size)
            waiting = []
