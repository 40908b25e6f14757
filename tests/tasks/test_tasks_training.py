"""What holds of every training task: seeds, learning, scores, splits, options."""

from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch
from torch import nn

from gradwarden.core.errors import BadInput
from gradwarden.tasks.demand_forecast import DemandForecast
from gradwarden.tasks.gpt_text import GPTText
from gradwarden.tasks.lstm_text import LSTMText
from gradwarden.tasks.motion_classify import MotionClassify
from gradwarden.tasks.rnn_temporal_order import RNNTemporalOrder
from gradwarden.tasks.task import TrainingTask

TASKS: list[TrainingTask] = [
    RNNTemporalOrder(length=10, hidden=16, steps=60, held_out=50),
    LSTMText(batch=8, length=16, steps=30, held_out=8, hidden=16),
    GPTText(batch=8, length=16, steps=30, held_out=8, width=16),
    GPTText(batch=8, length=16, steps=30, held_out=8, width=16, norm="post", warmup=10),
    DemandForecast(hidden=8, length=24, steps=30, held_out=50),
    MotionClassify(hidden=16, steps=60, batch=16),
]
each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.name} {task.net}")
OPTIMIZERS: dict[str, Any] = {"SGD": torch.optim.SGD, "AdamW": torch.optim.AdamW}


def trained(task: TrainingTask) -> tuple[nn.Module, list[float]]:
    """With clipping at 1, as every one of these fields does it."""
    model = task.model(0)
    optimizer = OPTIMIZERS[task.optimizer](model.parameters(), task.rate)
    losses = []
    for batch in islice(task.batches(0, model), task.steps):
        optimizer.zero_grad()
        loss = task.loss(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return model, losses


@each_task
def test_training_lowers_the_loss_and_repeats_with_the_seed(task: TrainingTask) -> None:
    model, losses = trained(task)
    tenth = max(1, len(losses) // 10)
    assert sum(losses[-tenth:]) / tenth < 0.97 * sum(losses[:tenth]) / tenth
    _, again = trained(task)
    assert losses == again
    scores = task.scores(model, "test")
    assert list(scores) == [metric.name for metric in task.metrics]
    assert task.score(model, "test") == scores[task.metrics[0].name]
    assert scores != task.scores(model, "validation")


@each_task
def test_weights_and_batches_depend_on_the_seed_alone(task: TrainingTask) -> None:
    torch.manual_seed(1)
    first = task.model(3)
    torch.manual_seed(2)
    again, other = task.model(3), task.model(4)
    want = torch.rand(1)
    torch.manual_seed(2)
    assert torch.equal(torch.rand(1), want)  # the global generator is left alone
    flat = [nn.utils.parameters_to_vector(m.parameters()) for m in (first, again, other)]
    assert torch.equal(flat[0], flat[1])
    assert not torch.equal(flat[0], flat[2])
    draws = [next(iter(task.batches(seed, first)))[0] for seed in (3, 3, 4)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@each_task
def test_what_the_page_says_of_it(task: TrainingTask) -> None:
    assert task.field in ("RNN", "LSTM, NLP", "transformer, NLP", "time series", "RL")
    assert task.provenance.endswith(".")
    assert type(task).full().steps > type(task)().steps
    assert all(task.data.values())
    with pytest.raises(BadInput, match="split must be one of train, validation, test, got 'dev'"):
        task.scores(task.model(0), "dev")
    with pytest.raises(BadInput, match="steps must be at least 1, got 0"):
        replace(task, steps=0)  # type: ignore[type-var]
