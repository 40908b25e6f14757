"""Task `cartpole-ppo`: a policy learns to balance a pole.

Source: Barto et al. 1983 (the task), as CartPole-v1 of Gymnasium (MIT); PPO clips gradients at 0.5
(Huang et al. 2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from gradwarden.core.draws import seed_of
from gradwarden.tasks.environments import EPISODE_METRICS, environments, episode_scores
from gradwarden.tasks.nets import weights
from gradwarden.tasks.packages import version
from gradwarden.tasks.ppo import PPO, ActorCritic, Experience, returns_of
from gradwarden.tasks.task import TrainingTask, at_least, part

WORLD = "CartPole-v1"
METHOD = PPO()
OBSERVED, ACTIONS = 4, 2


@dataclass(frozen=True, kw_only=True)
class CartPolePPO(TrainingTask):
    """Returns are steps until the pole falls, 500 at most; `steps` are those of the optimizer."""

    method: PPO = METHOD
    hidden: int = 64
    steps: int = 640  # 40 rollouts of 1,024 steps in the environment
    episodes: int = 50  # on each held-out split

    name = "cartpole-ppo"
    field = "RL"
    provenance = "The simulated cart and pole of Gymnasium (CartPole-v1, MIT)."
    metrics = EPISODE_METRICS
    net = "actor-critic"
    optimizer = "AdamW"
    bound = 0.5  # of PPO's clipping, Huang et al. 2022
    episodic = True
    rate = 1e-3
    target = None

    def __post_init__(self) -> None:
        at_least(1, self, "hidden", "steps", "episodes")

    @classmethod
    def full(cls) -> CartPolePPO:
        return cls(steps=3200, episodes=200)

    @property
    def data(self) -> dict[str, str]:
        return {"gymnasium": version("gymnasium")}

    def model(self, seed: int) -> nn.Module:
        with weights(seed, self.name):
            return ActorCritic(OBSERVED, ACTIONS, self.hidden)

    def batches(self, seed: int, model: nn.Module) -> Iterator[Experience]:
        return self.method.experience(
            environments(WORLD), model, seed_of(seed, self.name, "batches")
        )

    def loss(self, model: nn.Module, batch: Experience) -> Tensor:
        return self.method.loss(model, batch)

    def scores(self, model: nn.Module, split: str) -> dict[str, float]:
        """The same starts for all runs; a split is a set of starts."""
        seed = seed_of(self.name, part((0, 1, 2), split))
        return episode_scores(returns_of(environments(WORLD), model, self.episodes, seed))
