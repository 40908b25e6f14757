"""A training run takes any training task: its own net, metric, target and warm-up."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from own_tasks import Slope

from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.compare.job import settings
from gradwarden.compare.results import Trained, _read
from gradwarden.compare.training import OPTIMIZERS, TrainingJob
from gradwarden.tasks.cartpole_ppo import CartPolePPO
from gradwarden.tasks.demand_forecast import DemandForecast
from gradwarden.tasks.gpt_text import GPTText
from gradwarden.tasks.motion_classify import MotionClassify
from gradwarden.tasks.ppo import PPO
from gradwarden.tasks.rnn_temporal_order import RNNTemporalOrder
from gradwarden.tasks.task import TrainingTask

TASKS: list[TrainingTask] = [
    RNNTemporalOrder(length=10, hidden=8, steps=12, held_out=20),
    GPTText(batch=4, length=8, steps=12, held_out=4, width=8, warmup=4),
    DemandForecast(hidden=4, length=8, steps=12, held_out=20),
    MotionClassify(hidden=4, steps=3, batch=8),
    CartPolePPO(method=PPO(environments=2, horizon=16), hidden=8, steps=12, episodes=3),
]


def job(task: TrainingTask, **options: Any) -> TrainingJob:
    made = TrainingJob(of=task, optimizer=task.optimizer, rate=task.rate, rule=MaxNorm(1.0), seed=0)
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


def test_the_rate_grows_over_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []

    class Spy(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setitem(OPTIMIZERS, "SGD", Spy)
    for task in (GPTText(batch=2, length=4, steps=6, held_out=2, width=8, warmup=4), TASKS[0]):
        job(task, optimizer="SGD", rate=0.8).run()
    assert rates[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert rates[6:] == [0.8] * 12


@dataclass(frozen=True, kw_only=True)
class Dropping(Slope):
    """Seeds nothing itself, and draws at every step."""

    def model(self, seed: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Dropout(), torch.nn.Linear(8, 1))


def test_a_net_that_draws_is_paired_and_repeatable() -> None:
    torch.manual_seed(7)
    first = job(Dropping(), rule=None).run()
    torch.manual_seed(8)
    assert job(Dropping(), rule=None).run() == first
    clipped = job(Dropping(), rule=MaxNorm(1e9)).run()
    assert clipped["losses"] == first["losses"]
    assert job(Dropping(), rule=None, seed=1).run()["losses"][0] != first["losses"][0]
