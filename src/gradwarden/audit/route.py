"""An attacker's way to a gradient, as a value: what is replaced, averaged, smoothed, or finer.

Source: Tramer et al. 2020, arXiv:2002.08347, sec. 3 (adaptive attacks as a composition).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import nn

from gradwarden.attack.bpda import BPDA, Surrogate
from gradwarden.attack.double import Double
from gradwarden.attack.eot import EOT
from gradwarden.attack.smoothed import Smoothed
from gradwarden.attack.straight_through import StraightThrough
from gradwarden.audit.stand_ins.softened import Softened
from gradwarden.audit.stand_ins.unsquashed import Unsquashed
from gradwarden.core.protocols import Attack, Patch

NEIGHBOURS = 8


class Part(NamedTuple):
    """One part of a route, and the route up to and with it."""

    says: str
    module: str | None  # dotted path of the one module that it goes around
    route: Route


@dataclass(frozen=True, kw_only=True)
class Route:
    """`patches` on the way back; the mean of `draws` and of a neighbourhood of `sigma`; float64."""

    patches: tuple[Patch, ...] = ()
    draws: int = 1  # forwards at each point, of a model that draws
    sigma: float = 0.0  # in units of x; 0: the gradient at the point alone
    double: bool = False

    def wrap(self, attack: Attack) -> Attack:
        """`attack`, which follows the gradient, led along this route."""
        if self.draws > 1:
            bare = attack.attack if isinstance(attack, EOT) else attack
            attack = EOT(attack=bare, draws=self.draws)
        if self.sigma:
            attack = Smoothed(attack=attack, sigma=self.sigma, draws=self.neighbours)
        if self.patches:
            attack = BPDA(attack=attack, patches=self.patches)
        return Double(attack=attack) if self.double else attack

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Within, the gradient of `model` is that of the patches; its values stay as they are."""
        with ExitStack() as stack:
            for patch in self.patches:
                stack.enter_context(patch.applied(model))
            yield

    @property
    def price(self) -> int:
        """Passes where an attack along no route makes one."""
        return self.draws * (1 + self.neighbours if self.sigma else 1)

    @property
    def neighbours(self) -> int:
        """Of a model that draws, every draw is asked at one neighbour of its own."""
        return 1 if self.draws > 1 else NEIGHBOURS

    def parts(self) -> tuple[Part, ...]:
        """What it is composed of, in the order in which an attacker would add them."""
        found = []
        route = Route()
        for number, patch in enumerate(self.patches):
            route = replace(route, patches=self.patches[: number + 1])
            found.append(Part(through(patch), getattr(patch, "path", None), route))
        if self.draws > 1:
            route = replace(route, draws=self.draws)
            found.append(Part(f"averaging {self.draws} draws of the model", None, route))
        if self.sigma:
            route = replace(route, sigma=self.sigma)
            found.append(Part(f"averaging over a neighbourhood of {self.sigma:.3g}", None, route))
        if self.double:
            found.append(Part("computing in float64", None, self))
        return tuple(found)


def through(patch: Patch) -> str:
    """What `patch` does, as the middle of a sentence."""
    path = getattr(patch, "path", None)
    where = f"module {path!r}" if path else "the model's own code"
    if isinstance(patch, Surrogate):
        stand_in = "the identity" if patch.module is None else repr(patch.module)
        return f"through {where}, {stand_in} on the way back"
    if isinstance(patch, Unsquashed):
        return f"past the softmax or sigmoid at the end of {where}"
    if isinstance(patch, StraightThrough):
        return f"through {where}, each of its operations passed straight"
    if isinstance(patch, Softened):
        return f"through {where}, its steps softened to a width of {patch.width:.3g}"
    return f"through {where}, by {patch!r}"
