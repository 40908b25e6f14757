"""What a contender of a comparison is: something done to a training run, or a defence of a model.

Each is a frozen dataclass that inherits Treatment or Protection; its options are its configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from torch import nn

from gradwarden.clip.rule import Rule
from gradwarden.compare.picks import sentence
from gradwarden.tasks.task import SecurityTask, TrainingTask

if TYPE_CHECKING:
    from gradwarden.compare.defence import Defence
    from gradwarden.compare.results import Trained


class Contender(Protocol):
    """What both kinds share: how the command line and the page call it."""

    @property
    def name(self) -> str:
        """For `--between`: "lower-learning-rate"."""
        ...

    @property
    def noun(self) -> str:
        """Within a sentence: "a lower learning rate"."""
        ...

    @property
    def what(self) -> str:
        """One sentence: what it does."""
        ...

    @property
    def title(self) -> str:
        """As a heading."""
        return sentence(self.noun)


class Protected(NamedTuple):
    """A way to defend a model."""

    name: str  # how the page calls it; "" for none
    parts: tuple[Defence, ...]  # in the order in which they are applied

    def around(self, other: Protected) -> Protected:
        """Both, this one further out: of parts that train, its own do so last."""
        return Protected(f"{other.name} + {self.name}", (*other.parts, *self.parts))


class Treatment(Contender, Protocol):
    """Is for training: keeps it alive, or makes it faster or better."""

    @property
    def label(self) -> str:
        """Names the arm; "" for the untreated one."""
        ...

    @property
    def rule(self) -> Rule[Any] | None:
        """That clips the gradients."""
        return None

    @property
    def options(self) -> dict[str, float]:
        """Of the optimizer."""
        return {}

    def fitted(self, task: TrainingTask, pilot: Trained) -> Self:
        """With what a pilot run of `task`, clipped by Adaptive, tells about its options."""
        return self

    @property
    def usual(self) -> Self:
        """With the options that are usual, where no pilot was run."""
        return self

    @property
    def beside(self) -> tuple[Treatment, ...]:
        """Others that are run on the whole ladder of rates, for the page to show."""
        return ()

    @property
    def controls(self) -> tuple[Treatment, ...]:
        """Others that are run around the edge of stability alone."""
        return ()

    def applied(self, model: nn.Module) -> nn.Module:
        """`model` before training, changed in place where it is to be."""
        return model

    def share(self, step: int, steps: int) -> float:
        """Of the learning rate, at `step` of `steps`, from 0."""
        return 1.0


class Protection(Contender, Protocol):
    """Is for security: meant to keep a model right where it is attacked."""

    def defences(self, task: SecurityTask) -> tuple[Protected, ...]:
        """Every one by which it is judged. Raises BadInput where none is for such a task."""
        ...


def label_of(treatments: tuple[Treatment, ...]) -> str:
    """How the page calls an arm; "" for the untreated one."""
    return " + ".join(treatment.label for treatment in treatments if treatment.label)
