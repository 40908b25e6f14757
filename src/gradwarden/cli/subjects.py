"""The model and the samples that a command line names, ready to be attacked."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.attack.inputs import check_mode
from gradwarden.attack.memory import Pieces
from gradwarden.attack.models import Binary, PredictProba
from gradwarden.cli import arguments
from gradwarden.cli.data import load
from gradwarden.cli.named import made
from gradwarden.cli.options import Work
from gradwarden.core.draws import seed_of
from gradwarden.core.errors import BadInput
from gradwarden.core.tabular import Tabular

ASKED = 64  # samples that show whether a single output is a logit


class Subjects(NamedTuple):
    """What is attacked."""

    model: nn.Module
    x: Tensor  # [N, ...]
    y: Tensor  # [N]
    ids: list[int]  # which rows of the data these are
    notes: tuple[str, ...]  # what was made of the model, one sentence each


def subjects(work: Work) -> Subjects:
    """Model and samples, tried out, on the device. Raises BadInput."""
    place = arguments.device(work.device)
    net, said = module(work.model)
    net = net.to(place)
    limits = work.threat.constraints
    x, y = load(work.data, work.label, limits if isinstance(limits, Tabular) else None)
    ids = chosen(len(x), work.samples, work.seed)
    x, y = like(net, x)[ids].to(place), y[ids].to(place)
    work.threat.check(x, y)
    if _single(_answer(net, work.model, x[:1]), 1):
        net, binary = _binary(net, work.model, x[:ASKED], work.batch_size)
        said = (*said, binary)
    return Subjects(net, x, y, ids, said)


def module(text: str) -> tuple[nn.Module, tuple[str, ...]]:
    """The model that `text` names, in eval mode, and what is to be said of it."""
    found = made(text)
    if not isinstance(found, nn.Module) and callable(getattr(found, "predict_proba", None)):
        _check_classes(found, text)
        kind = type(found).__name__
        note = (
            f"{kind} has no gradient: black box only, by queries to its predict_proba and by "
            "stand-ins that are fitted to its answers."
        )
        return PredictProba(found), (note,)  # type: ignore[arg-type]
    if not isinstance(found, nn.Module):
        raise BadInput(
            f"{text} returned {type(found).__name__}, expected a torch.nn.Module or an estimator "
            "with predict_proba"
        )
    check_mode(found)
    return found, ()


def _check_classes(estimator: object, text: str) -> None:
    classes = getattr(estimator, "classes_", None)
    if classes is None or list(classes) == list(range(len(classes))):
        return
    raise BadInput(
        f"{text} returned an estimator for the classes {', '.join(map(str, classes))}, expected "
        f"0 to {len(classes) - 1}: fit it on class indices, for labels are columns of predict_proba"
    )


def _binary(net: nn.Module, name: str, x: Tensor, batch_size: int) -> tuple[nn.Module, str]:
    """A model with one output, as one with two logits; in [0, 1] it may be a probability."""
    rows = torch.arange(len(x), device=x.device)
    answers = Pieces(batch_size).run(rows, lambda some: _answer(net, name, x[some]))
    values = torch.cat([part.flatten() for part in answers])
    if ((values >= 0) & (values <= 1)).all():
        raise BadInput(
            f"{name} returns one value in [0, 1] a sample, which may be a probability or a logit: "
            "return gradwarden.attack.FromProbabilities(model) or gradwarden.attack.Binary(model)"
        )
    note = "The model returns one logit a sample, taken as that of class 1 against 0."
    return Binary(net), note


def _single(answer: object, n: int) -> bool:
    return isinstance(answer, Tensor) and answer.shape in ((n,), (n, 1))


def chosen(n: int, samples: int | None, seed: int) -> list[int]:
    """Which of `n` samples, in their order: data are often sorted by class."""
    if samples is None or samples >= n:
        return list(range(n))
    rng = torch.Generator().manual_seed(seed_of(seed, "samples"))
    chosen: list[int] = torch.randperm(n, generator=rng)[:samples].sort().values.tolist()
    return chosen


def like(net: nn.Module, x: Tensor) -> Tensor:
    """x in the precision of the model: arrays are often float64, nets are not."""
    kinds = (p.dtype for p in net.parameters() if p.dtype.is_floating_point)
    return x.to(next(kinds, torch.float32)) if x.dtype.is_floating_point else x


def _answer(net: nn.Module, name: str, x: Tensor) -> Tensor:
    """One pass, so that a model that does not fit the data is one sentence."""
    try:
        with torch.no_grad():
            found: Tensor = net(x.clone())
        return found
    except torch.OutOfMemoryError:
        raise
    except Exception as why:
        line = (str(why).strip().splitlines() or [""])[0]
        raise BadInput(
            f"{name} raised {type(why).__name__} on x of shape {tuple(x.shape)}, {x.dtype}: {line}"
        ) from why
