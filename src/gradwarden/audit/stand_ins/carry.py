"""Points that a substitute is sure of, to be tried on the model that it stands for.

Source: Dong et al. 2018, arXiv:1710.06081, alg. 1 (momentum); Carlini et al. 2019,
arXiv:1902.06705, sec. 4 (transfer needs adversarial examples of high confidence).
Differs: climbs the margin; the attacks of the attack room stop at a first success, which seldom
carries over.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gradwarden.attack.gradient import input_gradient, usable
from gradwarden.core.geometry import per_sample
from gradwarden.core.search import Model
from gradwarden.core.threat import Threat


def carried(
    source: Model, x: Tensor, y: Tensor, threat: Threat, *, steps: int = 20, step_size: float = 0.1
) -> Tensor:
    """The point [N, ...] of largest margin for `source` in ball and box around x [N, ...].

    Each of `steps` is `step_size` ball radii long. x itself where nothing is better.
    """
    at, best, most = x, x, torch.full((len(x),), float("-inf"), device=x.device)
    memory = torch.zeros_like(x)
    for _ in range(steps + 1):
        leaf = at.detach().clone().requires_grad_()
        with torch.enable_grad():
            margin = threat.goal.margin(source(leaf), y)
            grad = input_gradient(margin, leaf)
        here = margin.detach()
        better = here > most
        best = torch.where(per_sample(better, at), at, best)
        most = torch.where(better, here, most)
        if grad is None:
            break
        size = usable(grad).abs().flatten(1).mean(1).clamp(min=torch.finfo(x.dtype).tiny)
        memory = memory + usable(grad) / per_sample(size, x)
        at = threat.step(at, memory, step_size, x).detach()
    return threat.repair(best, x)
