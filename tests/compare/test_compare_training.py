"""A training run takes any training task: its own net, metric, target and warm-up."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from own_tasks import Slope

from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.compare.contenders.clipping import Clipping
from gradwarden.compare.job import settings
from gradwarden.compare.results import Trained, _read
from gradwarden.compare.training import TrainingJob
from gradwarden.tasks.cartpole_ppo import CartPolePPO
from gradwarden.tasks.demand_forecast import DemandForecast
from gradwarden.tasks.gpt_text import GPTText
from gradwarden.tasks.motion_classify import MotionClassify
from gradwarden.tasks.ppo import PPO
from gradwarden.tasks.rnn_temporal_order import RNNTemporalOrder
from gradwarden.tasks.task import TrainingTask

UNIT = (Clipping(rule=MaxNorm(1.0)),)
TASKS: list[TrainingTask] = [
    RNNTemporalOrder(length=10, hidden=8, steps=12, held_out=20),
    GPTText(batch=4, length=8, steps=12, held_out=4, width=8, warmup=4),
    DemandForecast(hidden=4, length=8, steps=12, held_out=20),
    MotionClassify(hidden=4, steps=3, batch=8),
    CartPolePPO(method=PPO(environments=2, horizon=16), hidden=8, steps=12, episodes=3),
]


def job(task: TrainingTask, **options: Any) -> TrainingJob:
    made = TrainingJob(of=task, optimizer=task.optimizer, rate=task.rate, treatments=UNIT, seed=0)
    return replace(made, **options)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_training_task_runs_and_comes_back(task: TrainingTask) -> None:
    found = _read(json.loads(json.dumps(job(task).run())))
    assert isinstance(found, Trained)
    assert len(found.losses) == found.steps == task.steps
    assert (found.net, found.target) == (task.net, task.target)
    assert found.validation is not None
    assert task.net in job(task).arm
    json.dumps(settings(job(task)))


def test_no_target_is_never_reached() -> None:
    found = _read(job(TASKS[-1]).run())
    assert isinstance(found, Trained)
    assert found.target is None
    assert found.steps_to_target is None


@dataclass(frozen=True, kw_only=True)
class Dropping(Slope):
    """Seeds nothing itself, and draws at every step."""

    def model(self, seed: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Dropout(), torch.nn.Linear(8, 1))


def test_a_net_that_draws_is_paired_and_repeatable() -> None:
    torch.manual_seed(7)
    first = job(Dropping(), treatments=()).run()
    torch.manual_seed(8)
    assert job(Dropping(), treatments=()).run() == first
    clipped = job(Dropping(), treatments=(Clipping(rule=MaxNorm(1e9)),)).run()
    assert clipped["losses"] == first["losses"]
    assert job(Dropping(), treatments=(), seed=1).run()["losses"][0] != first["losses"][0]
