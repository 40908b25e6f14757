"""The model and the samples that a command line names, ready to be attacked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradwarden.attack.inputs import check_mode
from gradwarden.cli import arguments
from gradwarden.cli.data import load
from gradwarden.cli.named import made
from gradwarden.core.draws import seed_of
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat


def subjects(
    model: str, data: str, threat: Threat, samples: int | None, device: str, seed: int
) -> tuple[nn.Module, Tensor, Tensor, list[int]]:
    """The model, x [N, ...], y [N] on `device`, and which rows of the data they are."""
    place = arguments.device(device)
    net = module(model).to(place)
    x, y = load(data)
    ids = chosen(len(x), samples, seed)
    x, y = like(net, x)[ids].to(place), y[ids].to(place)
    threat.check(x, y)
    return net, x, y, ids


def module(text: str) -> nn.Module:
    found = made(text)
    if not isinstance(found, nn.Module):
        raise BadInput(f"{text} returned {type(found).__name__}, expected a torch.nn.Module")
    check_mode(found)
    return found


def chosen(n: int, samples: int | None, seed: int) -> list[int]:
    """Which of `n` samples, in their order: data are often sorted by class."""
    if samples is None or samples >= n:
        return list(range(n))
    rng = torch.Generator().manual_seed(seed_of(seed, "samples"))
    chosen: list[int] = torch.randperm(n, generator=rng)[:samples].sort().values.tolist()
    return chosen


def like(net: nn.Module, x: Tensor) -> Tensor:
    """x in the precision of the model: arrays are often float64, nets are not."""
    kinds = (p.dtype for p in net.parameters() if p.dtype.is_floating_point)
    return x.to(next(kinds, torch.float32)) if x.dtype.is_floating_point else x


def try_out(net: nn.Module, name: str, x: Tensor) -> None:
    """One pass, so that a model that does not fit the data is one sentence."""
    try:
        with torch.no_grad():
            net(x.clone())
    except torch.OutOfMemoryError:
        raise
    except Exception as why:
        line = (str(why).strip().splitlines() or [""])[0]
        raise BadInput(
            f"{name} raised {type(why).__name__} on x of shape {tuple(x.shape)}, {x.dtype}: {line}"
        ) from why
