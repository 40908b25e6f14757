"""Policies: advantages and loss against slow twins, rollouts, returns, and that CartPole is learned."""

import math
import sys
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput, MissingExtra
from gradwarden.tasks.cartpole_ppo import METHOD, CartPolePPO
from gradwarden.tasks.environments import environments
from gradwarden.tasks.lunarlander_ppo import LunarLanderPPO
from gradwarden.tasks.metrics import collapses, worst_decile
from gradwarden.tasks.ppo import PPO, Experience, gae, returns_of, sampled

TINY = CartPolePPO(method=PPO(environments=3, horizon=40), steps=8, episodes=10, hidden=8)


def slow_gae(r: Any, v: Any, ended: Any, last: Any, g: float, lam: float) -> list[list[float]]:
    """The definition: the sum of discounted surprises up to the end of the episode."""
    T, E = len(r), len(r[0])
    found = [[0.0] * E for _ in range(T)]
    for e in range(E):
        for t in range(T):
            for k in range(t, T):
                after = 0.0 if ended[k][e] else v[k + 1][e]
                found[t][e] += (g * lam) ** (k - t) * (r[k][e] + g * after - v[k][e])
                if last[k][e]:
                    break
    return found


def test_advantages_against_a_slow_twin() -> None:
    rng = torch.Generator().manual_seed(0)
    reward, values = (torch.randn(n, 3, generator=rng) for n in (12, 13))
    ended = torch.rand(12, 3, generator=rng) < 0.15
    last = ended | (torch.rand(12, 3, generator=rng) < 0.1)
    found = gae(reward, values, ended, last, discount=0.9, smoothing=0.8)
    r, v, e, stop = (part.tolist() for part in (reward, values, ended, last))
    torch.testing.assert_close(found, torch.tensor(slow_gae(r, v, e, stop, 0.9, 0.8)))
    none = torch.zeros_like(ended)
    whole = gae(reward, values, none, none, discount=1.0, smoothing=1.0)
    want = reward.flip(0).cumsum(0).flip(0) + values[-1] - values[:-1]  # all that is yet to come
    torch.testing.assert_close(whole, want)


def test_the_loss_against_a_slow_twin_and_its_gradient_where_trust_ends() -> None:
    model = CartPolePPO(hidden=8).model(0)
    for p in model.parameters():  # far from even odds
        p.data.mul_(3)
    rng = torch.Generator().manual_seed(0)
    n = 40
    x = torch.randn(n, 4, generator=rng)
    batch = Experience(
        x,
        torch.randint(2, (n,), generator=rng),
        torch.randn(n, generator=rng) * 0.3 - 0.7,
        torch.randn(n, generator=rng),
        torch.randn(n, generator=rng),
        torch.empty(0),
    )
    total = 0.0
    for i in range(n):
        logits, value = model(x[i : i + 1])
        odds = [math.exp(v) for v in logits[0].tolist()]
        odds = [v / sum(odds) for v in odds]
        ratio = odds[int(batch.action[i])] / math.exp(float(batch.log_odds[i]))
        a = float(batch.advantage[i])
        gain = min(ratio * a, max(0.8, min(1.2, ratio)) * a)
        error = (value.item() - float(batch.outcome[i])) ** 2
        total += -gain + 0.5 * error / 2 + 0.01 * sum(v * math.log(v) for v in odds)
    assert METHOD.loss(model, batch).item() == pytest.approx(total / n, rel=1e-5)
    alone = PPO(value_weight=0.0, entropy_weight=0.0)
    far = batch._replace(log_odds=torch.full((n,), -9.0), advantage=torch.ones(n))
    alone.loss(model, far).backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


class Clock:
    """Two environments that count steps: episodes of 3 and of 5, the second cut short by time."""

    def __init__(self, number: int) -> None:
        self.ends = np.array([3, 5])[:number]

    def reset(self, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
        self.t = np.zeros(len(self.ends), int)
        self.over = np.zeros(len(self.ends), bool)
        return self._seen(), {}

    def step(self, action: np.ndarray) -> tuple[Any, ...]:
        self.t = np.where(self.over, 0, self.t + 1)
        reward = np.where(self.over, 0.0, 1.0)
        self.over = self.t == self.ends
        first = np.arange(len(self.ends)) == 0
        return self._seen(), reward, self.over & first, self.over & ~first, {}

    def _seen(self) -> np.ndarray:
        return self.t[:, None].astype(np.float32)

    def close(self) -> None: ...


class Even(nn.Module):
    """Even odds of two actions; the value is a weight, 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.new_zeros(len(x), 2), self.value.expand(len(x))


def test_a_rollout_by_hand() -> None:
    method = PPO(environments=2, horizon=9, passes=1, minibatches=1, discount=1.0, smoothing=1.0)
    stream = method.experience(Clock, Even(), 0)
    first, second = next(stream), next(stream)
    # In 9 steps: two episodes of 3 with one step between and one on the way; one of 5, and 3 steps.
    assert sorted(first.x[:, 0].tolist()) == sorted([0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 3, 4, 0, 1, 2])
    assert sorted(first.returns.tolist()) == [3.0, 3.0, 5.0]
    assert first.outcome.max() == 5.0  # steps to come, with value 0 beyond the cut
    assert sorted(second.returns.tolist()) == [3.0, 3.0, 5.0, 5.0]  # they go on over rollouts
    torch.testing.assert_close(first.log_odds, torch.full((15,), -math.log(2)))
    assert abs(float(first.advantage.mean())) < 1e-6
    assert float(first.advantage.std()) == pytest.approx(1.0, abs=1e-5)


def test_returns_count_the_first_episode_of_each_environment() -> None:
    assert returns_of(Clock, Even(), 2, 0).tolist() == [3.0, 5.0]


def test_a_random_policy_earns_what_is_known_of_it() -> None:
    task = CartPolePPO(episodes=400)
    model = task.model(0)
    for p in model.parameters():
        nn.init.zeros_(p)
    scores = task.scores(model, "test")
    assert scores["return"] == pytest.approx(22.2, abs=2.0)  # mean of a random policy, deviation 12
    assert 8 <= scores["worst decile"] < 12
    assert scores != task.scores(model, "validation")
    assert scores == task.scores(model, "test")


def test_actions_follow_the_odds() -> None:
    odds = torch.tensor([[0.2, 0.5, 0.3]]).log().expand(5000, 3)
    drawn = sampled(odds, torch.Generator().manual_seed(0)).bincount() / 5000
    torch.testing.assert_close(drawn, torch.tensor([0.2, 0.5, 0.3]), atol=0.03, rtol=0)


def run(task: CartPolePPO | LunarLanderPPO, seed: int = 0) -> tuple[nn.Module, list[float]]:
    model = task.model(seed)
    optimizer = torch.optim.AdamW(model.parameters(), task.rate)
    returns: list[float] = []
    for batch in islice(task.batches(seed, model), task.steps):
        optimizer.zero_grad()
        task.loss(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        returns += batch.returns.tolist()
    return model, returns


def test_training_repeats_with_the_seed() -> None:
    (a, first), (b, again), (_, other) = run(TINY), run(TINY), run(TINY, 1)
    assert first == again != other
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


def test_cartpole_is_learned() -> None:
    task = CartPolePPO(steps=480, episodes=20)
    model, returns = run(task)
    assert sum(returns[:20]) / 20 < 40
    assert task.score(model, "test") > 150


def test_lunarlander_runs_and_names_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    method = PPO(environments=2, horizon=20, minibatches=2)
    model, _ = run(LunarLanderPPO(method=method, steps=3, hidden=8))
    short = LunarLanderPPO(episodes=3)
    assert short.score(model, "test") < 0  # a beginner crashes
    monkeypatch.setitem(sys.modules, "Box2D", None)
    with pytest.raises(MissingExtra, match="package 'box2d': pip install"):
        environments("LunarLander-v3")
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(MissingExtra, match="package 'gymnasium'"):
        environments("CartPole-v1")


def test_figures_of_returns() -> None:
    assert worst_decile(torch.arange(20.0)) == 0.5
    assert worst_decile(torch.tensor([4.0, 2.0])) == 2.0
    assert collapses([1.0] * 50) == 0
    up, down, most = ([level] * 20 for level in (100.0, 10.0, 60.0))
    for shift in (0.0, -90.0):  # returns of a lander start below 0
        curves = (
            ([*down, *up], 0),
            ([*down, *up, *down, *down], 1),
            ([*down, *up, *down, *up, *down], 2),
            ([*down, *up, *down, *most, *down], 1),  # it never came back
            ([*down, *up, 0.0, *up], 0),  # one bad episode
        )
        for curve, count in curves:
            assert collapses([level + shift for level in curve]) == count
    assert collapses([-200.0] * 10 + [-180.0] * 10 + [-200.0] * 10) == 0  # it had not learned


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0}, "horizon must be at least 1, got 0"),
        ({"discount": 1.1}, "discount and smoothing must be in"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        PPO(**options)


@pytest.mark.parametrize("task", [CartPolePPO(), LunarLanderPPO()], ids=lambda task: task.name)
def test_what_the_page_says_of_it(task: CartPolePPO | LunarLanderPPO) -> None:
    assert task.field == "RL"
    assert task.provenance.endswith(".")
    assert all(task.data.values())
    assert type(task).full().steps > task.steps
    with pytest.raises(BadInput, match="split must be one of"):
        task.scores(task.model(0), "dev")
