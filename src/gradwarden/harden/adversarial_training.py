"""Training on the strongest points that an attack finds.

Source: Madry et al. 2018, arXiv:1706.06083, sec. 2 and 4.
Differs: the attack returns the strongest point visited, the unperturbed one included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn, optim

from gradwarden.attack.pgd import PGD
from gradwarden.core.goal import Strongest
from gradwarden.core.protocols import Attack, Progress
from gradwarden.core.threat import Threat
from gradwarden.harden.training import (
    CROSS_ENTROPY,
    Batch,
    Batches,
    Course,
    TrainingLoss,
    answering,
    check_epochs,
    train,
)
from gradwarden.harden.watch import Watch

INNER = PGD(steps=7, step_size=0.3)


@dataclass(frozen=True, kw_only=True)
class AdversarialTraining:
    """Each batch is replaced by what `attack` makes of it inside `threat`, for `epochs` passes.

    An honest defence: the gradient stays. With PGD it costs about steps + 2 times plain
    training, and some clean accuracy. `loss` of (logits, y) is what is minimised at those points.
    """

    threat: Threat
    attack: Attack = INNER
    epochs: int = 10
    loss: TrainingLoss = CROSS_ENTROPY

    def __post_init__(self) -> None:
        check_epochs(self.epochs)

    def fit(
        self,
        model: nn.Module,
        loader: Batches,
        optimizer: optim.Optimizer,
        *,
        on_progress: Progress | None = None,
        seed: int = 0,
        first_epoch: int = 0,
        watch: Watch | None = None,
    ) -> nn.Module:
        """Trains `model` in place, as `harden.training.train` says; x lie in the threat's box."""
        return train(
            Course(self.epochs, self._objective, self.threat.check),
            model,
            loader,
            optimizer,
            on_progress=on_progress,
            seed=seed,
            first_epoch=first_epoch,
            watch=watch,
        )

    def _objective(self, model: nn.Module, batch: Batch) -> Tensor:
        hardest = replace(self.threat, goal=Strongest(self.threat.goal))
        with answering(model):
            found = self.attack.run(
                model, batch.x, batch.y, hardest, seed=batch.seed, ids=batch.ids
            )
        return self.loss(model(found.x_adv), batch.y)
