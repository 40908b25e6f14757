"""Is this robustness real: the model's own gradient against an attack that goes around what hides it.

Source: Tramer et al. 2020, arXiv:2002.08347; Carlini et al. 2019, arXiv:1902.06705.
Differs: the adaptive attack is chosen by measurement; the verdict rests on paired samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden import __version__
from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.gradient import GradientStatus, gradient_status
from gradwarden.attack.inputs import clean_logits
from gradwarden.attack.ledger import run_cascade
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.attack.referee import judge
from gradwarden.attack.table import FROM_THE_START
from gradwarden.audit.case import quiet
from gradwarden.audit.planner import Adapted, adapt
from gradwarden.audit.verdict import Evidence, decide
from gradwarden.core.errors import BadInput
from gradwarden.core.estimate import mcnemar
from gradwarden.core.examination import Examination, Gate, Witness
from gradwarden.core.ledger_record import Ledger
from gradwarden.core.protocols import Attack, Progress
from gradwarden.core.provenance import environment, sources
from gradwarden.core.records import Origin
from gradwarden.core.threat import Threat

NOISE: tuple[Attack, ...] = (Noise(draws=20),)
NAIVE: tuple[Attack, ...] = (FGSM(), PGD())
ADAPTIVE: tuple[Attack, ...] = (PGD(restarts=2), PGD(restarts=2, loss="margin"))
INFORM = ("train-mode", "straight-through", "jumps")  # nothing that this audit went around
NOT_RUN = (
    "convergence under more steps and restarts",
    "black-box attacks",
    "transfer from another model",
    "radius sweep to chance",
    "binarisation test",
)


class Measured(NamedTuple):
    """The same samples under noise, the plain and the adaptive attack; points are [N, ...]."""

    adapted: Adapted
    gradient: GradientStatus  # what the plain attacker is given
    noise: Ledger
    naive: Ledger
    adaptive: Ledger
    x_naive: Tensor
    x_adaptive: Tensor


def measure(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    seed: int = 0,
    ids: Sequence[int] | None = None,
    batch_size: int = 256,
    noise: Sequence[Attack] = NOISE,
    naive: Sequence[Attack] = NAIVE,
    adaptive: Sequence[Attack] = ADAPTIVE,
    on_progress: Progress | None = None,
) -> Measured:
    """Diagnoses `model`, then runs `noise`, `naive` and `adaptive`, the last under the patches found.

    The adaptive cascade ends with the naive attacks that it does not hold already, so that it never
    breaks less. `on_progress` counts attacks times samples. Raises BadInput.
    """
    if not isinstance(model, nn.Module):
        raise BadInput(
            f"the model must be an nn.Module, got {type(model).__name__}: wrap it in one"
        )
    names = range(len(x)) if ids is None else ids
    run = partial(run_cascade, model, x, y, threat, seed=seed, ids=ids, batch_size=batch_size)
    with quiet(x, seed):  # so that what a stochastic model draws is the same next time
        clean_logits(model, x, y, threat, names, batch_size)
        adapted = adapt(model, x, y, threat, seed=seed)
        status = gradient_status(model, x, y, threat, batch_size=batch_size)
        strong = [adapted.wrap(attack) for attack in adaptive]
        strong += [a for a in naive if adapted.patches or not any(_covers(b, a) for b in adaptive)]
        plans = [noise, naive, strong]
        tell = _teller(on_progress, [len(plan) * len(x) for plan in plans])
        runs = [run(plan, on_progress=told) for plan, told in zip(plans, tell, strict=True)]
    (noisy, _), (plain, x_naive), (strongest, x_adaptive) = runs
    return Measured(adapted, status, noisy, plain, strongest, x_naive, x_adaptive)


def examine(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    claim: float | None = None,
    seed: int = 0,
    ids: Sequence[int] | None = None,
    batch_size: int = 256,
    name: str | None = None,
    command: str = "",
    on_progress: Progress | None = None,
) -> Examination:
    """Audits `model` on x [N, ...] in `threat.box` and y [N]; see `Examination`.

    `claim` is an accuracy under attack at this radius, in [0, 1], that someone states for the
    model. Nothing of it is declared by the model: faults are measured, module by module. The
    verdict is evidence from these samples, never a proof of robustness. Raises BadInput.
    """
    if claim is not None and not 0.0 <= claim <= 1.0:
        raise BadInput(f"claim must be an accuracy in [0, 1], got {claim}")
    found = measure(
        model, x, y, threat, seed=seed, ids=ids, batch_size=batch_size, on_progress=on_progress
    )
    with quiet(x, seed):
        witnesses = _witnesses(model, x, y, threat, found)
    naive, adaptive = _fallen(found.naive), _fallen(found.adaptive)
    p_value = mcnemar(int((naive & ~adaptive).sum()), int((adaptive & ~naive).sum()))
    verdict, reasons = decide(_evidence(found, witnesses, p_value, claim))
    return Examination(
        model=name or type(model).__name__,
        threat=repr(threat),
        verdict=verdict,
        reasons=reasons,
        clean=found.naive.clean_accuracy,
        noise=found.noise.accuracy,
        naive=found.naive.accuracy,
        adaptive=found.adaptive.accuracy,
        certified=None,
        claim=claim,
        p_value=p_value,
        findings=found.adapted.findings,
        patches=tuple(map(repr, found.adapted.patches)),
        naive_ledger=found.naive,
        adaptive_ledger=found.adaptive,
        witnesses=witnesses,
        gates=tuple(
            Gate(name=name, state="not run", says=f"No test of: {name}.") for name in NOT_RUN
        ),
        origin=Origin(
            version=__version__,
            command=command,
            environment=environment(),
            sources=sources([__name__, "gradwarden.audit.checks"]),
            seeds=(seed,),
        ),
    )


def _covers(strong: Attack, weak: Attack) -> bool:
    """Whether `strong` begins with all that `weak` does: the same attack, more restarts."""
    if not (isinstance(strong, PGD) and isinstance(weak, PGD)):
        return strong == weak
    return strong.restarts >= weak.restarts and replace(weak, restarts=strong.restarts) == strong


def _teller(on_progress: Progress | None, parts: Sequence[int]) -> list[Progress | None]:
    """One callback for each part, which counts on from the parts before it."""
    if on_progress is None:
        return [None] * len(parts)
    tell = on_progress

    def after(through: int) -> Progress:
        return lambda done, total: tell(through - (total - done), sum(parts))

    return [after(sum(parts[: part + 1])) for part in range(len(parts))]


def _fallen(ledger: Ledger) -> Tensor:
    return torch.tensor([broken is not None for broken in ledger.broken])


def _witnesses(
    model: nn.Module, x: Tensor, y: Tensor, threat: Threat, found: Measured
) -> tuple[Witness, ...]:
    """Every sample that the adaptive attack broke, judged once more."""
    broken = found.adaptive.broken
    rows = [i for i, b in enumerate(broken) if b is not None and b != FROM_THE_START]
    points, here = found.x_adaptive[rows], x[rows]
    judged = judge(model, points, here, y[rows], threat)
    sizes = threat.ball.size(points - here) if rows else torch.zeros(0)
    return tuple(
        Witness(
            sample=found.adaptive.ids[row],
            label=int(y[row]),
            predicted=int(judged.predicted[place]),
            attack=entry.attack,
            size=float(sizes[place]),
        )
        for place, row in enumerate(rows)
        if bool(judged.confirmed[place]) and (entry := broken[row]) is not None
    )


def _evidence(
    found: Measured, witnesses: tuple[Witness, ...], p_value: float, claim: float | None
) -> Evidence:
    adaptive, noisy = _fallen(found.adaptive), _fallen(found.noise)
    plain = {i for i, b in zip(found.naive.ids, found.naive.broken, strict=True) if b is not None}
    cured = [f for f in found.adapted.findings if f.check not in INFORM]
    return Evidence(
        clean=found.naive.clean_accuracy,
        naive=found.naive.accuracy,
        adaptive=found.adaptive.accuracy,
        p_value=p_value,
        witnesses=sum(witness.sample not in plain for witness in witnesses),
        missed=float((noisy & ~adaptive).float().mean()),
        hiding=tuple(f.why for f in cured if f not in found.adapted.open),
        open=tuple(f.why for f in found.adapted.open),
        claim=claim,
    )
