"""How much of a stochastic model's gradient is signal, and so how many draws an attack must average.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 4.2 (expectation over transformation).
Differs: the number of draws follows from a measurement instead of a guess.
"""

from __future__ import annotations

import torch

from gradwarden.attack.gradient import climb
from gradwarden.attack.losses import loss_of
from gradwarden.audit.case import Case, quiet
from gradwarden.core.search import Problem

DRAWS = 20


def signal_to_noise(case: Case, draws: int = DRAWS) -> float:
    """|E g|^2 / tr Var(g) of the margin's gradient at the same x, the median of the samples.

    Infinite where it does not vary, NaN where there is none. The mean of `draws` gradients holds
    1/draws of their variance, which is taken off. Averaging 1/ratio draws makes signal and noise
    equal.
    """
    goal = loss_of(case.threat.goal, "margin")
    problem = Problem(case.model, case.threat, goal, case.x, case.y, range(len(case.x)))
    with quiet(case.x, case.seed):
        some = [climb(problem.start(), problem, case.x)[1].double() for _ in range(draws)]
    grads = torch.stack(some).flatten(2)
    if not grads.any():
        return float("nan")
    noise = grads.var(0).sum(1)
    signal = (grads.mean(0).square().sum(1) - noise / draws).clamp(min=0)
    there = grads.flatten(2).any(2).any(0)
    return float((signal / noise)[there].nanmedian())
