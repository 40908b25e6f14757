"""Training on the strongest points that an attack finds.

Source: Madry et al. 2018, arXiv:1706.06083, sec. 2 and 4.
Differs: the attack returns the strongest point visited, the unperturbed one included.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import Tensor, nn, optim
from torch.nn.functional import cross_entropy

from gradwarden.attack.pgd import PGD
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Strongest
from gradwarden.core.protocols import Attack, Progress
from gradwarden.core.threat import Threat

INNER = PGD(steps=7, step_size=0.3)


@dataclass(frozen=True, kw_only=True)
class AdversarialTraining:
    """Each batch is replaced by what `attack` makes of it inside `threat`, for `epochs` passes.

    An honest defence: the gradient stays. With PGD it costs about steps + 2 times plain
    training, and some clean accuracy.
    """

    threat: Threat
    attack: Attack = INNER
    epochs: int = 10

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise BadInput(f"epochs must be at least 1, got {self.epochs}")

    def fit(
        self,
        model: nn.Module,
        loader: Iterable[tuple[Tensor, Tensor]],
        optimizer: optim.Optimizer,
        *,
        on_progress: Progress | None = None,
        seed: int = 0,
        first_epoch: int = 0,
    ) -> nn.Module:
        """Trains `model` in place with the user's `optimizer`; returned in eval mode.

        `loader` gives (x [N, ...] in the threat's box, y [N]) afresh for each epoch. The attack
        sees the model in eval mode, the step in train mode (what is frozen in a model that comes in
        train mode stays so). Whatever hooks `optimizer.step`, a
        clipper for one, works here as in any loop. `on_progress` counts epochs. Interrupted, the
        model holds the weights of the last whole step; with those and the optimizer's state,
        `first_epoch` goes on where it was, with the same draws.
        """
        hardest = replace(self.threat, goal=Strongest(self.threat.goal))
        if not model.training:
            model.train()
        modes = {module: module.training for module in model.modules()}
        for epoch in range(first_epoch, self.epochs):
            samples = 0
            for x, y in loader:
                if not samples and epoch == first_epoch:
                    self.threat.check(x, y)
                ids = range(samples, samples + len(x))
                samples += len(x)
                model.eval()  # a passage of the model in train mode would move batch norm's averages
                found = self.attack.run(model, x, y, hardest, seed=seed + epoch, ids=ids)
                for module, training in modes.items():
                    module.training = training
                optimizer.zero_grad()
                cross_entropy(model(found.x_adv), y).backward()
                optimizer.step()
            if not samples:
                raise BadInput("the loader is empty, expected batches of (x, y)")
            if on_progress is not None:
                on_progress(epoch + 1, self.epochs)
        return model.eval()
