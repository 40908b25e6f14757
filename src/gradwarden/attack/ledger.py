"""Attacks one after another on whoever is left, and a record of who broke which sample.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, sec. 5 (worst case per sample).
Differs: only what the referee confirms counts; passes are kept per sample.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.inputs import clean_logits
from gradwarden.attack.pgd import PGD
from gradwarden.attack.referee import judge
from gradwarden.core.goal import predicts
from gradwarden.core.protocols import Attack, Progress
from gradwarden.core.records import Broken, Ledger
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat

FROM_THE_START = Broken(attack="no attack", restart=0, forwards=0, backwards=0)


def default_attacks() -> tuple[Attack, ...]:
    """What `evaluate` runs where no attacks are named, cheapest first."""
    return FGSM(), PGD(), PGD(loss="margin", restarts=2)


def evaluate(
    model: Model,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    attacks: Sequence[Attack] | None = None,
    *,
    seed: int = 0,
    ids: Sequence[int] | None = None,
    batch_size: int = 256,
    on_progress: Progress | None = None,
) -> Ledger:
    """Accuracy under the union of `attacks` (default: `default_attacks()`), with who broke what.

    x [N, ...] in `threat.box`, y [N] class indices, `ids` [N] (default 0 ... N-1) key the draws,
    so that neither batch size nor order matters. Raises BadInput.
    """
    chosen = default_attacks() if attacks is None else attacks
    return run_cascade(
        model,
        x,
        y,
        threat,
        chosen,
        seed=seed,
        ids=ids,
        batch_size=batch_size,
        on_progress=on_progress,
    )[0]


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
    on_progress: Progress | None = None,
) -> tuple[Ledger, Tensor]:
    """As `evaluate`, with the points too [N, ...].

    Where a sample fell, its point is the one that the referee confirmed; elsewhere the one that
    came nearest (largest margin), x itself included. `on_progress` counts attacks times samples.
    """
    began = time.perf_counter()
    names = range(len(x)) if ids is None else ids
    logits = clean_logits(model, x, y, threat, names, batch_size)
    clean = (threat.goal.predicted(logits) == y) & predicts(logits)
    table = _Table(x, clean & ~threat.goal.reached(logits, y), threat.goal.margin(logits, y))
    for number, attack in enumerate(attacks):
        left = table.standing.nonzero()[:, 0]
        done = number * len(x) + len(x) - len(left)
        for rows in left.split(batch_size):
            some = [names[row] for row in rows.tolist()]
            found = attack.run(model, x[rows], y[rows], threat, seed=seed, ids=some)
            fell = found.success.nonzero()[:, 0]
            judged = judge(model, found.x_adv[fell], x[rows[fell]], y[rows[fell]], threat)
            table.enter(repr(attack), rows, found, fell[judged.confirmed])
            table.forwards += len(fell)
            done += len(rows)
            if on_progress is not None:
                on_progress(done, len(attacks) * len(x))
    return table.ledger(names, clean, attacks, time.perf_counter() - began), table.x_adv


class _Table:
    """One cascade while it runs."""

    def __init__(self, x: Tensor, standing: Tensor, margin: Tensor) -> None:
        self.x_adv, self.standing, self.margin = x.detach().clone(), standing, margin
        self.broken: list[Broken | None] = [
            None if s else FROM_THE_START for s in standing.tolist()
        ]
        self.spent = torch.zeros(2, len(x), dtype=torch.long)  # forwards, backwards of attacks
        self.forwards = len(x)  # of the clean pass and the referee

    def enter(self, attack: str, rows: Tensor, found: Attacked, fell: Tensor) -> None:
        """What `attack` did to the samples `rows` [K]; `fell` index those confirmed among them."""
        self.spent[:, rows.cpu()] += torch.stack([found.forwards, found.backwards]).cpu()
        nearer = ~found.success & (found.margin > self.margin[rows])
        nearer[fell] = True
        self.x_adv[rows[nearer]] = found.x_adv[nearer]
        self.margin[rows[nearer]] = found.margin[nearer]
        self.standing[rows[fell]] = False
        for row, restart in zip(rows[fell].tolist(), found.restart[fell].tolist(), strict=True):
            forwards, backwards = self.spent[:, row].tolist()
            self.broken[row] = Broken(
                attack=attack, restart=restart, forwards=forwards, backwards=backwards
            )

    def ledger(
        self, ids: Sequence[int], clean: Tensor, attacks: Sequence[Attack], seconds: float
    ) -> Ledger:
        forwards, backwards = self.spent.sum(1).tolist()
        return Ledger(
            ids=tuple(int(i) for i in ids),
            clean=tuple(clean.tolist()),
            broken=tuple(self.broken),
            attacks=tuple(repr(attack) for attack in attacks),
            forwards=forwards + self.forwards,
            backwards=backwards,
            seconds=seconds,
        )
