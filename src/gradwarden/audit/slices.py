"""The margin along two lines through a sample, and what autograd foresees of it.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3.1 (gradients that do not show the way).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.attack.gradient import input_gradient, usable
from gradwarden.attack.memory import out_of_memory
from gradwarden.audit.case import quiet
from gradwarden.core.display import Figure, Series
from gradwarden.core.search import Model, keyed
from gradwarden.core.threat import Threat

POINTS = 41  # on each line
MOST = 2  # samples


class _Line(NamedTuple):
    name: str
    at: Tensor  # [POINTS] in radii
    margins: Tensor  # [POINTS] of the model
    foreseen: Tensor | None  # [POINTS] by the gradient at the sample


def slices(
    model: Model,
    x: Tensor,
    y: Tensor,
    x_adv: Tensor,
    threat: Threat,
    *,
    ids: Sequence[int] | None = None,
    seed: int = 0,
) -> tuple[Figure, ...]:
    """One figure for each of the first samples of x [N, ...] whose point in x_adv is another.

    From one radius behind the sample to one ahead, as far as the box goes.
    """
    names = range(len(x)) if ids is None else ids
    moved = (x_adv != x).flatten(1).any(1).nonzero()[:, 0].tolist()
    return tuple(
        _figure(model, x[[row]], y[[row]], x_adv[[row]], threat, names[row], seed)
        for row in moved[:MOST]
    )


def _figure(
    model: Model, x: Tensor, y: Tensor, x_adv: Tensor, threat: Threat, name: int, seed: int
) -> Figure:
    ball = threat.ball
    towards = (x_adv - x) * (ball.radius / float(ball.size(x_adv - x)))
    grad = _gradient(model, x, y, threat, name, seed)
    ways = [("towards the adversarial point", towards)]
    if grad is not None:
        ways.append(("along the gradient", ball.steepest(grad) * threat.reach(x)))
    lines = [_line(model, x, y, way, grad, threat, name, seed, says) for says, way in ways]
    return Figure(
        id=f"slice-{name}",
        title=f"The margin around sample {name}",
        x_title="distance from the sample, in radii",
        y_title="margin of the logits (above 0: the attack succeeds)",
        series=tuple(series for line in lines for series in _drawn(line)),
        says=_says(lines, grad is not None),
    )


def _gradient(
    model: Model, x: Tensor, y: Tensor, threat: Threat, name: int, seed: int
) -> Tensor | None:
    """Of the margin at x [1, ...]; None where there is none, or only zeros."""
    leaf = x.clone().requires_grad_()
    try:
        with torch.enable_grad(), quiet(x, seed):
            margin = threat.goal.margin(keyed(model, [name])(leaf.clone()), y)
            grad = input_gradient(margin, leaf)
    except Exception as why:
        if out_of_memory(why):
            raise
        return None  # a forward that refuses an input with a graph
    return None if grad is None or not usable(grad).any() else usable(grad)


def _line(
    model: Model,
    x: Tensor,
    y: Tensor,
    way: Tensor,
    grad: Tensor | None,
    threat: Threat,
    name: int,
    seed: int,
    says: str,
) -> _Line:
    at = torch.linspace(-1, 1, POINTS, dtype=x.dtype, device=x.device)
    low, high = threat.ends(x)
    points = (x + at.view(-1, *[1] * (x.ndim - 1)) * way).clamp(low, high)
    with torch.no_grad(), quiet(x, seed):
        logits = keyed(model, [name] * POINTS)(points.clone())
        margins = threat.goal.margin(logits, y.expand(POINTS))
    if grad is None:
        return _Line(says, at, margins, None)
    ahead = ((points - x) * grad).flatten(1).sum(1)
    return _Line(says, at, margins, margins[POINTS // 2] + ahead)


def _drawn(line: _Line) -> list[Series]:
    def series(name: str, values: Tensor, dashed: bool) -> Series:
        finite = values.isfinite()
        return Series(
            name=name,
            x=tuple(line.at[finite].tolist()),
            y=tuple(values[finite].tolist()),
            dashed=dashed,
            markers=False,
            group=line.name,
        )

    true = series(line.name, line.margins, dashed=False)
    if line.foreseen is None:
        return [true]
    return [true, series(f"{line.name}, as autograd foresees", line.foreseen, dashed=True)]


def _says(lines: Sequence[_Line], gradient: bool) -> str:
    start = float(lines[0].margins[POINTS // 2])
    told = [f"{line.name} it is at most {float(line.margins.max()):.3g}" for line in lines]
    says = f"The margin is {start:.3g} at the sample; {', '.join(told)}."
    return says if gradient else f"{says} Autograd gives no gradient here, or only zeros."
