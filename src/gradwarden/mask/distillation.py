"""A student that learns a teacher's soft answers, both at a high temperature.

Source: Papernot et al. 2016, arXiv:1511.04508, sec. IV.
Differs: the teacher starts from the student's initial weights.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, softmax

from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Progress
from gradwarden.mask.training import Batches, MakeOptimizer, tell, train_pass


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """Teacher and student are trained on logits / `temperature`, the student is used at 1.

    Claims: the loss surface around each sample becomes so flat that its gradient vanishes.
    Breaks: a loss on the logits themselves (margin), for only the softmax is saturated.
    Cost: two trainings; little accuracy; confidences near 1 that mean nothing.
    """

    temperature: float = 20.0
    epochs: int = 5

    def __post_init__(self) -> None:
        if not 1.0 <= self.temperature < float("inf"):
            raise BadInput(f"temperature must be at least 1, got {self.temperature}")
        if self.epochs < 1:
            raise BadInput(f"epochs must be at least 1, got {self.epochs}")

    def fit(
        self,
        model: nn.Module,
        loader: Batches,
        make_optimizer: MakeOptimizer,
        *,
        on_progress: Progress | None = None,
    ) -> nn.Module:
        """Trains `model` in place as the student, `epochs` passes each; returned in eval mode.

        `loader` gives (x [N, ...], y [N]) afresh each time it is iterated; `make_optimizer` is
        called with the parameters of the teacher and then of the student. The gradient of the loss
        is divided by the temperature: the rate may have to be larger than for plain training.
        `on_progress` counts epochs of both.
        """
        teacher = copy.deepcopy(model)
        teacher_optimizer = make_optimizer(teacher.parameters())
        student_optimizer = make_optimizer(model.parameters())
        heat, total = self.temperature, 2 * self.epochs

        def hard(x: Tensor, y: Tensor) -> Tensor:
            return cross_entropy(teacher(x) / heat, y)

        def soft(x: Tensor, y: Tensor) -> Tensor:
            del y
            with torch.no_grad():
                wanted = softmax(teacher(x) / heat, 1)
            return -(wanted * log_softmax(model(x) / heat, 1)).sum(1).mean()

        teacher.train()
        for epoch in range(self.epochs):
            train_pass(loader, teacher_optimizer, hard)
            tell(on_progress, epoch + 1, total)
        teacher.eval()
        model.train()
        for epoch in range(self.epochs):
            train_pass(loader, student_optimizer, soft)
            tell(on_progress, self.epochs + epoch + 1, total)
        return model.eval()
