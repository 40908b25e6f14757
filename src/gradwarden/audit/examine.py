"""Is this robustness real: the model's own gradient against an attack that goes around what hides it.

Source: Tramer et al. 2020, arXiv:2002.08347; Carlini et al. 2019, arXiv:1902.06705.
Differs: the adaptive attack is chosen by measurement; the verdict rests on paired samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gradwarden.attack.chance import draws_by_itself
from gradwarden.attack.evaluate import DRAWS
from gradwarden.attack.inputs import clean_logits
from gradwarden.attack.models import PredictProba
from gradwarden.audit.budgets import budget_of
from gradwarden.audit.case import quiet
from gradwarden.audit.curve import losable
from gradwarden.audit.kept import kept, same_width
from gradwarden.audit.pace import Pace
from gradwarden.audit.radii import covers
from gradwarden.audit.record import Told, record
from gradwarden.audit.search import attack, expected
from gradwarden.audit.trail import Subject
from gradwarden.core.errors import BadInput
from gradwarden.core.examination import Examination
from gradwarden.core.goal import predicts
from gradwarden.core.protocols import Progress
from gradwarden.core.threat import UNTARGETED, Threat


def examine(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    claim: float | None = None,
    budget: str = "standard",
    certified: Tensor | None = None,
    stochastic: bool | None = None,
    use_declared: bool = True,
    seed: int = 0,
    ids: Sequence[int] | None = None,
    batch_size: int = 256,
    name: str | None = None,
    command: str = "",
    resume: str | Path | None = None,
    on_progress: Progress | None = None,
) -> Examination:
    """Audits `model` on x [N, ...] in `threat.box` and y [N]; see `Examination`.

    `claim` is an accuracy under attack at this radius, in [0, 1], that someone states for the
    model. `certified` [N] bool says of which samples a certificate proves that no attack within the
    threat succeeds (`gradwarden.harden` makes them). A model that draws by itself (`stochastic`;
    default: found out by asking twice) is judged by most of its fresh draws. A module's own
    `surrogate()` is one of the stand-ins that are tried, unless `use_declared` is False; nothing
    else that a model declares is believed: faults are measured, module by module.

    Finished searches are kept in the folder `resume`, and read from it. The model's state is put
    back at the end. The verdict is evidence from these samples, never a proof of robustness. Raises
    BadInput.
    """
    plan = budget_of(budget)
    _check(model, x, y, claim, certified)
    names = range(len(x)) if ids is None else ids
    # Seeded, so that what a model draws is the same next time.
    with torch.inference_mode(False), quiet(x, seed), kept(model):
        x, y = (tensor.clone() if tensor.is_inference() else tensor.detach() for tensor in (x, y))
        logits = clean_logits(model, x, y, threat, names, batch_size)
        concerned = _concerned(threat, y, logits.shape[1])
        with same_width(model, logits.shape[1]):
            random = draws_by_itself(model, x, seed) if stochastic is None else stochastic
            subject = Subject(
                model=model,
                x=x,
                y=y,
                threat=threat,
                ids=names,
                seed=seed,
                batch_size=batch_size,
                draws=DRAWS if random else 1,
                resume=None if resume is None else Path(resume),
                pace=Pace(on_progress, expected(plan, len(x))),
            )
            found = attack(subject, plan, logits.shape[1], use_declared)
        notes = tuple(_notes(model, logits, x, y, threat, concerned))
        proved = None if certified is None else certified.to(x.device)
        told = Told(name or type(model).__name__, command, claim, proved, notes)
        whole = record(subject, plan, found, told)
        subject.pace.end()
        return whole


def _concerned(threat: Threat, y: Tensor, classes: int) -> int:
    """How many samples some wrong answer, and no right one, turns into a success."""
    right = threat.goal.reached(one_hot(y, classes) * 1e6, y)
    concerned = int((losable(threat, y, classes) & ~right).sum())
    if not concerned:
        raise BadInput(
            f"the goal {threat.goal!r} concerns none of the {len(y)} samples, whose labels are "
            f"{sorted(set(y.tolist()))}: give samples that the attacker wants to change"
        )
    return concerned


def _notes(
    model: nn.Module, logits: Tensor, x: Tensor, y: Tensor, threat: Threat, concerned: int
) -> Iterator[str]:
    """What a reader must know of this model and these samples beside the verdict."""
    if any(isinstance(module, PredictProba) for module in model.modules()):
        yield (
            "The model is a black box: it was asked, and gradients are those of stand-ins trained on "
            "its answers. What an attacker with the estimator's own code can do is not tested."
        )
    if concerned < len(y):
        yield (
            f"The goal concerns {concerned} of {len(y)} samples; what becomes of the others does not "
            "depend on the attacker."
        )
    lost = int((~predicts(logits)).sum())
    if lost:
        yield f"The model answers {lost} of {len(x)} samples with NaN or infinity: they count as wrong."
    if len(y.unique()) == 1 and threat.goal == UNTARGETED:
        yield (
            f"Every label is {int(y[0])}: an answer that looks at nothing gets all of them right, so "
            "that neither accuracy nor the sweep of radii says much."
        )
    if covers(threat, x):
        yield (
            "The ball covers all that the threat leaves open: the attacker may turn any sample into "
            "any other, and no model withstands that unless it ignores its input."
        )


def _check(
    model: nn.Module, x: Tensor, y: Tensor, claim: float | None, certified: Tensor | None
) -> None:
    if not isinstance(model, nn.Module):
        raise BadInput(
            f"the model must be an nn.Module, got {type(model).__name__}: wrap it in one"
        )
    for told, tensor in (("x", x), ("y", y)):
        if not isinstance(tensor, Tensor):
            raise BadInput(f"{told} must be a tensor, got {type(tensor).__name__}: torch.as_tensor")
    if x.device != y.device:
        raise BadInput(f"x is on {x.device} and y on {y.device}: bring both to one device")
    if claim is not None and not 0.0 <= claim <= 1.0:
        raise BadInput(f"claim must be an accuracy in [0, 1], got {claim}")
    if certified is None:
        return
    got = getattr(certified, "dtype", type(certified).__name__)
    shape = tuple(getattr(certified, "shape", ()))
    if got != torch.bool or shape != (len(x),):
        raise BadInput(
            f"certified must be a tensor that says True or False of each of the {len(x)} samples, "
            f"got {got} of shape {shape}"
        )
