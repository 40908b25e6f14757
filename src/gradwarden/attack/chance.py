"""A model's own draws: whether it makes any, and from where they start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from gradwarden.core.draws import seed_of
from gradwarden.core.search import Model

SAME = 1e-4  # of the spread of a sample's logits: what sums in another order may differ by
ASKED = 16  # samples


@contextmanager
def seeded(device: torch.device, *key: object) -> Iterator[None]:
    """Torch's global generators start from `key` inside, and go on afterwards as if untouched."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed_of(*key))
        yield


def draws_by_itself(model: Model, x: Tensor, seed: int) -> bool:
    """Whether `model` answers differently when it is asked again about the first of x [N, ...]."""
    x = x[:ASKED]
    with torch.no_grad(), seeded(x.device, seed, "asked again"):
        one, two, three = (model(x.clone()) for _ in range(3))
    spread = (one.amax(1) - one.amin(1)).nan_to_num(0.0, 0.0, 0.0)[:, None]
    return any(
        bool(((one - other).abs() > SAME * spread).any())
        or not torch.equal(one.isfinite(), other.isfinite())
        for other in (two, three)
    )
