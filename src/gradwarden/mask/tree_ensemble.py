"""A fitted scikit-learn classifier, such as a forest or boosted trees, as a module.

Source: Breiman 2001, Machine Learning 45(1); broken without gradients by Kantchelian et al. 2016,
arXiv:1509.07892, and by transfer in Papernot et al. 2016, arXiv:1605.07277.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradwarden.core.errors import BadInput


class Fitted(Protocol):
    """What scikit-learn calls a classifier, after `fit`."""

    @property
    def classes_(self) -> Sequence[int] | NDArray[np.integer]: ...
    def predict_proba(self, X: NDArray[np.floating], /) -> NDArray[np.floating]:
        """Rows [N, F] -> probabilities [N, classes]."""
        ...


@dataclass(frozen=True, kw_only=True)
class TreeEnsemble:
    """`predict_proba` of any fitted classifier; probabilities below `floor` count as that.

    Claims: trees have no gradient at all, so attacks that need one return x.
    Breaks: attacks without gradients; transfer from a net trained on the trees' answers. There is
    no surrogate module: a differentiable twin must be learnt from data (such as that net).
    Cost: the CPU; usually none in accuracy on tables.
    """

    floor: float = 1e-6

    def __post_init__(self) -> None:
        if not 0.0 < self.floor < 0.5:
            raise BadInput(f"floor must be in (0, 0.5), got {self.floor}")

    def defend(self, classifier: Fitted) -> Trees:
        """The fitted classifier, with classes 0, 1, ..., as a module; not a copy."""
        if not hasattr(classifier, "classes_"):
            raise BadInput(f"the classifier must be fitted, got {type(classifier).__name__}")
        classes = list(classifier.classes_)
        if classes != list(range(len(classes))):
            raise BadInput(f"the classes must be 0, 1, 2, ..., got {classes}: relabel y and refit")
        return Trees(self, classifier)


class Trees(nn.Module):
    """x [N, ...], flattened to rows -> log-probabilities [N, classes], without a graph."""

    def __init__(self, options: TreeEnsemble, classifier: Fitted) -> None:
        super().__init__()
        self.options = options
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        classes = len(self.classifier.classes_)
        if not len(x):
            return x.new_empty(0, classes)
        rows = x.detach().flatten(1).cpu().numpy()
        shares = torch.from_numpy(np.asarray(self.classifier.predict_proba(rows)))
        return shares.clamp(min=self.options.floor).log().to(x.device, x.dtype)

    def extra_repr(self) -> str:
        return f"{self.options!r}, classifier={type(self.classifier).__name__}"
