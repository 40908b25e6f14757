"""One search after another on whoever stands, and what each of them took.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 4.3 (the worst case, per example).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from gradwarden.attack.ledger import run_cascade
from gradwarden.attack.to_the_end import ToTheEnd
from gradwarden.audit.pace import Pace
from gradwarden.core.estimate import proportion
from gradwarden.core.examination import Removed
from gradwarden.core.ledger_record import Ledger
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat

LEARNT = ("transfer",)  # searches whose attacks their repr does not say all of


@dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """What is audited, and how each cascade on it is run."""

    model: nn.Module
    x: Tensor  # [N, ...]
    y: Tensor  # [N]
    threat: Threat
    ids: Sequence[int]
    seed: int = 0
    batch_size: int = 256
    draws: int = 1  # forwards by which the referee judges a point; above 1: the model draws
    resume: Path | None = None
    pace: Pace = field(default_factory=Pace)

    @property
    def random(self) -> bool:
        return self.draws > 1

    def run(
        self, name: str, attacks: Sequence[Attack], rows: Tensor, costs: Sequence[int] | None = None
    ) -> tuple[Ledger, Tensor]:
        """The cascade `name` on the samples at `rows` [K] -> ledger, points [K, ...].

        Of a model that draws, every attack goes to its end: a first success may be luck, which
        shows when it is judged again. What is learnt for one audit is not kept for another.
        """
        if self.random:
            attacks = [ToTheEnd(attack=attack) for attack in attacks]
        kept = self.resume if name not in LEARNT else None
        return run_cascade(
            self.model,
            self.x[rows],
            self.y[rows],
            self.threat,
            attacks,
            seed=self.seed,
            ids=[self.ids[row] for row in rows.tolist()],
            batch_size=self.batch_size,
            draws=self.draws,
            again=False,
            costs=costs,
            resume=None if kept is None else kept / name,
            on_progress=self.pace.part(name),
        )


class Trail:
    """Who fell to whom so far. The first search is on all samples."""

    def __init__(self, subject: Subject, name: str, attacks: Sequence[Attack], says: str) -> None:
        self.subject = subject
        every = torch.arange(len(subject.x), device=subject.x.device)
        self.ledger, self.x_adv = subject.run(name, attacks, every)
        self.taken: list[tuple[str, str | None, int]] = []
        self.by: dict[int, str] = {}  # row -> name of the search that it fell to
        clean = sum(self.ledger.clean)
        self.taken.append((says, None, clean - int(self.standing.sum())))

    @property
    def standing(self) -> Tensor:
        """[N] bool."""
        left = [broken is None for broken in self.ledger.broken]
        return torch.tensor(left, device=self.subject.x.device)

    def go_on(
        self,
        name: str,
        attacks: Sequence[Attack],
        says: str,
        *,
        module: str | None = None,
        most: int | None = None,
        costs: Sequence[int] | None = None,
    ) -> Tensor:
        """`attacks` on those who stand (the first `most` of them) -> [K] rows of those who fell."""
        rows = self.standing.nonzero()[:most, 0]
        if not len(rows) or not attacks:
            self.subject.pace.skip(name)
            return rows[:0]
        before = self.standing
        ledger, x_adv = self.subject.run(name, attacks, rows, costs)
        self.ledger = self.ledger.then(ledger, rows.tolist())
        fell = (before & ~self.standing).nonzero()[:, 0]
        found = torch.isin(rows, fell)
        self.x_adv[fell] = x_adv[found]
        self.taken.append((says, module, len(fell)))
        self.by |= dict.fromkeys(fell.tolist(), name)
        return fell

    def removed(self) -> tuple[Removed, ...]:
        """The decomposition: each search that took anything, and the naive one."""
        n, left = len(self.ledger.ids), sum(self.ledger.clean)
        lines: list[Removed] = []
        for says, module, fell in self.taken:
            left -= fell
            if fell or not lines:
                line = Removed(
                    by=says, module=module, accuracy=proportion(left, n), points=fell / n
                )
                lines.append(line)
        return tuple(lines)
