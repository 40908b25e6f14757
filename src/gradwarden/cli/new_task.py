"""`gradwarden new-task`: the skeleton of a task, which runs as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradwarden.core.errors import BadInput
from gradwarden.core.files import write_atomically

NAME = "my-task"  # in the skeletons; that of the file takes its place
TRAINING = '''\
"""What `gradwarden compare` asks of a training task; replace data, net and loss by yours."""

from dataclasses import dataclass

import torch
from torch import nn

from gradwarden.tasks import Metric, TrainingTask


def sample(n, rng):  # your data
    x = torch.randn(n, 4, generator=rng)
    return x, x.sum(1, keepdim=True).sin()


@dataclass(frozen=True, kw_only=True)
class Task(TrainingTask):
    steps: int = 200  # of the optimizer in each run, at least 32
    hidden: int = 32  # options of yours: a run is found again by them

    name = "my-task"
    optimizer = "SGD"  # or "AdamW"
    rate = 0.1  # where training with clipping goes well; rates from 1/4 to 8 times it are tried
    target = 0.3  # training loss that counts as "has learned"; None where there is none
    metrics = (Metric("error", "mean square", False),)  # the first decides; True: more is better

    def model(self, seed):  # untrained; torch's generator is seeded for you
        return nn.Sequential(nn.Linear(4, self.hidden), nn.Tanh(), nn.Linear(self.hidden, 1))

    def batches(self, seed, model):  # endless; the same for the same seed
        rng = torch.Generator().manual_seed(seed)
        while True:
            yield sample(64, rng)

    def loss(self, model, batch):  # one number
        x, y = batch
        return nn.functional.mse_loss(model(x), y)

    @torch.no_grad()
    def scores(self, model, split):  # every metric by name, on "validation" and on "test"
        rng = torch.Generator().manual_seed({"validation": 1000, "test": 1001}[split])
        return {"error": float(self.loss(model.eval(), sample(500, rng)))}


task = Task()
'''
SECURITY = '''\
"""What `gradwarden compare` asks of a task under attack; replace data, net and threat by yours."""

from dataclasses import dataclass

import torch
from torch import nn

import gradwarden as gw
from gradwarden.tasks import Metric, SecurityTask


@dataclass(frozen=True, kw_only=True)
class Task(SecurityTask):
    epochs: int = 20
    batch: int = 50
    rate: float = 0.01  # of Adam
    samples: int = 200  # of the test split that are attacked, at most
    radius: float = 0.1  # what an attacker may add to each number, in units of x

    name = "my-task"
    classes = ("outside", "inside")  # what the labels 0, 1, ... are called
    metrics = (Metric("accuracy", "share of the samples", True),)

    @property
    def threat(self):  # what an attacker may do; `box` holds all values that x can have
        return gw.Threat(ball=gw.Linf(self.radius), box=(-1.0, 1.0))

    def model(self, seed):  # untrained, x [N, ...] -> logits [N, classes]; torch is seeded for you
        return nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, len(self.classes)))

    def split(self, name):  # your data: "train", "validation" or "test", no sample in two
        rng = torch.Generator().manual_seed({"train": 0, "validation": 1, "test": 2}[name])
        x = 2 * torch.rand(500, 2, generator=rng) - 1  # [N, ...] float32
        return gw.tasks.Split(x, (x.norm(dim=1) < 0.8).long())  # labels [N] int64


task = Task()
'''


def new_task(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The Python file to be written.")],
    security: Annotated[
        bool, typer.Option("--security", help="A classifier under attack, not a training run.")
    ] = False,
) -> None:
    """Write the skeleton of a task of your own, which `gradwarden compare` runs as it is.

    Examples:

        gradwarden new-task my_task.py

        gradwarden new-task my_model.py --security
    """
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise BadInput(
            f"got {file.name!r}, expected a Python file that can be imported: my_task.py"
        )
    if file.exists():
        raise BadInput(f"{file} exists and stays as it is: give another name")
    text = SECURITY if security else TRAINING
    write_atomically(file, text.replace(NAME, file.stem.replace("_", "-")))
    typer.echo(f"Wrote {file}. It runs as it is: gradwarden compare {file}:task")
