"""Judges what an attack returns, without believing it: each point alone in its batch.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 4.11 (verify the returned examples).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.core.search import Model
from gradwarden.core.threat import Threat


class Judged(NamedTuple):
    """The referee's word on N points."""

    confirmed: Tensor  # [N] bool: allowed by the threat, finite logits, goal reached in most draws
    predicted: Tensor  # [N] class, in most draws
    allowed: Tensor  # [N] bool: in ball and box, the constraints hold
    share: Tensor  # [N] of the draws that reach the goal; 0 where the point is not allowed


def judge(
    model: Model, x_adv: Tensor, x: Tensor, y: Tensor, threat: Threat, draws: int = 1
) -> Judged:
    """x_adv [N, ...] against x [N, ...] and y [N]; `draws` forwards of batch size 1 a sample.

    So a model whose answer depends on the rest of the batch is judged as it is used, and one that
    draws by itself is judged over fresh draws.
    """
    if not len(x_adv):  # not every model takes an empty batch
        none = y.new_zeros(0)
        return Judged(none.bool(), none, none.bool(), none.to(x.dtype))
    with torch.no_grad():
        asked = [
            torch.cat([model(point.clone()) for point in x_adv.split(1)]) for _ in range(draws)
        ]
    allowed = threat.allows(x_adv, x)
    reached = torch.stack([threat.goal.reached(logits, y) for logits in asked])
    share = reached.to(x.dtype).mean(0) * allowed
    predicted = torch.stack([threat.goal.predicted(logits) for logits in asked]).mode(0).values
    return Judged(most(reached) & allowed, predicted, allowed, share)


def most(reached: Tensor) -> Tensor:
    """[draws, N] bool -> [N] bool: in more than half of the draws."""
    return reached.sum(0) * 2 > len(reached)


@dataclass(frozen=True, kw_only=True)
class InDouble:
    """Which points are lost in float64 too; `note` says why that was not run, or is ""."""

    lost: Tensor | None  # [N] bool
    note: str = ""


def in_double(model: Model, x_adv: Tensor, y: Tensor, threat: Threat, x: Tensor) -> InDouble:
    """The same points x_adv [N, ...] against a float64 copy of `model`, alone in their batches.

    A point that is x itself is lost where y is not predicted, any other where the goal is reached.
    """
    if not isinstance(model, nn.Module):
        return _not_run("the model is no nn.Module, so it cannot be copied")
    if x.dtype == torch.float64:
        return _not_run("the model computes in float64 already")
    try:
        rows = _logits_in_double(model, x_adv)
    except _NoCopyError as why:
        return _not_run(f"a copy in float64 raised {why}")
    if rows.dtype != torch.float64:
        return _not_run(f"the model answers in {rows.dtype} even as a copy in float64")
    still = (x_adv == x).flatten(1).all(1)
    lost = threat.goal.reached(rows, y) | (still & (threat.goal.predicted(rows) != y))
    return InDouble(lost=lost)


class _NoCopyError(Exception):
    pass


def _logits_in_double(model: nn.Module, x: Tensor) -> Tensor:
    try:
        twin = copy.deepcopy(model).double().eval()
        with torch.no_grad():
            return torch.cat([twin(point.double()) for point in x.split(1)])
    except Exception as why:  # whatever a user's module raises: the column is left out, and says so
        line = (str(why).strip().splitlines() or [""])[0]
        raise _NoCopyError(f"{type(why).__name__}: {line}") from why


def _not_run(why: str) -> InDouble:
    return InDouble(lost=None, note=f"not run: {why}")
