"""Adversarial points beside their originals: pictures, series or tables, as the data are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.core.display import Figure, Gallery, Picture, Row, Series, Table
from gradwarden.core.errors import MissingExtra
from gradwarden.core.examination import Witness
from gradwarden.core.pictures import png
from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Category, Feature, columns_of
from gradwarden.core.threat import Threat

MOST = 4  # witnesses
ROWS = 12  # of a table
EDGES = (112, 224)  # pixels: how large a picture is drawn


class Shown(NamedTuple):
    galleries: tuple[Gallery, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


class _Pair(NamedTuple):
    witness: Witness
    x: Tensor  # [...]
    x_adv: Tensor

    @property
    def label(self) -> str:
        return f"sample {self.witness.sample}: label {self.witness.label}"

    @property
    def read(self) -> str:
        return f"read as {self.witness.predicted}"


def shown(
    witnesses: Sequence[Witness],
    x: Tensor,
    x_adv: Tensor,
    threat: Threat,
    *,
    ids: Sequence[int] | None = None,
) -> Shown:
    """The first `MOST` witnesses; x and x_adv [N, ...] are all samples, `ids` [N] their names.

    [N, 1 or 3, H, W] becomes pictures, [N, C, T] or [N, T, C] series, [N, F] tables of what changed.
    """
    row = {name: at for at, name in enumerate(range(len(x)) if ids is None else ids)}
    some = [(w, row[w.sample]) for w in witnesses[:MOST]]
    pairs = [_Pair(w, x[at], x_adv[at]) for w, at in some]
    if not pairs:
        return Shown()
    if x.ndim == 4 and x.shape[1] in (1, 3):
        return _pictures(pairs, threat)
    if x.ndim == 3:
        return Shown(figures=tuple(map(_series, pairs)))
    if x.ndim == 2:
        return Shown(tables=tuple(_table(pair, threat) for pair in pairs))
    shape = list(x.shape[1:])
    return Shown(notes=(f"Samples of shape {shape} are neither pictures, series nor rows.",))


def _pictures(pairs: Sequence[_Pair], threat: Threat) -> Shown:
    both = torch.stack([torch.stack([pair.x, pair.x_adv]) for pair in pairs])  # [K, 2, C, H, W]
    low, high = (end.expand_as(both[:, 0])[:, None] for end in threat.ends(both[:, 0]))
    low, high = low.where(low.isfinite(), both.min()), high.where(high.isfinite(), both.max())
    scaled = ((both - low) / (high - low)).nan_to_num(0.0)
    change = scaled[:, 1] - scaled[:, 0]
    times = max(1, math.floor(0.5 / max(float(change.abs().max()), 1e-6) + 1e-3))
    edge = max(EDGES[0], min(EDGES[1], *both.shape[-2:]))

    def picture(image: Tensor, caption: str) -> Picture:
        return Picture(caption=caption, png=png(image), pixels=edge)

    try:
        rows = tuple(
            (
                picture(scaled[k, 0], pair.label),
                picture(scaled[k, 1], pair.read),
                picture(0.5 + times * change[k], f"size {pair.witness.size:.3g}"),
            )
            for k, pair in enumerate(pairs)
        )
    except MissingExtra as why:
        return Shown(notes=(f"The witnesses are not shown as pictures: {why}.",))
    gallery = Gallery(
        id="witnesses",
        title="Adversarial images beside their originals",
        columns=("original", "adversarial", _amplified(times)),
        rows=rows,
        says="In the pictures of the difference, grey is no change.",
    )
    return Shown(galleries=(gallery,))


def _amplified(times: int) -> str:
    return "difference" if times == 1 else f"difference, {times} times"


def _series(pair: _Pair) -> Figure:
    """Of the channel that changes most."""
    channels_first = pair.x.shape[0] <= pair.x.shape[1]
    one, two = (t if channels_first else t.mT for t in (pair.x, pair.x_adv))
    channel = int((two - one).square().sum(1).argmax())
    steps = tuple(float(step) for step in range(one.shape[1]))

    def line(name: str, values: Tensor, dashed: bool) -> Series:
        y = tuple(values[channel].tolist())
        return Series(name=name, x=steps, y=y, dashed=dashed, markers=False)

    return Figure(
        id=f"witness-{pair.witness.sample}",
        title=f"{pair.label.capitalize()}, {pair.read}",
        x_title="time step",
        y_title=f"channel {channel}",
        series=(line("original", one, dashed=True), line("adversarial", two, dashed=False)),
        says=f"Of {one.shape[0]} channels the one that changes most; size {pair.witness.size:.3g}.",
    )


class _Change(NamedTuple):
    name: str
    before: str
    after: str
    size: float  # to order by


def _table(pair: _Pair, threat: Threat) -> Table:
    schema = threat.constraints
    if isinstance(schema, Tabular):
        changes = _by_feature(pair, schema)
    else:
        moved = (pair.x_adv != pair.x).nonzero()[:, 0].tolist()
        changes = [_number(str(column), pair, column, 1.0) for column in moved]
    changes.sort(key=lambda change: -change.size)
    rows = tuple(Row(cells=(c.name, c.before, c.after)) for c in changes[:ROWS])
    more = len(changes) - len(rows)
    return Table(
        title=f"{pair.label.capitalize()}, {pair.read}",
        columns=("Feature", "Original", "Adversarial"),
        rows=rows,
        note=f"The largest changes; {more} more are not shown." if more else "",
    )


def _by_feature(pair: _Pair, schema: Tabular) -> list[_Change]:
    changes, at = [], 0
    for feature in schema.features:
        width = len(columns_of(feature))
        columns = slice(at, at + width)
        if not torch.equal(pair.x[columns], pair.x_adv[columns]):
            changes.append(_change(feature, pair, columns, schema.layout.units[at]))
        at += width
    return changes


def _change(feature: Feature, pair: _Pair, columns: slice, unit: float) -> _Change:
    if isinstance(feature, Category):
        before, after = (feature.values[int(t[columns].argmax())] for t in (pair.x, pair.x_adv))
        return _Change(feature.name, before, after, math.inf)
    return _number(feature.name, pair, columns.start, unit or 1.0)


def _number(name: str, pair: _Pair, column: int, unit: float) -> _Change:
    before, after = float(pair.x[column]), float(pair.x_adv[column])
    return _Change(name, f"{before:.6g}", f"{after:.6g}", abs(after - before) / unit)
