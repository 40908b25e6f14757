"""Accuracy under attack: a budget's cascade, and the same points in float64 and over fresh draws.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, sec. 5; Carlini et al. 2019,
arXiv:1902.06705, sec. 4.11 (verify); Athalye et al. 2018, arXiv:1802.00420 (models that draw).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gradwarden import __version__
from gradwarden.attack.budgets import Plan, plan
from gradwarden.attack.chance import ASKED, draws_by_itself, seeded
from gradwarden.attack.inputs import classes_of
from gradwarden.attack.ledger import run_cascade
from gradwarden.attack.referee import InDouble, in_double
from gradwarden.attack.shards import team
from gradwarden.core.ledger_record import Ledger
from gradwarden.core.protocols import Attack, Progress
from gradwarden.core.provenance import environment, sources
from gradwarden.core.records import Finding, Origin
from gradwarden.core.search import Model
from gradwarden.core.threat import Threat

DRAWS = 21  # odd, so that a majority of two classes is never a tie


def evaluate(
    model: Model,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    attacks: Sequence[Attack] | None = None,
    *,
    budget: str = "standard",
    stochastic: bool | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    ids: Sequence[int] | None = None,
    batch_size: int = 256,
    resume: str | Path | None = None,
    sharded: bool | None = None,
    on_progress: Progress | None = None,
) -> Ledger:
    """Accuracy under the union of `attacks` (default: those of `budget`), with who broke what.

    x [N, ...] in `threat.box`, y [N] class indices, `ids` [N] (default 0 ... N-1) key the draws,
    so that neither batch size nor order matters. `budget` is "quick", "standard" or "thorough".

    A model that draws by itself (`stochastic`; default: found out by asking twice) is judged over
    `draws` forwards at each point, and the attacks of a budget climb its mean loss.

    Finished batches are kept in the folder `resume`, and read from it. Where `torch.distributed` is
    initialised, its processes share the work unless `sharded` is False; all must call this. A batch
    that does not fit into memory is halved. Raises BadInput.
    """
    with seeded(x.device, seed, "shape"):
        classes = classes_of(model, x, y, threat)
    random = draws_by_itself(model, x, seed) if stochastic is None else stochastic
    probed = min(len(x), 2) + (3 * min(len(x), ASKED) if stochastic is None else 0)
    chosen = Plan.of(attacks) if attacks is not None else None
    if chosen is None:
        with seeded(x.device, seed, "gradient"):
            chosen = plan(budget, model, x, y, threat, classes, random=random)
    ledger, x_adv = run_cascade(
        model,
        x,
        y,
        threat,
        chosen.attacks,
        seed=seed,
        ids=ids,
        batch_size=batch_size,
        draws=draws if random else 1,
        costs=chosen.costs,
        resume=resume,
        sharded=sharded,
        on_progress=on_progress,
    )
    double = (
        InDouble(lost=None, note="not run: the model draws by itself")
        if random
        else _in_double(model, x_adv, x, y, threat, sharded)
    )
    ledger = _with_double(ledger, double, len(x))
    return replace(
        ledger,
        forwards=ledger.forwards + probed + chosen.forwards,
        backwards=ledger.backwards + chosen.backwards,
        notes=(*chosen.notes, *ledger.notes),
        model=type(model).__name__,
        threat=repr(threat),
        origin=Origin(
            version=__version__,
            command="",
            environment=environment(),
            sources=sources([__name__, *{type(attack).__module__ for attack in chosen.attacks}]),
            seeds=(seed,),
        ),
    )


def _in_double(
    model: Model, x_adv: Tensor, x: Tensor, y: Tensor, threat: Threat, sharded: bool | None
) -> InDouble:
    """Each process its share of the samples."""
    group = team(sharded)
    rows = torch.arange(len(x), device=x.device)
    mine = rows[group.rank :: group.size]

    def work() -> InDouble:
        if not len(mine):
            return InDouble(lost=mine.bool().cpu())
        found = in_double(model, x_adv[mine], y[mine], threat, x[mine])
        return found if found.lost is None else InDouble(lost=found.lost.cpu())

    parts = group.each(work)
    lost = torch.zeros(len(x), dtype=torch.bool)
    for rank, part in enumerate(parts):
        if part.lost is None:
            return part
        lost[rank :: group.size] = part.lost
    return InDouble(lost=lost)


def _with_double(ledger: Ledger, double: InDouble, n: int) -> Ledger:
    if double.lost is None:
        return replace(ledger, double_note=double.note)
    lost = tuple(double.lost.tolist())
    other = sum(one != (b is not None) for one, b in zip(lost, ledger.broken, strict=True))
    finding = Finding(
        check="float64",
        module=None,
        value=other / n,
        threshold=0.0,
        share=other / n,
        why=f"Judged in float64, {other} of {n} final points have another outcome: there the "
        "model's rounding decides.",
        remedy="Both outcomes of each sample are kept; the accuracy is that of the model's dtype.",
    )
    return replace(
        ledger,
        double=lost,
        double_note="",
        forwards=ledger.forwards + n,
        findings=(*ledger.findings, finding) if other else ledger.findings,
    )
