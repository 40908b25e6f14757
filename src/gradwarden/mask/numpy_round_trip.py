"""Preprocessing that is not PyTorch: the input goes through a NumPy function and back.

Source: Guo et al. 2018, arXiv:1711.00117, sec. 3 (such transformations); Athalye et al. 2018,
arXiv:1802.00420, sec. 4.1 (why it is no defence).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Defended

Function = Callable[[NDArray[np.floating]], NDArray[np.floating]]


@dataclass(frozen=True, kw_only=True, repr=False)
class NumpyRoundTrip:
    """x goes through `function`, an array [N, ...] to an array of N rows, and comes back.

    A function of a module, not a lambda, can be pickled with the model.

    Claims: nothing on purpose; a pipeline with a step in NumPy, SciPy or OpenCV looks robust by
    accident.
    Breaks: BPDA with the identity, where the function changes little.
    Cost: the way to the CPU and back.
    """

    function: Function

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise BadInput(f"function must take and return a NumPy array, got {self.function!r}")

    def __repr__(self) -> str:
        # Without the address that a function's own repr holds: records compare these.
        kind = type(self.function)
        name = getattr(self.function, "__qualname__", kind.__qualname__)
        home = getattr(self.function, "__module__", kind.__module__)
        return f"NumpyRoundTrip(function={home}.{name})"

    def defend(self, model: nn.Module) -> Defended:
        """The model behind the function; autograd finds no path through it."""
        return Defended(RoundTrip(self), model)


class RoundTrip(nn.Module):
    """x [N, ...] -> function(x) with the dtype and device of x."""

    def __init__(self, options: NumpyRoundTrip) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        given = x.detach().cpu().numpy().copy()  # what the function writes into stays its own
        found = np.ascontiguousarray(self.options.function(given))
        if len(found) != len(x):
            raise BadInput(f"function must return {len(x)} rows, got shape {found.shape}")
        return torch.from_numpy(found).to(x.device, x.dtype)

    def surrogate(self) -> nn.Module:
        """The identity: right as far as the function changes little and keeps the shape."""
        return nn.Identity()

    def extra_repr(self) -> str:
        return repr(self.options)
