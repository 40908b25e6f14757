"""Answers that change from call to call, whoever draws: torch, NumPy or the standard library.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690 and its randomised-defence flag.
Differs: names the modules, and is relative to the size of the logits.
"""

from __future__ import annotations

import math
import pickle
import random
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gradwarden.attack.memory import out_of_memory
from gradwarden.audit.case import Case, floats, innermost, quiet
from gradwarden.audit.noise_ratio import signal_to_noise
from gradwarden.core.errors import BadInput
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class Stochastic:
    """Logits of the same batch differ by more than `tolerance` of their size over `repeats`."""

    repeats: int = 5
    tolerance: float = 1e-4
    cure: ClassVar[str] = "average"
    seeks: ClassVar[str] = "draw"

    def __post_init__(self) -> None:
        if self.repeats < 2:
            raise BadInput(f"repeats must be at least 2, got {self.repeats}")

    def check(self, case: Case) -> tuple[Finding, ...]:
        with quiet(case.x, case.seed), torch.no_grad():
            logits = torch.stack([case.model(case.x.clone()) for _ in range(self.repeats)])
            spread = (logits.amax(0) - logits.amin(0)).amax(1)
            moved = spread / logits.abs().amax((0, 2)).clamp(min=1e-12)
            share = float((moved > self.tolerance).float().mean())
            if not share:
                return ()
            noisy = [path for path in case.calls if self._differs(case, path)]
            noisy = noisy or [path for path in case.calls if _takes(case, path)]
        where: list[str | None] = [*innermost(noisy)] or [None]
        ratio = signal_to_noise(case)
        told = (
            f" Its gradient's signal is {ratio:.2g} times its noise."
            if math.isfinite(ratio)
            else ""
        )
        return tuple(
            Finding(
                check="stochastic",
                module=path,
                value=float(moved.max()),
                threshold=self.tolerance,
                share=share,
                why="The same input gets different answers from call to call"
                + (f", because module {path!r} draws at random." if path else ".")
                + told,
                remedy="An attack must average the gradient over draws (EOT), and so must who judges it.",
            )
            for path in where
        )

    def _differs(self, case: Case, path: str) -> bool:
        try:
            first, second = floats(case.again(path)), floats(case.again(path))
        except Exception as why:  # it does not run alone
            if out_of_memory(why):
                raise
            return False
        return any(_far(one, two, self.tolerance) for one, two in zip(first, second, strict=True))


def _takes(case: Case, path: str) -> bool:
    """Whether it takes random numbers: where no module by itself shows what they do."""
    before = _states()
    try:
        case.again(path)
    except Exception as why:  # it does not run alone
        if out_of_memory(why):
            raise
        return False
    return before != _states()


def _states() -> tuple[object, ...]:
    numbers = np.random.get_state(legacy=False)
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    torches = [state.tolist() for state in (torch.get_rng_state(), *devices)]
    return torches, random.getstate(), pickle.dumps(numbers)


def _far(one: Tensor, two: Tensor, tolerance: float) -> bool:
    if one.shape != two.shape:
        return True
    return one.numel() > 0 and bool((one - two).abs().max() > tolerance * one.abs().max())
