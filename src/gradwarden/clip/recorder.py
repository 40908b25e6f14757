"""The flight recorder: what the gradients of each step were, and what was done to them.

Each step writes one row of a buffer on the device, of a size that never changes. When it is full it is
copied without waiting for the device, and what has arrived is turned into entries: rows, events and
a summary of these steps. The last rows stay in memory for advice and for dumps.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from statistics import quantiles
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.clip.engine import Decision, together
from gradwarden.clip.events import Detector
from gradwarden.clip.norm import total_norm
from gradwarden.clip.part import Part
from gradwarden.clip.record import Entry, Event, Header, JsonLines, Record, Row, Sink, Window

EVERY = 64  # steps between two flushes
KEPT = 2048  # rows that stay in memory
KEPT_EVENTS = 256
DOMINANT = 3  # parameters that a summary names
COLUMNS = ("norm", "threshold", "coefficient", "finite", "after", "loss")
NORM, THRESHOLD, COEFFICIENT, FINITE, AFTER, LOSS = range(len(COLUMNS))


class _Batch(NamedTuple):
    """Rows on their way from the device."""

    values: Tensor  # [R, COLUMNS and then parameters] on the CPU, valid once `arrived`
    arrived: torch.cuda.Event | None
    steps: list[int]
    given: list[bool]  # whether somebody gave the loss


class Recorder:
    """Tells `sinks` what happens, `every` steps at a time; `close` tells what is left.

    A sink is a file that gets one line of JSON for each entry, or a callable that gets the entry.
    """

    def __init__(
        self, sinks: Sequence[Sink], header: Header, home: torch.device, every: int = EVERY
    ) -> None:
        self.header = header
        self._files = [JsonLines(s) for s in sinks if not callable(s)]
        self._sinks: list[Callable[[Entry], object]] = [*self._files, *filter(callable, sinks)]
        self._place = {name: i for i, name in enumerate(header.parameters)}
        self._places: dict[tuple[str, ...], Tensor] = {}
        self._buffer = torch.zeros(every, len(COLUMNS) + len(header.parameters), device=home)
        self._steps: list[int] = []
        self._given: list[bool] = []
        self._waiting: deque[_Batch] = deque()
        self._detector = Detector()
        self.rows: deque[Row] = deque(maxlen=KEPT)
        self.events: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._tell(header)
        self._flush_files()

    @torch.no_grad()
    def add(self, step: int, decision: Decision, loss: Tensor | None = None) -> None:
        """One step, before it is applied. Nothing here waits for an accelerator."""
        if len(self._steps) == len(self._buffer):
            self._send()
        clipped = decision.clipped
        values = [getattr(clipped, name).float() for name in COLUMNS[:AFTER]]
        values += [_after(decision), values[NORM] if loss is None else loss]
        row = self._buffer.select(0, len(self._steps))
        torch.cat([torch.stack(values), self._norms(decision)], out=row)
        self._steps.append(step)
        self._given.append(loss is not None)
        if clipped.norm.device.type == "cpu" and not clipped.finite:
            self._send()  # it may be the last that this process lives to tell
        self._write(wait=False)

    @torch.no_grad()
    def settled(self, decision: Decision) -> None:
        """The same step, once applied: the norm of gradients whose elements were changed."""
        if self._steps and not _foreseen(decision):
            params = [p for _, m, _ in decision.parts for p in m.found.params]
            grads = [p.grad for p in params if p.grad is not None]
            norm = total_norm(grads).float() if grads else self._buffer.new_zeros(())
            at = self._buffer.select(0, len(self._steps) - 1).narrow(0, AFTER, 1)
            torch.stack([norm], out=at)

    def tell(self, event: Event) -> None:
        """An event that is no step of the optimizer; on an accelerator it may overtake rows."""
        self._send()
        self._write(wait=False)
        self._tell(event)
        self._flush_files()

    def flush(self) -> None:
        """Tells all there is, and waits for the device to that end."""
        self._send()
        self._write(wait=True)

    def close(self) -> None:
        self.flush()
        for file in self._files:
            file.close()

    def record(self) -> Record:
        """What is in memory, flushed."""
        self.flush()
        return Record(**self.header._asdict(), rows=tuple(self.rows), events=tuple(self.events))

    # From the device -----------------------------------------------------------------------------

    def _norms(self, decision: Decision) -> Tensor:
        """[T] float32, norms of the parameters, zero for those without a gradient."""
        parts = decision.clipped.parts
        norms = [powers.tensors().float() for powers, _ in parts]
        names = parts[0][1] if len(parts) == 1 else tuple(n for _, part in parts for n in part)
        values = norms[0] if len(norms) == 1 else torch.cat(norms)
        if names == self.header.parameters:
            return values
        if names not in self._places:
            places = torch.tensor([self._place[name] for name in names])
            self._places = {names: places.to(values.device, non_blocking=True)}
        return values.new_zeros(len(self._place)).index_copy(0, self._places[names], values)

    def _send(self) -> None:
        """Starts the copy of the rows so far to the host."""
        if not self._steps:
            return
        rows, arrived = self._buffer.narrow(0, 0, len(self._steps)), None
        if rows.is_cuda:
            host = torch.empty(rows.shape, pin_memory=True)
            host.copy_(rows, non_blocking=True)  # in the stream's order: later steps write later
            arrived = torch.cuda.Event()
            arrived.record()
        else:
            host = rows.to("cpu", copy=True)
        self._waiting.append(_Batch(host, arrived, self._steps, self._given))
        self._steps, self._given = [], []

    # On the host ---------------------------------------------------------------------------------

    def _write(self, wait: bool) -> None:
        wrote = False
        while self._waiting:
            arrived = self._waiting[0].arrived
            if arrived is not None:
                if wait:
                    arrived.synchronize()
                elif not arrived.query():
                    break
            self._tell_all(self._waiting.popleft())
            wrote = True
        if wrote:
            self._flush_files()

    def _tell_all(self, batch: _Batch) -> None:
        norms = batch.values[:, len(COLUMNS) :]
        squares = norms.double().square()
        shares = squares / squares.sum(1, keepdim=True)
        most = shares.max(1)
        worst = list(zip(most.indices.tolist(), most.values.tolist(), strict=True))
        rows: list[Row] = []
        for i, values in enumerate(batch.values[:, : len(COLUMNS)].tolist()):
            row = self._row(batch.steps[i], values, batch.given[i], worst[i])
            if not row.finite:
                bad = norms[i].isfinite().logical_not().nonzero().flatten().tolist()
                row = row._replace(culprits=tuple(self.header.parameters[k] for k in bad))
            rows.append(row)
            self._tell(row)
            for event in self._detector.see(row):
                self._tell(event)
        usable = shares[shares.isfinite().all(1)]
        mean = usable.mean(0) if len(usable) else torch.zeros(0)
        top = mean.topk(min(DOMINANT, len(mean)))
        dominant = [
            (self.header.parameters[k], round(share, 4))
            for k, share in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]
        self._tell(_window(rows, dominant))

    def _row(self, step: int, values: list[float], given: bool, worst: tuple[int, float]) -> Row:
        place, share = worst
        known = math.isfinite(share)
        return Row(
            step=step,
            norm=values[NORM],
            threshold=values[THRESHOLD],
            coefficient=values[COEFFICIENT],
            finite=bool(values[FINITE]),
            after=0.0 if values[COEFFICIENT] == 0.0 else values[AFTER],
            loss=values[LOSS] if given else None,
            worst=(self.header.parameters[place], round(share, 4)) if known else None,
        )

    def _tell(self, entry: Entry) -> None:
        if isinstance(entry, Row):
            self.rows.append(entry)
        elif isinstance(entry, Event):
            self.events.append(entry)
        for sink in self._sinks:
            sink(entry)

    def _flush_files(self) -> None:
        for file in self._files:
            file.flush()


def _foreseen(decision: Decision) -> bool:
    """The norm after clipping follows from norms and coefficients."""
    return all(isinstance(p, Part) and p.rule.scope != "element" for p, *_ in decision.parts)


def _after(decision: Decision) -> Tensor:
    """[] float32, the norm after clipping; NaN where it has to be measured."""
    clipped = decision.clipped
    if not _foreseen(decision):
        return torch.full_like(clipped.norm, torch.nan)
    scaled = []
    for _, m, answer in decision.parts:
        total = m.total * answer.coefficient
        if m.norms.ndim:
            total = torch.linalg.vector_norm(m.norms * answer.coefficients, m.powers.p)
        scaled.append(m._replace(total=total))
    return together(scaled)


def _window(rows: Sequence[Row], dominant: Sequence[tuple[str, float]]) -> Window:
    norms = [row.norm for row in rows if row.finite]
    middle = quantiles(norms, method="inclusive") if len(norms) > 1 else norms * 3
    return Window(
        first=rows[0].step,
        last=rows[-1].step,
        quartiles=(min(norms), *middle, max(norms)) if norms else (),
        clipped=sum(row.clipped for row in rows) / len(rows),
        skipped=sum(row.skipped for row in rows) / len(rows),
        dominant=tuple(dominant),
    )
