"""Models that answer with something else than logits, as models that an attack can take.

Each checks what it is given at every call, for a wrong answer would look like robustness.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.core.search import Model


class FromProbabilities(nn.Module):
    """Probabilities [N, classes], or [N] or [N, 1] of class 1 alone -> their logarithms.

    A softmax in front costs what it rounded away: in float32 a probability below 1e-38 is 0 and
    one within 6e-8 of 1 is 1, and no loss brings back the gradient that is 0 there. Where the model
    can return its logits, attack those; a black-box attack shows what was lost.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.training = isinstance(model, nn.Module) and model.training

    def forward(self, x: Tensor) -> Tensor:
        """x [N, ...] -> log-probabilities [N, classes]; NaN stays NaN."""
        return logarithms(_two_columns(self.model(x), len(x)))


class Binary(nn.Module):
    """A single logit, [N] or [N, 1], positive for class 1 -> the two logits [N, 2] (0 and itself).

    Where the model ends in a sigmoid, its answer is a probability: see `FromProbabilities`.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.training = isinstance(model, nn.Module) and model.training

    def forward(self, x: Tensor) -> Tensor:
        """x [N, ...] -> logits [N, 2]."""
        logit = self.model(x)
        if logit.shape not in ((len(x),), (len(x), 1)):
            raise BadInput(
                f"Binary expects one logit a sample, [{len(x)}] or [{len(x)}, 1], got shape "
                f"{tuple(logit.shape)}: a model with a logit for each class needs no wrapper"
            )
        logit = logit.flatten()
        return torch.stack([torch.zeros_like(logit), logit], 1)


class Estimator(Protocol):
    """What scikit-learn's classifiers, and most boosted trees, look like."""

    def predict_proba(self, x: NDArray[np.floating], /) -> NDArray[np.floating]:
        """[N, features] -> [N, classes]."""
        ...


class PredictProba(nn.Module):
    """An estimator's `predict_proba` -> log-probabilities. Black box: there is no gradient.

    Class k is column k. Only attacks that need no gradient (Square, SPSA, HopSkipJump, Noise) move;
    one that follows it stays where it starts, and says so by backwards == 0.
    """

    def __init__(self, estimator: Estimator) -> None:
        super().__init__()
        if not callable(getattr(estimator, "predict_proba", None)):
            raise BadInput(
                f"PredictProba expects an estimator with a method predict_proba, got "
                f"{type(estimator).__name__}"
            )
        self.estimator = estimator
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """x [N, ...], flattened to [N, features] -> log-probabilities [N, classes]."""
        found = np.asarray(self.estimator.predict_proba(x.detach().flatten(1).cpu().numpy()))
        return logarithms(torch.from_numpy(found.copy()).to(x))

    def extra_repr(self) -> str:
        return f"{type(self.estimator).__name__}, black box: no gradient"


def _two_columns(answer: Tensor, n: int) -> Tensor:
    if answer.shape in ((n,), (n, 1)):
        answer = answer.flatten()
        return torch.stack([1 - answer, answer], 1)
    return answer


def logarithms(probabilities: Tensor) -> Tensor:
    """[N, classes], finite where the probabilities are. Raises BadInput where they are none."""
    if probabilities.ndim != 2 or not probabilities.dtype.is_floating_point:
        raise BadInput(
            f"expected floating-point probabilities [N, classes], got {probabilities.dtype} of "
            f"shape {tuple(probabilities.shape)}"
        )
    limit = torch.finfo(probabilities.dtype)
    with torch.no_grad():
        known = probabilities[probabilities.isfinite().all(1)]
        if (known < 0).any() or ((known.sum(1) - 1).abs() > max(1e-3, 8 * limit.eps)).any():
            worst = known[(known.sum(1) - 1).abs().argmax()]
            raise BadInput(
                f"expected probabilities of at least 0 that sum to 1 in each row, got rows from "
                f"{float(known.min()):g} to {float(known.max()):g} with a sum of "
                f"{float(worst.sum()):g}: a model that returns logits needs no wrapper"
            )
    return probabilities.clamp(min=limit.tiny).log()
