"""The modules of a network in the order called, with the ones where a fault was seen standing out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from gradwarden.core.examination import Link
from gradwarden.report.anchors import Anchors

WHOLE = 14  # a chain up to this length is shown whole
RUN = 3  # modules in a row, at least, that are folded into one line
DEEPEST = 6  # steps to the right, at most, so that a name has room on a phone


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What was seen of a module: colour, shape and words."""

    tone: str
    icon: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Node:
    """A module at its place in the chain."""

    link: Link
    anchor: str
    depth: int
    parent: str  # "features." of "features.squeeze"
    name: str  # "squeeze"
    marks: tuple[Mark, ...]
    hides: bool


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Modules in a row, shown one by one or folded into one line."""

    nodes: tuple[Node, ...]
    folded: bool


def node(link: Link, anchors: Anchors) -> Node:
    parent, dot, name = link.module.rpartition(".")
    hides = list(link.hides)
    seen = [check for check in link.checks if check not in link.hides]
    marks = []
    if hides:
        marks.append(Mark(tone="is-no", icon="no", text=f"hides the gradient: {', '.join(hides)}"))
    if seen:
        marks.append(Mark(tone="is-open", icon="open", text=f"seen here: {', '.join(seen)}"))
    if link.patched:
        marks.append(Mark(tone="is-detour", icon="detour", text="the attack went around it"))
    return Node(
        link=link,
        anchor=anchors.new("module", link.module or "root"),
        depth=min(DEEPEST, link.module.count(".") + 1 if link.module else 0),
        parent=parent + dot,
        name=name or "(the model)",
        marks=tuple(marks),
        hides=bool(hides),
    )


def stretches(nodes: tuple[Node, ...]) -> Iterator[Stretch]:
    """Long runs in which nothing was seen are folded; the neighbours of what was seen stay."""
    last = len(nodes) - 1
    near = {i + d for i, node in enumerate(nodes) if node.marks for d in (-1, 0, 1)} | {0, last}
    short = len(nodes) <= WHOLE
    for plain, group in groupby(range(len(nodes)), lambda i: not short and i not in near):
        run = tuple(nodes[i] for i in group)
        yield Stretch(nodes=run, folded=plain and len(run) >= RUN)


def says(nodes: tuple[Node, ...]) -> str:
    """How many modules, which of them hide the gradient, and whether the attack got around them."""
    hiding = [node for node in nodes if node.hides]
    called = "1 module was called" if len(nodes) == 1 else f"{len(nodes)} modules were called"
    if not hiding:
        return f"{called}; no diagnostic saw one of them hide the gradient."
    around = sum(node.link.patched for node in hiding)
    if len(hiding) == 1:
        who = f"{hiding[0].link.module or 'the model itself'} hides the gradient"
        return f"{called}; {who}, and the attack {'went' if around else 'did not get'} around it."
    count = {0: "none", len(hiding): "each"}.get(around, str(around))
    return f"{called}; {len(hiding)} hide the gradient, and the attack went around {count} of them."
