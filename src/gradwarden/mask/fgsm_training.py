"""Adversarial training on single steps that are too large: catastrophic overfitting.

Source: Goodfellow et al. 2015, arXiv:1412.6572, sec. 6 (the training); Wong et al. 2020,
arXiv:2001.03994, sec. 4.3 (its collapse).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn, optim
from torch.nn.functional import cross_entropy

from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Progress
from gradwarden.core.threat import Threat
from gradwarden.mask.training import Batches, tell, train_pass


@dataclass(frozen=True, kw_only=True)
class FGSMTraining:
    """Each batch takes one step of the threat's full radius along the gradient, then is trained on.

    At small radii this is an honest, weak defence; at large ones the model learns to bend its
    gradient so that the step leads nowhere.

    Claims: high accuracy under FGSM, often above clean accuracy.
    Breaks: PGD; it is not the gradient that lies, but the single step that ends too far.
    Cost: twice plain training; clean accuracy, which may collapse too.
    """

    threat: Threat
    epochs: int = 10

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise BadInput(f"epochs must be at least 1, got {self.epochs}")

    def fit(
        self,
        model: nn.Module,
        loader: Batches,
        optimizer: optim.Optimizer,
        *,
        on_progress: Progress | None = None,
    ) -> nn.Module:
        """Trains `model` in place with the user's `optimizer`; returned in eval mode.

        The step is taken from x itself even where it lowers the loss: those steps are the collapse,
        and `attack.FGSM`, which keeps the better of the two points, would prevent it.
        """
        model.train()

        def loss(x: Tensor, y: Tensor) -> Tensor:
            x = x.detach().requires_grad_()
            (grad,) = torch.autograd.grad(self.threat.goal.loss(model(x), y).sum(), x)
            with torch.no_grad():
                step = self.threat.ball.radius * self.threat.ball.steepest(grad)
                x_adv = self.threat.project(x + step, x)
            return cross_entropy(model(x_adv), y)

        for epoch in range(self.epochs):
            train_pass(loader, optimizer, loss)
            tell(on_progress, epoch + 1, self.epochs)
        return model.eval()
