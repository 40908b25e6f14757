"""Attacks one after another on whoever is left, and a record of who broke which sample.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, sec. 5 (worst case per sample).
Differs: only what the referee confirms counts; passes are kept per sample.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.attack.chance import seeded
from gradwarden.attack.inputs import clean_logits
from gradwarden.attack.memory import Pieces
from gradwarden.attack.referee import judge, most
from gradwarden.attack.resume import Kept, identity
from gradwarden.attack.shards import Team, check_alike, team
from gradwarden.attack.table import Outcome, Table, outcome
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Strongest, predicts
from gradwarden.core.ledger_record import Ledger
from gradwarden.core.protocols import Attack, Progress
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat


def run_cascade(
    model: Model,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    attacks: Sequence[Attack],
    *,
    seed: int = 0,
    ids: Sequence[int] | None = None,
    batch_size: int = 256,
    draws: int = 1,
    again: bool = True,
    costs: Sequence[int] | None = None,
    resume: str | Path | None = None,
    sharded: bool | None = None,
    on_progress: Progress | None = None,
) -> tuple[Ledger, Tensor]:
    """As `evaluate` on `attacks`, without its float64 column -> the ledger, the points [N, ...].

    Where a sample fell, its point is the one that the referee confirmed; elsewhere the one that
    came nearest (largest margin), x itself included. `draws` above 1: the model draws by itself,
    and the referee takes a majority. `again`: where a success was luck, an attack is run once more,
    to the strongest point that it finds; and points that came nearest, which no attack claimed, get
    a last look. `costs` are what each attack is expected to cost a sample, for `on_progress`.
    """
    began, names = time.perf_counter(), range(len(x)) if ids is None else ids
    if draws < 1:
        raise BadInput(f"draws must be at least 1, got {draws}")
    pieces, group = Pieces(batch_size), team(sharded)
    scene = _Scene(model, x, y, threat, names, seed, draws, again, pieces)
    asked = scene.clean()
    kept = _open(scene, asked, attacks, batch_size, group, resume)
    table, reprs = scene.table(asked), [repr(attack) for attack in attacks]
    tell = _Tell(on_progress, costs or [1] * len(attacks), len(x), group.size)
    past = 0.0
    last: list[Attack | None] = [None] if again else []
    for stage, attack in enumerate([*attacks, *last]):
        work = _Stage(scene, table, attack, stage, batch_size, kept, tell)
        parts = group.each(partial(work.run, group))
        past += sum(seconds for _, seconds in parts)
        outcomes = sorted((done for some, _ in parts for done in some), key=_first)
        table.enter(reprs, stage, [part.to(x.device) for part in outcomes])
        tell.next(work.tried - sum(int(part.confirmed.sum()) for part in outcomes))
    table.checks += len(x) * draws
    notes = [pieces.note] if pieces.note else []
    seconds = time.perf_counter() - began + past
    return table.ledger(names, reprs, draws, seconds, notes), table.x_adv


def _first(part: Outcome) -> int:
    return int(part.rows[0])


class _Scene(NamedTuple):
    """What one cascade is about."""

    model: Model
    x: Tensor
    y: Tensor
    threat: Threat
    names: Sequence[int]
    seed: int
    draws: int
    again: bool
    pieces: Pieces

    def clean(self) -> Tensor:
        """Logits [draws, N, classes] of x."""
        given = (self.model, self.x, self.y, self.threat, self.names, self.pieces)
        with seeded(self.x.device, self.seed, "clean"):
            return torch.stack([clean_logits(*given) for _ in range(self.draws)])

    def table(self, asked: Tensor) -> Table:
        """Before the first attack; x itself is right where most draws of it are."""
        goal = self.threat.goal
        wrong = torch.stack([(goal.predicted(z) != self.y) | ~predicts(z) for z in asked])
        lost = torch.stack([goal.reached(z, self.y) for z in asked]) | wrong
        margin = torch.stack([goal.margin(z, self.y) for z in asked]).median(0).values
        clean, standing = ~most(wrong), ~most(lost)
        return Table(self.x, clean, standing, margin, lost.to(margin.dtype).mean(0))

    def attacked(self, attack: Attack, rows: Tensor) -> Outcome:
        """`attack` on the samples `rows` [K], and the referee on what it claims."""
        found = self._run(attack, rows, self.threat)
        done = self._judged(rows, found, found.success.nonzero()[:, 0])
        lucky = (done.claimed & ~done.confirmed).nonzero()[:, 0]
        if self.draws == 1 or not self.again or not len(lucky):
            return done
        # A search ends at its first success, which may be luck: these look for the strongest point.
        strongest = replace(self.threat, goal=Strongest(self.threat.goal))
        harder = self._run(attack, rows[lucky], strongest)
        again = self._judged(rows[lucky], harder, torch.arange(len(lucky), device=rows.device))
        return done.merged(lucky, again)

    def _run(self, attack: Attack, rows: Tensor, threat: Threat) -> Attacked:
        some = [self.names[row] for row in rows.tolist()]
        return attack.run(self.model, self.x[rows], self.y[rows], threat, seed=self.seed, ids=some)

    def _judged(self, rows: Tensor, found: Attacked, fell: Tensor) -> Outcome:
        """`found` for the samples `rows` [K], those at `fell` [F] before the referee."""
        x, y, points = self.x[rows[fell]], self.y[rows[fell]], found.x_adv[fell]
        judged = judge(self.model, points, x, y, self.threat, self.draws)
        return outcome(rows, found, fell, judged, self.draws)

    def looked_at(self, table: Table, rows: Tensor) -> Outcome:
        """The referee on the points that came nearest for the samples `rows` [K]."""
        points, margin, none = table.x_adv[rows], table.margin[rows], torch.zeros_like(rows)
        found = Attacked(points, margin, none > 0, margin, none, none, none, none > 0)
        done = self._judged(rows, found, torch.arange(len(rows), device=rows.device))
        return done._replace(claimed=done.confirmed)


class _Stage:
    """One attack on whoever stands; without one, the referee's last look.

    That is at points that came nearest, where an attack found them but did not claim them.
    """

    def __init__(
        self,
        scene: _Scene,
        table: Table,
        attack: Attack | None,
        number: int,
        batch_size: int,
        kept: Kept | None,
        tell: _Tell,
    ) -> None:
        self.scene, self.table, self.attack, self.number = scene, table, attack, number
        self.kept, self.tell = kept, tell
        left = table.standing.nonzero()[:, 0]
        left = left if attack is not None else left[table.finder[left] >= 0]
        self.tried = len(left)
        self.batches = left.split(batch_size) if self.tried else ()

    def run(self, group: Team) -> tuple[list[Outcome], float]:
        """This process's batches -> their outcomes, and the seconds that a past run spent."""
        found: list[Outcome] = []
        past = 0.0
        for place, rows in enumerate(self.batches):
            if not group.mine(place):
                continue
            old = None if self.kept is None else self.kept.read(self.number, place, rows)
            done = self._batch(place, rows) if old is None else old
            if self.kept is not None and old is None:
                self.kept.write(self.number, place, done)
            past += 0.0 if old is None else old.seconds
            found.append(done.to("cpu") if group.size > 1 else done)
            self.tell.batch(len(rows), int(done.confirmed.sum()))
        return found, past

    def _batch(self, place: int, rows: Tensor) -> Outcome:
        began = time.perf_counter()
        parts = self.scene.pieces.run(rows, partial(self._piece, place))
        whole = _joined(parts) if len(parts) > 1 else parts[0]
        return whole._replace(seconds=time.perf_counter() - began)

    def _piece(self, place: int, rows: Tensor) -> Outcome:
        scene = self.scene
        with seeded(rows.device, scene.seed, self.number, place, int(rows[0])):
            if self.attack is None:
                return scene.looked_at(self.table, rows)
            return scene.attacked(self.attack, rows)


def _joined(parts: Sequence[Outcome]) -> Outcome:
    columns = zip(*(part.found for part in parts), strict=True)
    return Outcome(
        rows=torch.cat([part.rows for part in parts]),
        found=Attacked(*(torch.cat(column) for column in columns)),
        confirmed=torch.cat([part.confirmed for part in parts]),
        claimed=torch.cat([part.claimed for part in parts]),
        share=torch.cat([part.share for part in parts]),
        checks=sum(part.checks for part in parts),
        seconds=0.0,
    )


def _open(
    scene: _Scene,
    asked: Tensor,
    attacks: Sequence[Attack],
    batch_size: int,
    group: Team,
    resume: str | Path | None,
) -> Kept | None:
    """The folder to go on from, if any; every process must have been given the same."""
    if resume is None and group.size == 1:
        return None
    options = {"seed": scene.seed, "batch size": batch_size, "draws": scene.draws}
    options |= {} if scene.again else {"again": False}
    given = partial(identity, scene.model, scene.x, scene.y, scene.threat, attacks)
    mine = given(ids=scene.names, logits=asked, options=options | {"device": scene.x.device.type})
    check_alike(group.each(lambda: mine))
    return None if resume is None else Kept(Path(resume), mine)


class _Tell:
    """Progress in what attacks are expected to cost; what the fallen would cost is left out."""

    def __init__(self, told: Progress | None, costs: Sequence[int], n: int, size: int) -> None:
        self.told, self.costs, self.stage, self.size = told, [*costs, 0], 0, size
        self.done, self.here, self.standing = 0, n, n

    def batch(self, tried: int, fell: int) -> None:
        """`tried` more samples were attacked, of which `fell`."""
        self.done += tried * self.costs[self.stage]
        self.here -= tried
        self.standing -= fell
        self._say()

    def next(self, standing: int) -> None:
        """The stage is over, on every process."""
        self.stage += 1
        self.here = self.standing = standing
        self._say()

    def _say(self) -> None:
        here, *later = self.costs[self.stage :] or [0]
        ahead = self.here * here + self.standing * sum(later)
        if self.told is not None:
            # Of the work ahead, each process does its share.
            self.told(self.done, self.done + -(-ahead // self.size))
