"""The two contenders of a comparison, by name: `clipping,masking`, `ZScore(),warm-up`."""

from __future__ import annotations

import ast
import difflib
from importlib import import_module
from typing import Any, NamedTuple

from gradwarden.clip.rule import Rule
from gradwarden.compare.contenders.clipping import Clipping
from gradwarden.compare.contenders.contender import Contender, Protection, Treatment
from gradwarden.compare.contenders.masking import Masking
from gradwarden.compare.contenders.nothing import Nothing
from gradwarden.compare.picks import SECURE, TRAIN
from gradwarden.core.errors import BadInput
from gradwarden.mask.distillation import Distillation


class Pair(NamedTuple):
    """Two contenders, the first one judged first."""

    first: Contender
    second: Contender

    @property
    def alike(self) -> str:
        """The purpose that both serve, or "" where they serve different ends."""
        return min(purposes(self.first) & purposes(self.second), default="")

    def sides(self, purpose: str) -> tuple[Contender, ...]:
        """Who is judged by tasks of `purpose`, one or both; doing nothing is no side of its own."""
        mine = (one for one in self if purpose in purposes(one))
        return tuple(one for one in mine if not isinstance(one, Nothing))

    @property
    def serves(self) -> set[str]:
        """The purposes of the tasks that it can be put to the test on."""
        return {self.alike} if self.alike else {TRAIN, SECURE}


def between(text: str) -> Pair:
    """The pair that "A,B" names. Raises BadInput."""
    names = _split(text)
    if len(names) != 2:
        raise BadInput(f"expected two contenders as A,B, got {text!r}")
    first, second = map(contender, names)
    if first == second:
        raise BadInput(f"expected two different contenders, got {text!r}")
    return Pair(first, second)


def purposes(one: Contender) -> set[str]:
    """What it is for; doing nothing is for either."""
    kinds = {TRAIN: Treatment, SECURE: Protection}
    return {purpose for purpose, kind in kinds.items() if kind in type(one).__mro__}


def contender(text: str) -> Contender:
    """By its name, or a clipping rule or a mask by the name of its class, with options or without."""
    room = import_module("gradwarden.compare.contenders")
    known: dict[str, type[Any]] = {kind.name: kind for kind in _exports(room)}
    if text in known:
        found: Contender = known[text]()
        return found
    name, _, given = text.partition("(")
    rules, masks = ({kind.__name__: kind for kind in _exports(import_module(m))} for m in ROOMS)
    if name in rules and isinstance(made := _made(rules[name], text, given), Rule):
        return Clipping(rule=made)
    if name in masks and _is_mask(made := _made(masks[name], text, given)):
        return Masking(mask=made)
    choices = [*known, *rules, *masks]
    near = difflib.get_close_matches(text, choices, n=1)
    raise BadInput(
        f"unknown contender {text!r}: "
        + (f"did you mean {near[0]!r}? " if near else "")
        + "Choose "
        f"from {', '.join(known)}, a clipping rule (`gradwarden rules`) or a mask (`gradwarden masks`)"
    )


ROOMS = ("gradwarden.clip", "gradwarden.mask")


def _exports(room: Any) -> list[type[Any]]:
    found = [getattr(room, name) for name in room.__all__]
    return [kind for kind in found if isinstance(kind, type)]


def _made(kind: type[Any], text: str, given: str) -> Any:
    """`kind` with the options that stand in brackets, numbers and texts only."""
    try:
        call = ast.parse(text if given else f"{text}()", mode="eval").body
        assert isinstance(call, ast.Call)
        options = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        return kind(*map(ast.literal_eval, call.args), **options)
    except BadInput:
        raise
    except Exception as why:
        raise BadInput(f"{text} cannot be made: {why}; expected for example MaxNorm(0.5)") from why


def _is_mask(made: object) -> bool:
    return hasattr(made, "defend") or isinstance(made, Distillation)


def _split(text: str) -> list[str]:
    """At the commas outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]
