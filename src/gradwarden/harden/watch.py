"""Held-out accuracy under attack after each epoch: when to stop, and which weights to keep.

Source: Rice et al. 2020, arXiv:2002.11569 (robust overfitting: the best epoch is rarely the last);
Wong et al. 2020, arXiv:2001.03994, sec. 5.3 (a fall on a held-out batch shows catastrophic
overfitting).
Differs: PGD with 10 steps of a quarter radius instead of 5, which is too weak to be a detector.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.pgd import PGD
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import predicts
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat

DETECTOR = PGD(steps=10, step_size=0.25)


class Watched(NamedTuple):
    """Held-out accuracies after `epoch`, shares in [0, 1]."""

    epoch: int  # counted from 0
    clean: float
    one_step: float  # under FGSM
    attacked: float  # under the watch's attack

    @property
    def overfitted(self) -> bool:
        """Only the single step is resisted: accuracy under the attack is less than half of it."""
        return self.attacked < self.one_step / 2 and self.one_step - self.attacked > 0.2


class Watch:
    """Measures x [N, ...], y [N], which training does not see, and keeps the best weights.

    Give a new one to `fit(..., watch=...)`. Training ends, with a warning that says why, where
    accuracy under `attack` is more than `fall` below the best so far; and, for trainers of a
    single step, at catastrophic overfitting (see `Watched.overfitted`). At the end the model holds
    the weights of the epoch that did best under `attack`, the later one where two are equal, or
    those it came with where the first epoch overfitted already; the optimizer's state is that of
    the last epoch. A resumed training starts with a new watch, which knows no earlier epoch, or
    goes on with the same one.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        attack: Attack = DETECTOR,
        fall: float = 0.2,
        seed: int = 0,
    ) -> None:
        if not 0.0 < fall <= 1.0:
            raise BadInput(f"fall must be in (0, 1], a share of the samples, got {fall}")
        threat.check(x, y)
        self.x, self.y, self.threat = x, y, threat
        self.attack, self.fall, self.seed = attack, fall, seed
        self.seen: list[Watched] = []
        self.best: Watched | None = None
        self.stopped: str | None = None  # one sentence
        self._weights: dict[str, Tensor] = {}

    def start(self, model: nn.Module) -> None:
        """Keeps the weights that the training begins with, until an epoch is good."""
        if not self._weights:
            self._keep(model)

    def look(self, model: nn.Module, epoch: int, *, one_step: bool) -> None:
        """Measures `model`, in eval mode, after `epoch`; the draws are the same each time."""
        with torch.no_grad():
            logits = model(self.x)
        answered = predicts(logits)  # a model that diverged to NaN is never "broken" by an attack
        wrong = self.threat.goal.reached(logits, self.y)
        falls = [
            attack.run(model, self.x, self.y, self.threat, seed=self.seed).success
            for attack in (FGSM(), self.attack)
        ]
        shares = (float((answered & ~fallen).float().mean()) for fallen in (wrong, *falls))
        now = Watched(epoch, *shares)
        self.seen.append(now)
        if one_step and now.overfitted:
            self._stop(
                f"catastrophic overfitting in epoch {epoch}: accuracy {now.one_step:.2f} under "
                f"FGSM, {now.attacked:.2f} under {self.attack!r}"
            )
        elif self.best is not None and self.best.attacked - now.attacked > self.fall:
            self._stop(
                f"accuracy under attack fell from {self.best.attacked:.2f} in epoch "
                f"{self.best.epoch} to {now.attacked:.2f} in epoch {epoch}"
            )
        elif self.best is None or now.attacked >= self.best.attacked:
            self.best = now
            self._keep(model)

    def put_best(self, model: nn.Module) -> None:
        """Loads the weights that were kept."""
        model.load_state_dict(self._weights)

    def _keep(self, model: nn.Module) -> None:
        state = model.state_dict()
        self._weights = {name: value.detach().clone() for name, value in state.items()}

    def _stop(self, why: str) -> None:
        kept = "before the first epoch" if self.best is None else f"of epoch {self.best.epoch}"
        self.stopped = f"{why}: training stopped, the weights {kept} are kept"
        warnings.warn(self.stopped, stacklevel=2)
