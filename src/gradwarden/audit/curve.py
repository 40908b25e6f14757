"""Accuracy under attack against the radius, up to where the attacker may do anything.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 4.3 and 5.1 (success must grow with the radius,
and reach everything); Athalye et al. 2018, arXiv:1802.00420, sec. 3.1.
Differs: a sample that fell at one radius counts as fallen at every larger one, where its point is
allowed too, so that the curve never rises and the search goes on with whoever stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.attack.inputs import clean_logits
from gradwarden.attack.ledger import run_cascade
from gradwarden.audit.radii import covers, resized
from gradwarden.core.display import Series
from gradwarden.core.errors import BadInput
from gradwarden.core.estimate import Estimate, proportion
from gradwarden.core.protocols import Attack
from gradwarden.core.search import Model
from gradwarden.core.threat import Threat

FIRST = (0.25, 0.5, 1.0)  # of the radius; then it doubles
MOST = 4096.0  # the last, unless the box is covered before
ENDLESS = 64.0  # ... of a box that has no end


class Curve(NamedTuple):
    """Accuracy at each radius, and what it must fall to for the attack to be believed."""

    series: Series | None  # in units of the ball; None: not run, see `note`
    here: Estimate | None  # at the threat's own radius
    last: Estimate | None  # at the largest radius
    chance: float  # what a constant answer gets
    whole: bool  # that radius leaves nothing of the box out
    note: str  # full sentences; "" where there is nothing to add

    @property
    def reaches_chance(self) -> bool:
        """Whether no more samples stand than an answer that looks at nothing gets right."""
        return self.last is not None and self.last.value <= self.chance


def curve(
    model: Model,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    attack: Attack,
    *,
    seed: int = 0,
    ids: Sequence[int] | None = None,
    samples: int = 100,
    batch_size: int = 256,
    draws: int = 1,
    name: str = "under attack",
) -> Curve:
    """`attack` at growing radii, on the first `samples` of x [N, ...], y [N] that the goal is about.

    `draws` as in `run_cascade`. Raises BadInput where model and data cannot be attacked.
    """
    if samples < 1:
        raise BadInput(f"samples must be at least 1, got {samples}")
    logits = clean_logits(model, x, y, threat, range(len(x)), batch_size)
    rows = losable(threat, y, logits.shape[1]).nonzero()[:, 0][:samples]
    if not len(rows):
        return Curve(None, None, None, 0.0, False, "Not run: the goal concerns no sample.")
    names = [row if ids is None else ids[row] for row in rows.tolist()]
    x, y = x[rows], y[rows]
    chance = float(y.bincount().amax()) / len(y)
    sizes = list(_sizes(threat, x))
    if not sizes:
        note = f"Not run: {threat.ball!r} has no other sizes."
        return Curve(None, None, None, chance, covers(threat, x), note)
    left = torch.arange(len(x), device=x.device)
    accuracies = []
    for wide in sizes:
        if len(left):
            some = [names[row] for row in left.tolist()]
            run = (model, x[left], y[left], wide, [attack])
            found, _ = run_cascade(
                *run, seed=seed, ids=some, batch_size=batch_size, draws=draws, again=False
            )
            stands = torch.tensor([broken is None for broken in found.broken], device=x.device)
            left = left[stands]
        accuracies.append(proportion(len(left), len(x)))
    whole = covers(sizes[-1], x)
    series = _series(name, [float(wide.ball.radius) for wide in sizes], accuracies)
    own = [wide.ball.radius for wide in sizes].index(threat.ball.radius)
    note = _note(threat, x, sizes[-1], whole)
    return Curve(series, accuracies[own], accuracies[-1], chance, whole, note)


def losable(threat: Threat, y: Tensor, classes: int) -> Tensor:
    """[N] bool: some answer of the model reaches the goal."""
    sure = 1e6 * torch.eye(classes, device=y.device)
    found = [threat.goal.reached(one.expand(len(y), -1), y) for one in sure]
    return torch.stack(found).any(0)


def _sizes(threat: Threat, x: Tensor) -> Iterator[Threat]:
    """Balls that grow, up to the first that covers all that x [N, ...] may become."""
    ended = all(bool(end.isfinite().all()) for end in threat.ends(x))
    factors = list(FIRST)
    while factors[-1] < (MOST if ended else ENDLESS):
        factors.append(2 * factors[-1])
    for factor in factors:
        wide = resized(threat, factor)
        if wide is None:  # fewer than one element
            continue
        yield wide
        if factor >= 1.0 and covers(wide, x):
            return


def _series(name: str, radii: Sequence[float], found: Sequence[Estimate]) -> Series:
    return Series(
        name=name,
        x=tuple(radii),
        y=tuple(one.value for one in found),
        low=tuple(one.low for one in found),
        high=tuple(one.high for one in found),
    )


def _note(threat: Threat, x: Tensor, widest: Threat, whole: bool) -> str:
    parts = []
    if not whole:
        parts.append(
            f"The largest radius, {float(widest.ball.radius):g}, does not cover the box, so that "
            "accuracy need not reach chance."
        )
    low, high = (end.expand_as(x) for end in threat.ends(x))
    fixed = int((low == high).flatten(1).all(0).sum())
    if fixed:
        parts.append(
            f"{fixed} of {x[0].numel()} features may not change, so that accuracy need not reach "
            "chance."
        )
    return " ".join(parts)
