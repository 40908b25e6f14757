"""Proximal policy optimisation for discrete actions: what the reinforcement-learning tasks share.

Source: Schulman et al. 2017, arXiv:1707.06347 (PPO, clipped objective); Schulman et al. 2016,
arXiv:1506.02438 (generalised advantage estimation); defaults after Huang et al. 2022, The 37
implementation details of PPO.
Differs: the value loss is not clipped, and the rate does not fall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gradwarden.core.draws import seed_of
from gradwarden.core.errors import BadInput


class ActorCritic(nn.Module):
    """Observations [N, D] -> logits of actions [N, A] and values [N]; two nets with tanh."""

    def __init__(self, observed: int, actions: int, hidden: int) -> None:
        super().__init__()
        self.actor = _net(observed, hidden, actions, gain=0.01)  # at first almost even odds
        self.critic = _net(observed, hidden, 1, gain=1.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.actor(x), self.critic(x)[:, 0]


def _net(inputs: int, hidden: int, outputs: int, *, gain: float) -> nn.Sequential:
    sizes = ((inputs, hidden, 2**0.5), (hidden, hidden, 2**0.5), (hidden, outputs, gain))
    layers = [nn.Linear(a, b) for a, b, _ in sizes]
    for layer, (_, _, scale) in zip(layers, sizes, strict=True):
        nn.init.orthogonal_(layer.weight, scale)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


class Experience(NamedTuple):
    """One minibatch of steps that the policy made before it was last changed."""

    x: Tensor  # [N, D] observations
    action: Tensor  # [N]
    log_odds: Tensor  # [N] log probability of the action, then
    advantage: Tensor  # [N], of mean 0 and deviation 1
    outcome: Tensor  # [N] what the value should be
    returns: Tensor  # [E] of episodes that ended since the last minibatch, in order

    def of(self, rows: Tensor) -> Experience:
        """The steps `rows`, with all returns."""
        x, action, log_odds, advantage, outcome = (each[rows] for each in self[:5])
        return Experience(x, action, log_odds, advantage, outcome, self.returns)


@dataclass(frozen=True, kw_only=True)
class PPO:
    """Each of `environments` makes `horizon` steps, learned in `passes` of `minibatches` each."""

    environments: int = 8
    horizon: int = 128
    passes: int = 4
    minibatches: int = 4
    discount: float = 0.99
    smoothing: float = 0.95  # lambda of the advantage estimate
    trust: float = 0.2  # how far the odds of an action may move, as a ratio
    value_weight: float = 0.5
    entropy_weight: float = 0.01

    def __post_init__(self) -> None:
        for option in ("environments", "horizon", "passes", "minibatches"):
            if getattr(self, option) < 1:
                raise BadInput(f"{option} must be at least 1, got {getattr(self, option)}")
        if not (0.0 <= self.discount <= 1.0 and 0.0 <= self.smoothing <= 1.0):
            raise BadInput(
                f"discount and smoothing must be in [0, 1], got {self.discount}, {self.smoothing}"
            )

    def experience(
        self, make: Callable[[int], Any], model: nn.Module, seed: int
    ) -> Iterator[Experience]:
        """Endless minibatches. `make` of a number gives that many environments as one of Gymnasium's
        vectors, which begin a new episode at the step after the last (autoreset NEXT_STEP)."""
        rng = torch.Generator().manual_seed(seed)
        worlds = make(self.environments)
        x, _ = worlds.reset(seed=seed_of(seed, "worlds") % 2**31)
        played = Played(
            torch.from_numpy(np.asarray(x)).float(),
            torch.zeros(self.environments, dtype=torch.bool),
            torch.zeros(self.environments),
        )
        while True:
            whole, played = self._rollout(worlds, model, played, rng)
            for turn in range(self.passes):
                order = torch.randperm(len(whole.x), generator=rng)
                for count, rows in enumerate(order.chunk(self.minibatches)):
                    ended = whole.returns if turn == count == 0 else whole.returns[:0]
                    yield whole.of(rows)._replace(returns=ended)

    @torch.no_grad()
    def _rollout(
        self, worlds: Any, model: nn.Module, played: Played, rng: torch.Generator
    ) -> tuple[Experience, Played]:
        x, over, earned = played
        rows: list[tuple[Tensor, ...]] = []
        returns: list[Tensor] = []
        for _ in range(self.horizon):
            logits, value = model(x)
            odds = logits.log_softmax(1)
            action = sampled(odds, rng)
            step = worlds.step(action.numpy())
            after, reward, ended, cut = (torch.from_numpy(np.asarray(part)) for part in step[:4])
            reward = reward.float()
            own = odds.gather(1, action[:, None])[:, 0]
            rows.append((x, action, own, value, reward, ended, ended | cut, over))
            earned = torch.where(over, 0.0, earned) + reward
            over, x = ended | cut, after.float()
            returns.append(earned[over])
        stacked = tuple(torch.stack(column) for column in zip(*rows, strict=True))
        observed, action, own, value, reward, ended, last, waiting = stacked
        values = torch.cat([value, model(x)[1][None]])
        advantage = gae(
            reward, values, ended, last, discount=self.discount, smoothing=self.smoothing
        )
        real = ~waiting  # the step at which an environment begins anew heeds no action
        kept = advantage[real]
        whole = Experience(
            observed[real],
            action[real],
            own[real],
            (kept - kept.mean()) / (kept.std() + 1e-8),
            kept + value[real],
            torch.cat(returns),
        )
        return whole, Played(x, over, earned)

    def loss(self, model: nn.Module, batch: Experience) -> Tensor:
        """Mean [] of the clipped objective, the value error and the entropy bonus."""
        logits, value = model(batch.x)
        odds = logits.log_softmax(1)
        own = odds.gather(1, batch.action[:, None])[:, 0]
        ratio = (own - batch.log_odds).exp()
        held = ratio.clamp(1 - self.trust, 1 + self.trust)
        gain = torch.minimum(ratio * batch.advantage, held * batch.advantage).mean()
        error = (value - batch.outcome).square().mean() / 2
        entropy = -(odds.exp() * odds).sum(1).mean()
        loss: Tensor = -gain + self.value_weight * error - self.entropy_weight * entropy
        return loss


class Played(NamedTuple):
    """Where a rollout goes on."""

    x: Tensor  # [environments, D]
    over: Tensor  # [environments] bool: the episode ended, and the next step begins another
    earned: Tensor  # [environments] return of the episode so far


def sampled(odds: Tensor, rng: torch.Generator) -> Tensor:
    """[N] actions drawn from log probabilities [N, A]."""
    return torch.multinomial(odds.exp(), 1, generator=rng)[:, 0]


def gae(
    reward: Tensor,
    values: Tensor,
    ended: Tensor,
    last: Tensor,
    *,
    discount: float,
    smoothing: float,
) -> Tensor:
    """Advantages [T, E] of rewards [T, E] and values [T + 1, E].

    `ended` [T, E]: nothing follows, so the next value counts 0. `last` [T, E]: the episode stops
    here, be it cut short, so nothing is carried over from later steps.
    """
    advantage = torch.zeros_like(reward)
    carried = torch.zeros_like(reward[0])
    for t in reversed(range(len(reward))):
        follows, goes_on = (~ended[t]).float(), (~last[t]).float()
        surprise = reward[t] + discount * values[t + 1] * follows - values[t]
        carried = surprise + discount * smoothing * goes_on * carried
        advantage[t] = carried
    return advantage


@torch.no_grad()
def returns_of(make: Callable[[int], Any], model: nn.Module, episodes: int, seed: int) -> Tensor:
    """[episodes] returns of the policy, which draws its actions; one episode an environment."""
    rng = torch.Generator().manual_seed(seed)
    worlds = make(episodes)
    x, _ = worlds.reset(seed=seed_of(seed, "worlds") % 2**31)
    total, done = torch.zeros(episodes), torch.zeros(episodes, dtype=torch.bool)
    while not done.all():
        logits, _ = model(torch.from_numpy(np.asarray(x)).float())
        odds = logits.nan_to_num().log_softmax(1)
        x, reward, ended, cut, _ = worlds.step(sampled(odds, rng).numpy())
        total += torch.from_numpy(np.asarray(reward)).float().where(~done, 0.0)
        done |= torch.from_numpy(np.asarray(ended) | np.asarray(cut))
    worlds.close()
    return total
