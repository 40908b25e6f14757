"""Several models, or one on several views of x, vote; only the winner is told.

Source: the crop ensemble of Guo et al. 2018, arXiv:1711.00117, sec. 3, with hard votes; one-hot
answers as in ART's class-label post-processor.
Differs: views are shifts of the whole image, so that the model's input keeps its size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Answered


@dataclass(frozen=True, kw_only=True)
class HardVote:
    """Each voter names a class; the answer is 1 for the class most named and 0 for the others.

    `shift` above 0: each model also votes on x moved that many places to each side, in each
    dimension after the channel, zeros moving in.

    Claims: an attacker learns a decision, and must win a majority for it.
    Breaks: BPDA with the mean of the voters' probabilities.
    Cost: a forward for each voter and view; ties go to the first class.
    """

    shift: int = 0

    def __post_init__(self) -> None:
        if self.shift < 0:
            raise BadInput(f"shift must be at least 0, got {self.shift}")

    def defend(self, model: nn.Module, *others: nn.Module) -> Answered:
        """`model` and `others`, untouched, as voters; autograd finds no path."""
        return Answered(Voters(self, (model, *others)), Ballot(self))


class Voters(nn.Module):
    """x [N, ...] -> logits of all models on all views [N, voters, classes]."""

    def __init__(self, options: HardVote, models: tuple[nn.Module, ...]) -> None:
        super().__init__()
        self.shift = options.shift
        self.models = nn.ModuleList(models)
        self.training = models[0].training

    def forward(self, x: Tensor) -> Tensor:
        if self.shift and (x.ndim < 3 or min(x.shape[2:]) <= self.shift):
            raise BadInput(
                f"HardVote with shift {self.shift} needs x [N, C, ...] with longer sides, got "
                f"{tuple(x.shape)}"
            )
        views = [x, *(moved(x, by, place) for place in range(2, x.ndim) for by in self.steps())]
        return torch.stack([model(view) for model in self.models for view in views], 1)

    def steps(self) -> tuple[int, ...]:
        return (-self.shift, self.shift) if self.shift else ()


class Ballot(nn.Module):
    """logits [N, voters, classes] -> one-hot winner [N, classes]."""

    def __init__(self, options: HardVote) -> None:
        super().__init__()
        self.options = options

    def forward(self, logits: Tensor) -> Tensor:
        classes = logits.shape[-1]
        counts = one_hot(logits.argmax(-1), classes).sum(1)
        return one_hot(counts.argmax(-1), classes).to(logits.dtype)

    def surrogate(self) -> nn.Module:
        """The voters' mean probability."""
        return MeanVote()

    def extra_repr(self) -> str:
        return repr(self.options)


class MeanVote(nn.Module):
    """logits [N, voters, classes] -> mean probabilities [N, classes]."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1).mean(1)


def moved(x: Tensor, by: int, place: int) -> Tensor:
    """x moved `by` places up dimension `place`, zeros where nothing was."""
    rest = x.narrow(place, max(0, -by), x.shape[place] - abs(by))
    gap = torch.zeros_like(x.narrow(place, 0, abs(by)))
    return torch.cat([gap, rest] if by > 0 else [rest, gap], place)
