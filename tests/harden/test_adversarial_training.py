"""Robust accuracy rises; modes, hooks, resuming and draws are as promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradwarden.attack.ledger import evaluate
from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Strongest
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat
from gradwarden.harden.adversarial_training import AdversarialTraining

THREAT = Threat(ball=Linf(0.15))


def fragile(n: int = 400) -> tuple[Tensor, Tensor]:
    """One robust feature that is right 9 times in 10, many frail ones that are always right."""
    rng = torch.Generator().manual_seed(0)
    y = torch.randint(2, (n,), generator=rng)
    sign = (2.0 * y - 1)[:, None]
    robust = 0.5 + 0.4 * sign * torch.where(torch.rand(n, 1, generator=rng) < 0.9, 1.0, -1.0)
    frail = 0.5 + 0.05 * sign + 0.02 * torch.randn(n, 30, generator=rng)
    return torch.cat([robust, frail], 1).clamp(0, 1), y


def batches() -> list[tuple[Tensor, Tensor]]:
    x, y = fragile()
    return list(zip(x.split(50), y.split(50), strict=True))


def fresh() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(31, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))


def test_robust_accuracy_rises() -> None:
    x, y = fragile()
    plain, hard = fresh(), fresh()
    optimizer = torch.optim.Adam(plain.parameters(), 0.02)
    for _ in range(15):
        for some, labels in batches():
            optimizer.zero_grad()
            cross_entropy(plain(some), labels).backward()
            optimizer.step()
    seen: list[tuple[int, int]] = []
    options = AdversarialTraining(threat=THREAT, epochs=15)
    adam = torch.optim.Adam(hard.parameters(), 0.02)
    out = options.fit(hard, batches(), adam, on_progress=lambda *at: seen.append(at))
    assert out is hard
    assert seen[-1] == (15, 15)
    before = evaluate(plain.eval(), x, y, THREAT)
    after = evaluate(hard, x, y, THREAT)
    assert before.clean_accuracy.value > 0.97
    assert before.accuracy.value < 0.2
    assert after.accuracy.value > 0.75


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Notes the mode of the model and the keys of the draws."""

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
        self.seen.append((seed, tuple(ids or ()), modes))
        return PGD(steps=1).run(model, x, y, threat, seed=seed, ids=ids)


def test_the_attack_sees_eval_mode_and_the_step_train_mode() -> None:
    model, watcher, modes = fresh(), Watcher(), []
    model.register_forward_pre_hook(
        lambda module, args: modes.append(module.training) if torch.is_grad_enabled() else None
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    AdversarialTraining(threat=THREAT, attack=watcher, epochs=2).fit(model, batches(), optimizer)
    assert all(mode == {False} for _, _, mode in watcher.seen)
    assert modes.count(True) == 16
    assert not model.training
    frozen = fresh()
    norm = frozen[1]
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    norm.eval()
    before = norm.running_mean.clone()
    options = AdversarialTraining(threat=THREAT, attack=PGD(steps=1), epochs=1)
    options.fit(frozen, batches(), torch.optim.SGD(frozen.parameters(), 0.1))
    assert torch.equal(norm.running_mean, before)
    keys = [(seed, i) for seed, ids, _ in watcher.seen for i in ids]
    assert len(keys) == len(set(keys)) == 800


def test_a_hook_on_the_optimizer_sees_every_step() -> None:
    model, norms = fresh(), []
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def clip(*_: Any) -> None:
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-9))

    optimizer.register_step_pre_hook(clip)
    start = [p.detach().clone() for p in model.parameters()]
    AdversarialTraining(threat=THREAT, attack=PGD(steps=1), epochs=1).fit(
        model, batches(), optimizer
    )
    assert len(norms) == 8
    for before, after in zip(start, model.parameters(), strict=True):
        torch.testing.assert_close(before, after, rtol=0, atol=1e-7)


def test_an_interrupted_run_goes_on_to_the_same_weights() -> None:
    whole, parts = fresh(), fresh()
    options = AdversarialTraining(threat=THREAT, attack=PGD(steps=2), epochs=3)
    options.fit(whole, batches(), torch.optim.SGD(whole.parameters(), 0.1, momentum=0.9), seed=5)
    optimizer = torch.optim.SGD(parts.parameters(), 0.1, momentum=0.9)

    def stop(done: int, total: int) -> None:
        del total
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        options.fit(parts, batches(), optimizer, seed=5, on_progress=stop)
    options.fit(parts, batches(), optimizer, seed=5, first_epoch=2)
    for one, other in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


def test_bad_input_is_one_sentence() -> None:
    model = fresh()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(BadInput, match="epochs must be at least 1"):
        AdversarialTraining(threat=THREAT, epochs=0)
    options = AdversarialTraining(threat=THREAT)
    with pytest.raises(BadInput, match="the loader is empty"):
        options.fit(model, [], optimizer)
    x, y = fragile()
    with pytest.raises(BadInput, match="outside the box"):
        options.fit(model, [(x * 255, y)], optimizer)
