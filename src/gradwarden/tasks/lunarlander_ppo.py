"""Task `lunarlander-ppo`: a policy learns to land between two flags.

Source: LunarLander-v3 of Gymnasium (MIT), simulated by Box2D; PPO clips gradients at 0.5
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

WORLD = "LunarLander-v3"
METHOD = PPO(environments=16, horizon=256, passes=4, minibatches=8, discount=0.999)
OBSERVED, ACTIONS = 8, 4


@dataclass(frozen=True, kw_only=True)
class LunarLanderPPO(TrainingTask):
    """A landing earns 200 or more; minutes of training: for `--long` runs."""

    method: PPO = METHOD
    hidden: int = 64
    steps: int = 1600  # 50 rollouts of 4,096 steps in the environment
    episodes: int = 50  # on each held-out split

    name = "lunarlander-ppo"
    field = "RL"
    provenance = "The simulated lander of Gymnasium (LunarLander-v3, MIT)."
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
    def full(cls) -> LunarLanderPPO:
        return cls(steps=4800, episodes=200)

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
