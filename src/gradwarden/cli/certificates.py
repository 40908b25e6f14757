"""Certificates for the samples of an audit, where the model is one that ours know."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.attack.memory import Pieces
from gradwarden.attack.models import Binary
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat
from gradwarden.harden.crown import CROWN
from gradwarden.harden.interval_bounds import IntervalBounds

BATCH = 64  # CROWN keeps a bound for every pair of a neuron and an input
KINDS = (IntervalBounds(), CROWN(intermediate="ibp"), CROWN())  # from cheap to dear


class Certificates(NamedTuple):
    holds: Tensor | None  # [N] bool; None: the model is none that can be certified
    says: str  # one sentence


def certificates(
    model: nn.Module, x: Tensor, y: Tensor, threat: Threat, batch_size: int
) -> Certificates:
    """Each kind of bounds on the samples that no cheaper one certifies."""
    net = _traceable(model)
    holds = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    pieces = Pieces(min(batch_size, BATCH))
    said: list[str] = []
    for kind in KINDS:
        before, rows = int(holds.sum()), (~holds).nonzero()[:, 0]
        if not len(rows):
            break

        def certified(some: Tensor, kind: IntervalBounds | CROWN = kind) -> Tensor:
            return kind.certify(net, x[some], y[some], threat).certified

        try:
            holds[rows] = torch.cat(pieces.run(rows, certified))
        except BadInput as why:
            line = " ".join(str(why).split())  # a module's repr has many
            if not said:
                return Certificates(None, f"Not certified, and audited without: {line}.")
            said.append(f"not by {kind!r}: {line}")
            break
        said.append(f"{int(holds.sum()) - before} by {kind!r}")
    return Certificates(holds, f"Certified of {len(x)} samples: {', '.join(said)}.")


def _traceable(model: nn.Module) -> nn.Module:
    """The two logits of `Binary` by a linear layer, which bounds can pass."""
    inner = model.model if isinstance(model, Binary) else None
    if not isinstance(inner, nn.Module):
        return model
    like = next(inner.parameters(), torch.zeros(0))
    columns = nn.Linear(1, 2, bias=False, device=like.device, dtype=like.dtype)
    with torch.no_grad():
        columns.weight.copy_(torch.tensor([[0.0], [1.0]]))
    return nn.Sequential(inner, columns).eval()
