"""The attack is asked for the strongest points, and the step is taken at what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.linf import Linf
from gradwarden.core.goal import Strongest
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat
from gradwarden.harden.adversarial_training import AdversarialTraining

THREAT = Threat(ball=Linf(0.1))


@dataclass(frozen=True, kw_only=True)
class Notes:
    """PGD that notes how it was called and what it returned."""

    seen: list[Any] = field(default_factory=list)

    def run(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
    ) -> Attacked:
        assert isinstance(model, nn.Module)
        assert isinstance(threat.goal, Strongest)
        modes = {module.training for module in model.modules()}
        found = PGD(steps=2).run(model, x, y, threat, seed=seed, ids=ids)
        self.seen.append((seed, tuple(ids or ()), modes, found.x_adv))
        return found


def samples() -> list[tuple[Tensor, Tensor]]:
    rng = torch.Generator().manual_seed(1)
    x, y = torch.rand(24, 6, generator=rng), torch.randint(3, (24,), generator=rng)
    return list(zip(x.split(8), y.split(8), strict=True))


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))


def test_each_step_is_that_of_plain_training_on_the_points_found() -> None:
    model, twin, notes = net(), net(), Notes()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    AdversarialTraining(threat=THREAT, attack=notes, epochs=2).fit(model, samples(), optimizer)
    optimizer = torch.optim.SGD(twin.parameters(), 0.5)
    labels = [y for _, y in samples()] * 2
    for (_, _, _, x_adv), y in zip(notes.seen, labels, strict=True):
        optimizer.zero_grad()
        cross_entropy(twin(x_adv), y).backward()
        optimizer.step()
    for one, other in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_attack_sees_eval_mode_and_keys_of_its_own() -> None:
    model, notes = net(), Notes()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    AdversarialTraining(threat=THREAT, attack=notes, epochs=2).fit(model, samples(), optimizer)
    assert all(modes == {False} for _, _, modes, _ in notes.seen)
    keys = {(seed, i) for seed, ids, _, _ in notes.seen for i in ids}
    assert len(keys) == 48
    assert len({seed for seed, _ in keys}) == 2
