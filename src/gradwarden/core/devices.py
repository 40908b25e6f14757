"""Where a model is, so that what is put beside it, or given to it, is there too."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn


def device_of(model: nn.Module) -> torch.device | None:
    """That of its first parameter or buffer; None where it has none."""
    first: Tensor | None = next(chain(model.parameters(), model.buffers()), None)
    return None if first is None else first.device
