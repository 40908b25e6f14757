"""What the comparison asks of a task: one protocol for training, one for security.

A task is a frozen dataclass of options that inherits one of the two: what is common has its code
here, the rest is written in the task's file. `repr` is its configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat
from gradwarden.tasks.loader import Loader, Split
from gradwarden.tasks.metrics import judged

SPLITS = ("train", "validation", "test")
SCORED = 2000  # samples that pass the net at once


class Metric(NamedTuple):
    """A figure by which a task is judged."""

    name: str  # "sensitivity"
    unit: str  # "share of the ill"
    higher: bool  # whether higher is better


ACCURACY = Metric("accuracy", "share of the samples", True)


class Task(Protocol):
    """What both kinds share."""

    @property
    def name(self) -> str:
        """For the command line: "lstm-text"."""
        ...

    @property
    def field(self) -> str:
        """The row of the page: "LSTM, NLP", "fraud", ..."""
        return "your own"

    @property
    def provenance(self) -> str:
        """One sentence: what the data are and where they come from."""
        return "Data of your own."

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The first is the one that decides."""
        ...

    @property
    def data(self) -> Mapping[str, str]:
        """Packages and files that the data come from, with version or digest.

        Raises MissingExtra or MissingData.
        """
        return {}

    @classmethod
    def full(cls) -> Self:
        """Of the size for the full comparison; the defaults are for the quick one."""
        return cls()

    def model(self, seed: int) -> nn.Module:
        """Untrained; the same weights for the same seed, whatever the arm."""
        ...


class TrainingTask(Task, Protocol):
    """Trained for `steps` steps of `batches` by an optimizer that the run chooses."""

    @property
    def net(self) -> str:
        """The architecture: runs of one net and optimizer stand on one ladder of rates."""
        return "net"

    @property
    def steps(self) -> int: ...

    @property
    def optimizer(self) -> str:
        """That the field uses: "SGD" or "AdamW"."""
        ...

    @property
    def rate(self) -> float:
        """A rate of `optimizer` at which training with clipping goes well."""
        ...

    @property
    def warmup(self) -> int:
        """Steps over which the rate grows from 0 to its value; 0 for none."""
        return 0

    @property
    def target(self) -> float | None:
        """Training loss that counts as "has learned"; None where a loss does not tell."""
        return None

    @property
    def bound(self) -> float | None:
        """The norm that the field clips at; None where a pilot run is to tell."""
        return None

    @property
    def episodic(self) -> bool:
        """Whether figures are those of whole episodes: they vary, and ask for seeds, not for rates."""
        return False

    @property
    def sizes(self) -> tuple[str, ...]:
        """Along which the gradient norm can be measured: "length" (time steps), "depth" (layers)."""
        return ()

    def cut(self, batch: Any, length: int) -> Any:
        """The first `length` time steps of `batch`, a pair x [N, T, ...], y, for "length"."""
        raise BadInput(f"the task {self.name} has sizes {self.sizes}, and cannot be cut")

    def deeper(self, layers: int) -> Self:
        """The same task with a net of so many layers, for "depth"."""
        raise BadInput(f"the task {self.name} has sizes {self.sizes}, and no deeper net")

    def batches(self, seed: int, model: nn.Module) -> Iterator[Any]:
        """Endless; the same for the same seed. Reinforcement learning makes them with `model`."""
        ...

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """[] to be minimised."""
        ...

    def scores(self, model: nn.Module, split: str) -> dict[str, float]:
        """Every metric by name, on `split`: "validation" or "test"."""
        ...

    def score(self, model: nn.Module, split: str) -> float:
        """The first metric."""
        return self.scores(model, split)[self.metrics[0].name]


class SecurityTask(Task, Protocol):
    """A classifier x [N, ...] -> logits [N, classes], and what an attacker may do to x."""

    @property
    def classes(self) -> tuple[str, ...]:
        """What the labels 0, 1, ... are called."""
        ...

    @property
    def threat(self) -> Threat:
        """What an attacker may do; where a threshold decides, that of argmax."""
        ...

    @property
    def epochs(self) -> int: ...

    @property
    def batch(self) -> int: ...

    @property
    def rate(self) -> float:
        """Of Adam."""
        ...

    @property
    def samples(self) -> int:
        """How many of the test split are attacked, at most."""
        ...

    def split(self, name: str) -> Split:
        """ "train", "validation" or "test"; no sample is in two."""
        ...

    def threat_on(self, model: nn.Module) -> Threat:
        """`threat`, at the operating threshold of the trained `model` where the field has one."""
        return self.threat

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), self.rate)

    def loader(self, seed: int) -> Loader:
        """Shuffled batches of the training split."""
        return Loader.of(self.split("train"), self.batch, seed, self.name)

    def held_out(self) -> Split:
        """What is attacked: samples of the test split."""
        x, y = self.split("test")
        return Split(x[: self.samples], y[: self.samples])

    def scores(self, model: nn.Module, split: str) -> dict[str, float]:
        """Every metric by name on `split`, "validation" or "test", without an attacker."""
        x, y = self.split(split)
        return self.judge(logits_of(model, x), y, self.threat_on(model))

    def under(self, model: nn.Module, attack: Attack) -> dict[str, float]:
        """Metrics by name that samples one by one do not tell, with `attack` at every step or place.

        None by default.
        """
        return {}

    def judge(self, logits: Tensor, y: Tensor, threat: Threat) -> dict[str, float]:
        """Metrics by name of logits [N, classes], perhaps of attacked samples, with y [N].

        One that needs a label which no sample has is left out.
        """
        return judged([metric.name for metric in self.metrics], logits, y, threat.goal)


@torch.no_grad()
def logits_of(model: nn.Module, x: Tensor) -> Tensor:
    """model(x) [N, ...] in evaluation mode, part by part."""
    was = model.training
    model.eval()
    found = torch.cat([model(some) for some in x.split(SCORED)])
    model.train(was)
    return found


def part(splits: tuple[Any, Any, Any], name: str) -> Any:
    """The one called `name` of (train, validation, test)."""
    if name not in SPLITS:
        raise BadInput(f"split must be one of {', '.join(SPLITS)}, got {name!r}")
    return splits[SPLITS.index(name)]


def at_least(lowest: float, task: object, *options: str) -> None:
    """Raises BadInput where one of the options of `task` is below `lowest`."""
    for option in options:
        if not getattr(task, option) >= lowest:
            raise BadInput(f"{option} must be at least {lowest:g}, got {getattr(task, option)}")
