"""A cheap look at how far an attacker gets along a route: what the planner chooses by.

Source: Yao et al. 2021, arXiv:2102.11860 (short attacks on few samples lead the search).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.attack.apgd import APGD
from gradwarden.attack.chance import seeded
from gradwarden.attack.referee import judge
from gradwarden.attack.to_the_end import ToTheEnd
from gradwarden.audit.route import Route
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat

ATTACK = APGD(loss="margin", steps=15, start="clean")
DRAWS = 11


class Score(NamedTuple):
    """Compared in this order; the margin only where as many fell."""

    fell: int
    margin: float  # mean over the samples, in logits


@dataclass(frozen=True, eq=False, kw_only=True)
class Probe:
    """x [N, ...], y [N]: those who stood before, if any did."""

    model: nn.Module
    x: Tensor
    y: Tensor
    threat: Threat
    seed: int = 0
    random: bool = False  # the model draws by itself

    def score(self, route: Route) -> Score:
        """Of a short search along `route`; nothing falls along one that cannot be followed."""
        if not len(self.x):
            return Score(0, 0.0)
        threat, model, attack = self.threat, self.model, route.wrap(ATTACK)
        if self.random:
            attack = ToTheEnd(attack=attack)
        try:
            with seeded(self.x.device, self.seed, "probe"):
                found = attack.run(model, self.x, self.y, threat, seed=self.seed)
                if self.random:
                    judged = judge(model, found.x_adv, self.x, self.y, threat, DRAWS)
                    return Score(int(judged.confirmed.sum()), float(judged.share.mean()))
        except torch.OutOfMemoryError:
            raise
        except (BadInput, RuntimeError, TypeError, ValueError):
            return Score(-1, float("-inf"))
        margin = torch.nan_to_num(found.margin.double(), neginf=-1e9)
        return Score(int(found.success.sum()), float(margin.mean()))
