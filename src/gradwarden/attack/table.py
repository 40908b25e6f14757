"""A cascade's state while it runs: who stands, each sample's best point, who spent what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from gradwarden.attack.referee import Judged
from gradwarden.core.ledger_record import Broken, Ledger, Stage
from gradwarden.core.search import Attacked

FROM_THE_START = Broken(attack="no attack", restart=0, forwards=0, backwards=0)


class Outcome(NamedTuple):
    """What one attack did to the samples `rows` [K], and the referee's word on it."""

    rows: Tensor  # [K] int
    found: Attacked
    confirmed: Tensor  # [K] bool
    claimed: Tensor  # [K] bool: the attack saw a success at a point that the threat allows
    share: Tensor  # [K] of fresh draws lost at the point that was judged, 0 where none was
    checks: int  # forwards of the referee
    seconds: float

    def to(self, device: torch.device | str) -> Self:
        """With every tensor on `device`."""
        found = Attacked(*(part.to(device) for part in self.found))
        tensors = (self.rows, self.confirmed, self.claimed, self.share)
        rows, confirmed, claimed, share = (part.to(device) for part in tensors)
        return self._replace(
            rows=rows, found=found, confirmed=confirmed, claimed=claimed, share=share
        )

    def merged(self, some: Tensor, again: Self) -> Self:
        """With `again`, a second search for the samples at `some` [F], added to the first."""
        found, other = self.found, again.found
        found = found.put(
            some,
            other._replace(
                forwards=found.forwards[some] + other.forwards,
                backwards=found.backwards[some] + other.backwards,
                infeasible=found.infeasible[some] | other.infeasible,
            ),
        )
        return self._replace(
            found=found,
            confirmed=self.confirmed.index_copy(0, some, again.confirmed),
            share=self.share.index_copy(0, some, self.share[some].maximum(again.share)),
            checks=self.checks + again.checks,
        )


def outcome(rows: Tensor, found: Attacked, fell: Tensor, judged: Judged, draws: int) -> Outcome:
    """Of the samples `rows` [K], those at `fell` [F] were claimed, and `judged` is about these."""
    spread = {}
    for name in ("confirmed", "allowed", "share"):
        part: Tensor = getattr(judged, name)
        spread[name] = part.new_zeros(len(rows)).index_copy(0, fell, part)
    confirmed, claimed, share = spread.values()
    return Outcome(rows, found, confirmed, claimed, share, len(fell) * draws, 0.0)


class Table:
    """One cascade over x [N, ...]; `lost` [N] is the share of draws in which x itself is lost."""

    def __init__(
        self, x: Tensor, clean: Tensor, standing: Tensor, margin: Tensor, lost: Tensor
    ) -> None:
        self.x_adv, self.standing, self.margin = x.detach().clone(), standing, margin
        self.clean, self.claimed, self.lost = clean, ~standing, lost.clone()
        self.infeasible = torch.zeros_like(standing)
        self.finder = torch.full_like(standing, -1, dtype=torch.long)  # stage of `x_adv`; -1: x
        self.restart = torch.zeros_like(self.finder)
        self.broken: list[Broken | None] = [
            None if s else FROM_THE_START for s in standing.tolist()
        ]
        self.spent = torch.zeros(2, len(x), dtype=torch.long)  # forwards, backwards of attacks
        self.checks = 0
        self.stages: list[Stage] = []

    def enter(self, attacks: Sequence[str], stage: int, parts: Sequence[Outcome]) -> None:
        """What attack number `stage` did; the number after the last is the referee's last look."""
        before = sum(b is None for b in self.broken)
        for part in parts:
            self._enter(attacks, stage, part)
        if stage < len(attacks):
            self.stages.append(
                Stage(
                    attack=attacks[stage],
                    tried=sum(len(part.rows) for part in parts),
                    broken=before - sum(b is None for b in self.broken),
                    forwards=sum(int(part.found.forwards.sum()) for part in parts),
                    backwards=sum(int(part.found.backwards.sum()) for part in parts),
                    seconds=sum(part.seconds for part in parts),
                )
            )

    def _enter(self, attacks: Sequence[str], stage: int, part: Outcome) -> None:
        rows, found, fell = part.rows, part.found, part.confirmed
        self.spent[:, rows.cpu()] += torch.stack([found.forwards, found.backwards]).cpu()
        self.checks += part.checks
        self.claimed[rows] |= part.claimed
        self.infeasible[rows] |= found.infeasible
        self.lost[rows] = self.lost[rows].maximum(part.share)
        if stage < len(attacks):
            nearer = fell | (~found.success & (found.margin > self.margin[rows]))
            self.x_adv[rows[nearer]] = found.x_adv[nearer]
            self.margin[rows[nearer]] = found.margin[nearer]
            self.restart[rows[nearer]] = found.restart[nearer]
            self.finder[rows[nearer]] = stage
        self.standing[rows[fell]] = False
        for row in rows[fell].tolist():
            forwards, backwards = self.spent[:, row].tolist()
            self.broken[row] = Broken(
                attack=attacks[int(self.finder[row])],
                restart=int(self.restart[row]),
                forwards=forwards,
                backwards=backwards,
            )

    def ledger(
        self,
        ids: Sequence[int],
        attacks: Sequence[str],
        draws: int,
        seconds: float,
        notes: Sequence[str],
    ) -> Ledger:
        forwards, backwards = self.spent.sum(1).tolist()
        return Ledger(
            ids=tuple(int(i) for i in ids),
            clean=tuple(self.clean.tolist()),
            broken=tuple(self.broken),
            attacks=tuple(attacks),
            forwards=forwards + self.checks,
            backwards=backwards,
            seconds=seconds,
            stages=tuple(self.stages),
            infeasible=tuple(self.infeasible.tolist()),
            claimed=tuple(self.claimed.tolist()),
            lost=tuple(self.lost.tolist()) if draws > 1 else (),
            draws=draws,
            notes=tuple(notes),
        )
