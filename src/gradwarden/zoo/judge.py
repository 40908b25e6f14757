"""Measures the known answers: everything that is tried, and what the referee says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from gradwarden import __version__
from gradwarden.attack.chance import seeded
from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.pgd import PGD
from gradwarden.attack.referee import judge as referee
from gradwarden.attack.square import Square
from gradwarden.attack.to_the_end import ToTheEnd
from gradwarden.core.estimate import Estimate
from gradwarden.core.protocols import Attack
from gradwarden.zoo import known
from gradwarden.zoo.adaptive import Exhaustive
from gradwarden.zoo.definition import Entry, Samples
from gradwarden.zoo.registry import entry
from gradwarden.zoo.sets import samples
from gradwarden.zoo.store import WEIGHTS, Witnesses, digest, keep, load

NAIVE: tuple[Attack, ...] = (FGSM(), PGD())  # who follows the model's own gradient, once
LAST: tuple[Attack, ...] = (Square(queries=5000),)  # no gradient; for models that do not draw
DRAWS = 51  # of a model that draws: what most of them say
BATCH = 100
MOST_WITNESSES = 24
SURE = 0.55  # of the draws that a witness must break when it is judged again


def naive(one: Entry) -> tuple[Attack, ...]:
    """To the end, where the model draws: a first success may be luck, which says nothing of it."""
    return tuple(ToTheEnd(attack=a) for a in NAIVE) if one.stochastic else NAIVE


def answered(one: Entry, model: nn.Module, points: Samples, x: Tensor) -> Tensor:
    """[N] bool: the points' x is allowed around x [N, ...] and the goal is reached there.

    In most draws, where the model draws, and in most of as many fresh ones: what was chosen by luck
    does not hold twice.
    """
    held = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for look in range(2 if one.stochastic else 1):
        with seeded(x.device, look, one.net, "referee"):
            held &= referee(model, points.x, x, points.y, one.threat, _draws(one)).confirmed
    return held


def _draws(one: Entry) -> int:
    return DRAWS if one.stochastic else 1


class Trial:
    """The samples of one entry, and who of them has fallen to what."""

    def __init__(self, one: Entry, model: nn.Module, held_out: Samples) -> None:
        self.one, self.model, self.held_out = one, model, held_out
        wrong = ~right(one, model, held_out)
        self.fates = [known.WRONG if w else known.STANDS for w in wrong.tolist()]
        self.x_adv = held_out.x.clone()
        self.attacks: dict[str, int] = {}

    def run(self, attack: Attack, model: nn.Module, fate: str, title: str) -> None:
        """`attack` on `model`, for all who stand; judged on the entry's own."""
        left = torch.tensor([i for i, fate in enumerate(self.fates) if fate == known.STANDS])
        fell = 0
        for rows in left.split(BATCH) if len(left) else ():
            x, y = self.held_out.x[rows], self.held_out.y[rows]
            with seeded(x.device, 0, self.one.net, title):
                found = attack.run(model, x, y, self.one.threat, ids=rows.tolist())
            broken = answered(self.one, self.model, Samples(found.x_adv, y), x)
            self.x_adv[rows[broken]] = found.x_adv[broken]
            for row in rows[broken].tolist():
                self.fates[row] = fate
            fell += int(broken.sum())
        self.attacks[title] = fell

    def witnesses(self) -> Witnesses:
        """Of samples that the naive attacks left; where the model draws, the surest of the sure."""
        ids = torch.tensor(
            [i for i, fate in enumerate(self.fates) if fate == known.ADAPTED], dtype=torch.int64
        )
        x, y = self.held_out.x[ids], self.held_out.y[ids]
        with seeded(x.device, 0, self.one.net, "witnesses"):
            share = referee(
                self.model, self.x_adv[ids], x, y, self.one.threat, _draws(self.one)
            ).share
        best = share.sort(descending=True, stable=True).indices[:MOST_WITNESSES]
        best = best[share[best] >= SURE]
        chosen = ids[best].sort().values
        return Witnesses(chosen, self.x_adv[chosen])


def right(one: Entry, model: nn.Module, held_out: Samples) -> Tensor:
    """[N] bool: predicted as labelled, in most draws where the model draws."""
    with seeded(held_out.x.device, 0, one.net, "clean"):
        found = referee(model, held_out.x, held_out.x, held_out.y, one.threat, _draws(one))
    return found.predicted == held_out.y


def judge(
    name: str, folder: Path = WEIGHTS, on_attack: Callable[[str, int], object] | None = None
) -> known.Answers:
    """Runs everything that is known against the entry; writes answers and witnesses to `folder`.

    `on_attack` is told each attack and how many samples fell to it. Takes minutes.
    """
    one = entry(name)
    train, held_out, _ = samples(one.data)
    blind, named = load(name, blind=True), load(name)
    trial = Trial(one, blind, held_out)
    tries = [(attack, blind, known.NAIVE, "naive ") for attack in naive(one)]
    tries += [(attack, named, known.ADAPTED, "") for attack in one.attacks(named, train)]
    if not one.stochastic:
        tries += [(attack, blind, known.ADAPTED, "") for attack in LAST]
    for attack, model, fate, prefix in tries:
        title = f"{prefix}{attack!r}"
        trial.run(attack, model, fate, title)
        if on_attack is not None:
            on_attack(title, trial.attacks[title])
    exact = any(isinstance(attack, Exhaustive) for attack, *_ in tries)
    certified = one.certify(blind, held_out, one.threat) if one.certify is not None else None
    return keep(one, _answers(one, trial, certified, exact), trial.witnesses(), folder)


def _answers(one: Entry, trial: Trial, certified: Estimate | None, exact: bool) -> known.Answers:
    """`exact`: everything was tried, so what is left is certain."""
    fates = "".join(trial.fates)
    clean, naive, best = known.accuracies(fates)
    masked, p_value = known.hides(fates)
    return known.Answers(
        name=one.name,
        net=one.net,
        half=one.half,
        family=one.family,
        kind=one.kind,
        data=one.data,
        threat=repr(one.threat),
        module=one.module,
        note=one.note,
        fates=fates,
        clean=clean,
        naive=naive,
        best=best,
        attacks=trial.attacks,
        p_value=p_value,
        masked=masked,
        certified=best if exact else certified,
        weights=digest(WEIGHTS / f"{one.net}.safetensors"),
        version=__version__,
        command=f"gradwarden zoo --judge --only {one.name}",
    )
