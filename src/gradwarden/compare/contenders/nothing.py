"""Nothing at all: the control of every comparison, and a contender for either purpose."""

from __future__ import annotations

from dataclasses import dataclass

from gradwarden.compare.contenders.contender import Protected, Protection, Treatment
from gradwarden.tasks.task import SecurityTask


@dataclass(frozen=True, kw_only=True)
class Nothing(Treatment, Protection):
    """Training as it is, and a model as it is."""

    name = "nothing"
    noun = "no treatment"
    what = "Leaves training and the model as they are."
    label = ""

    def defences(self, task: SecurityTask) -> tuple[Protected, ...]:
        return (Protected("", ()),)
