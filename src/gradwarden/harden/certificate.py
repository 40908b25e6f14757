"""What a certificate says, and what both kinds share: the checks, the margins, the slack."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.core.estimate import Estimate, proportion
from gradwarden.core.goal import Untargeted
from gradwarden.core.protocols import Progress
from gradwarden.core.threat import Threat
from gradwarden.harden.bounds.layer import Interval
from gradwarden.harden.bounds.network import Network, network
from gradwarden.harden.bounds.propagate import intervals
from gradwarden.harden.bounds.region import Region, region

# Of the largest logit: what a forward in float32 may be off from the bounds, which are float64.
SLACK = 1e-5


class Certificate(NamedTuple):
    """What holds of every point that the threat allows."""

    lower: Tensor  # [N] float64, in logits: that of y minus the best other one is nowhere less
    certified: Tensor  # [N] bool: `lower` is above 0 by more than rounding

    @property
    def accuracy(self) -> Estimate:
        """Share certified: a lower bound on accuracy under any attack."""
        return proportion(int(self.certified.sum()), len(self.certified))


Margins = Callable[[Network, Region, Tensor], Tensor]  # rows [N, K, K] -> their least values [N, K]


def certificate(
    margins: Margins,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    batch_size: int,
    on_progress: Progress | None,
) -> Certificate:
    """`margins` for `batch_size` samples at a time. Raises BadInput."""
    if batch_size < 1:
        raise BadInput(f"batch_size must be at least 1, got {batch_size}")
    if any(module.training for module in model.modules()):
        raise BadInput("a part of the model is in train mode: call model.eval() first")
    if not isinstance(threat.goal, Untargeted):
        raise BadInput(f"certificates are for the goal Untargeted(), got {threat.goal!r}")
    threat.check(x, y)
    with torch.no_grad():
        net, around = network(model), region(threat, x)
        largest = []
        lower = []
        for start in range(0, len(x), batch_size):
            some = slice(start, start + batch_size)
            logits = model(x[some].clone())
            rows = _against(logits, y[some])
            _refuse_another(net, around.at(some), logits)
            found = margins(net, around.at(some), rows)
            others = torch.ones_like(found, dtype=torch.bool).scatter(1, y[some][:, None], False)
            lower.append(found.masked_fill(~others, torch.inf).amin(1))
            largest.append(logits.abs().amax(1).double())
            if on_progress is not None:
                on_progress(min(start + batch_size, len(x)), len(x))
    least = torch.cat(lower)
    return Certificate(least, least > SLACK * (1 + torch.cat(largest)))


def _refuse_another(net: Network, around: Region, logits: Tensor) -> None:
    """Hooks, draws and the like are not in the traced net: at x it must answer as the model."""
    still = around._replace(hull=Interval(around.x, around.x))
    off = float((intervals(net, still, refine=False)[-1].low - logits).abs().amax())
    if not off <= 1e-3 * (1 + float(logits.abs().amax())):
        raise BadInput(
            f"what torch.fx traced of the model differs from its answers, by {off:g}: certificates "
            "need a model with finite logits, without hooks or randomness"
        )


def _against(logits: Tensor, y: Tensor) -> Tensor:
    """[N, K, K] row k takes logit y minus logit k."""
    classes = logits.shape[1]
    if int(y.max()) >= classes:
        raise BadInput(f"labels go up to {int(y.max())}, the model returns {classes} logits")
    each = torch.eye(classes, dtype=torch.float64, device=logits.device)
    return each[y][:, None] - each
