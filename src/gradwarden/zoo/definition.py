"""What the zoo knows of a model before anything is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.core.estimate import Estimate
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat

HALVES = ("development", "held-out")
KINDS = ("shattered", "stochastic", "vanishing", "lying", "training", "tabular", "honest")


class Samples(NamedTuple):
    x: Tensor  # [N, ...]
    y: Tensor  # [N] int64


def itself(plain: nn.Module) -> nn.Module:
    """The named form of a net without a mask."""
    return plain


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model: what it is made of, how it is trained, what threatens it and what breaks it.

    `kind` says how the family hides gradients, or "honest"; whether this model does is measured.
    """

    name: str
    net: str  # file in `zoo.plain` and of the weights: "net_07"
    half: str
    family: str  # stands in one half alone
    kind: str
    data: str  # of `zoo.sets`
    threat: Threat
    module: str | None  # that hides the gradient, as a dotted path in the plain form
    train: Callable[[nn.Module, Samples], object]  # the plain form, in place
    # Written for this defence: the named form and training samples -> attacks on the named form.
    attacks: Callable[[nn.Module, Samples], tuple[Attack, ...]]
    named: Callable[[nn.Module], nn.Module] = itself  # plain form -> the same weights behind a mask
    # Plain form, held-out samples, threat -> accuracy that no attack gets below.
    certify: Callable[[nn.Module, Samples, Threat], Estimate] | None = None
    stochastic: bool = False  # answers differ from call to call
    note: str = ""  # what makes it hard or two-edged

    def __post_init__(self) -> None:
        if self.half not in HALVES:
            raise BadInput(f"half must be one of {', '.join(HALVES)}, got {self.half!r}")
        if self.kind not in KINDS:
            raise BadInput(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
