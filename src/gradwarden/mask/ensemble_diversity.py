"""Several nets trained to agree on the right class and to differ on all others.

Source: Pang et al. 2019, arXiv:1901.08846, sec. 3.3 (adaptive diversity promoting, ADP).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Progress
from gradwarden.mask.training import Batches, MakeOptimizer, tell, train_pass


@dataclass(frozen=True, kw_only=True)
class EnsembleDiversity:
    """Loss: each net's cross-entropy, minus `alpha` H, minus `beta` log det.

    H is the entropy of the mean probabilities; the determinant is that of the cosines between the
    nets' probabilities of wrong classes. Both want nets that are wrong in different ways.

    Claims: an example that fools one net does not fool the others.
    Breaks: more and smaller steps of PGD, and a loss that the high entropy does not flatten
    (margin): the nets differ, but all of them have adversarial examples nearby.
    Cost: as many trainings and forwards as nets; confidence in the right class.
    """

    alpha: float = 2.0
    beta: float = 0.5
    epochs: int = 10

    def __post_init__(self) -> None:
        if not (0.0 <= self.alpha < float("inf") and 0.0 <= self.beta < float("inf")):
            raise BadInput(f"alpha and beta must be at least 0, got {self.alpha} and {self.beta}")
        if self.epochs < 1:
            raise BadInput(f"epochs must be at least 1, got {self.epochs}")

    def fit(
        self,
        models: Sequence[nn.Module],
        loader: Batches,
        make_optimizer: MakeOptimizer,
        *,
        on_progress: Progress | None = None,
    ) -> MeanEnsemble:
        """Trains two or more `models` in place, together; the paper has three. In eval mode.

        There must be more classes than models. `on_progress` counts passes over `loader`.
        """
        if len(models) < 2:
            raise BadInput(f"models must be at least 2, with different weights, got {len(models)}")
        found = MeanEnsemble(models).train()
        optimizer = make_optimizer(chain(*(model.parameters() for model in models)))
        for epoch in range(self.epochs):
            train_pass(loader, optimizer, lambda x, y: self.loss(found.members(x), y))
            tell(on_progress, epoch + 1, self.epochs)
        return found.eval()

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """logits [N, models, classes], y [N] -> the mean over samples."""
        count, classes = logits.shape[1:]
        if classes <= count:
            raise BadInput(f"{count} models need more than {count} classes, got {classes}")
        own = sum(cross_entropy(logits[:, k], y) for k in range(count))
        mean = logits.softmax(-1).mean(1)
        entropy = -torch.special.xlogy(mean, mean.clamp(min=1e-20)).sum(1).mean()
        total: Tensor = own - self.alpha * entropy - self.beta * diversity(logits, y).mean()
        return total


def diversity(logits: Tensor, y: Tensor) -> Tensor:
    """[N, models, classes], y [N] -> log det of the cosines between wrong-class probabilities."""
    count, classes = logits.shape[1:]
    wrong = torch.arange(classes, device=y.device) != y[:, None]  # [N, classes]
    rows = logits.softmax(-1)[wrong[:, None].expand_as(logits)].view(len(y), count, classes - 1)
    rows = normalize(rows, dim=-1)
    # As in the paper's code, a little is added, for nets that agree have determinant 0.
    gram = rows @ rows.mT + 1e-6 * torch.eye(count, device=rows.device, dtype=rows.dtype)
    found: Tensor = torch.linalg.slogdet(gram).logabsdet
    return found


class MeanEnsemble(nn.Module):
    """x [N, ...] -> log of the members' mean probability [N, classes]."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def members(self, x: Tensor) -> Tensor:
        """Logits [N, models, classes]."""
        return torch.stack([model(x) for model in self.models], 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.members(x).log_softmax(-1)
        return parts.logsumexp(1) - torch.tensor(float(len(self.models))).log()
