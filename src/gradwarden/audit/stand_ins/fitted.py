"""A small net, fitted to what a module does near the data.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 4.1.2 (a differentiable approximation); Yao et
al. 2021, arXiv:2102.11860, sec. 4 (substitutes that are fitted to the module).
Differs: fitted to the inputs that the module sees inside the threat's ball, with a skip path; a
module that draws is fitted in the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gradwarden.attack.bpda import Surrogate
from gradwarden.audit.case import Case, floats, mapped, quiet
from gradwarden.audit.stand_ins.near import Pairs, StandIn, agreement, gathered
from gradwarden.audit.stand_ins.nets import Scaled, descend, net_for, whole_net_for
from gradwarden.core.draws import seed_of

COPIES = 12  # points nearby for each sample
HELD_OUT = 3  # ... and those that only measure
DRAWS = 8  # that the outputs of a module which draws are averaged over, to measure
RATE = 0.02
BATCH = 16
ENOUGH = 0.75  # R^2; below it a net that sees all places at once is tried too


def fitted(case: Case, path: str, *, steps: int = 150) -> StandIn | None:
    """The patch that sends the gradient of the module at `path` through a net that does the same.

    For one float tensor in and one out, one row a sample: images, series, vectors, from images or
    series to vectors. None for others. Fidelity is R^2, a share of the output's variance.
    """
    pairs = gathered(case, path, COPIES)
    if pairs is None or not (pairs.given.isfinite().all() and pairs.out.isfinite().all()):
        return None
    test = gathered(case, path, HELD_OUT, first=COPIES + 1)
    if test is None:
        return None
    real, best = _mean(case, path, test), None
    for make in (net_for, whole_net_for):
        with quiet(case.x, seed_of(case.seed, "fitted", path)):
            net = make(pairs.given.shape[1:], pairs.out.shape[1:])
            if net is None:
                continue
            stand_in = Scaled(net, pairs.given, pairs.out, "Fitted()")
            descend(stand_in, *pairs, steps=steps, batch=BATCH, rate=RATE)
        with torch.no_grad():
            fidelity = agreement(real, stand_in(test.given))
        stand_in.label = f"Fitted(r2={fidelity:.3f})"
        if best is None or fidelity > best.fidelity:
            asked = len(pairs.given) + DRAWS * len(test.given)
            best = StandIn(Surrogate(path, stand_in), fidelity, asked)
        if best.fidelity > ENOUGH:
            break
    return best


def _mean(case: Case, path: str, pairs: Pairs) -> Tensor:
    """What the module returns for pairs.given [M, ...], the mean of its draws."""
    call, module = case.calls[path], case.modules[path]

    def outputs(given: Tensor) -> Tensor:
        args, kwargs = (mapped(part, lambda _: given.clone()) for part in call[:2])
        return torch.stack([floats(module(*args, **kwargs))[0] for _ in range(DRAWS)]).mean(0)

    with quiet(case.x, case.seed), torch.no_grad():
        return torch.cat([outputs(some) for some in pairs.given.split(len(case.x))])
