"""Relations between the features of a table, as text: `total == a + b`, `sum("debt_*") <= income`.

Comparisons (<=, <, >=, >, ==), chained or joined by `and` / `or`; + - * /; `min`, `max` and `sum` of
any number of terms; `abs(a)`; `divide(a, b, otherwise)`, which is `otherwise` where b is 0; numbers;
names of features. A name that Python would not take stands in quotes ("FTI (new)"), and in `min`,
`max` and `sum` quotes with * or ? stand for every feature that matches. The text is read with
Python's own parser, checked part by part, and never evaluated as Python.

Source: the vocabulary of Simonetto et al. 2024 (TabularBench), arXiv:2408.07579, app. A.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import cache, partial, reduce
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.core.errors import BadInput

Number = Callable[[Tensor], Tensor]  # x [N, D] float64 -> [N]
Gap = Callable[[Tensor, float], Tensor]  # x [N, D] float64, tolerance -> [N]

ARITHMETIC: dict[type[ast.operator], Callable[[Tensor, Tensor], Tensor]] = {
    ast.Add: torch.add,
    ast.Sub: torch.sub,
    ast.Mult: torch.mul,
    ast.Div: lambda a, b: _ratio(a, b, torch.full_like(a, float("nan"))),
}
FOLDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": torch.add,
    "min": torch.minimum,
    "max": torch.maximum,
}
ARGUMENTS = {"abs": 1, "divide": 3}
SUCH = "a relation such as total == a + b"
LARGEST = 1e300  # number in a text


class Target(NamedTuple):
    """An equality with a name alone on one side: what the other features say of that one."""

    column: int
    value: Number


class Relation(NamedTuple):
    """One relation, read and checked."""

    text: str
    columns: tuple[int, ...]  # of the features that it names, ascending
    targets: tuple[Target, ...]  # empty for all but such equalities
    gap: Gap

    def violation(self, x: Tensor, tolerance: float) -> Tensor:
        """[N] float64, differentiable in x [N, D]: 0 exactly where the relation holds.

        Elsewhere by how much the sides differ. <=, >= and == hold within `tolerance` times the
        larger of 1 and either side; < and > hold exactly. Where a divisor is 0 nothing holds.
        """
        return self.gap(x.double(), tolerance)

    def said(self, x: Tensor, names: Sequence[str]) -> str:
        """The values of one sample x [D] that it speaks of: "a = 1, b = 2"."""
        return ", ".join(f"{names[c]} = {float(x[c]):g}" for c in self.columns)


@cache
def relation(text: str, names: tuple[str, ...]) -> Relation:
    """Reads `text` about the features `names`, one a column. Raises BadInput with the position."""
    return _Reader(text, names).relation()


class _Reader:
    """Turns a syntax tree into functions of the columns, or raises at the part it does not know."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        self.text, self.names = text.strip().replace("\n", " "), names
        self.column = {name: place for place, name in enumerate(names)}
        self.used: set[int] = set()

    def relation(self) -> Relation:
        try:
            tree = ast.parse(self.text, mode="eval").body
            gap = self.truth(tree)
        except SyntaxError as error:
            raise self.fault((error.offset or 1) - 1, SUCH) from None
        except (RecursionError, MemoryError):
            raise self.fault(0, f"{SUCH}, less deeply nested") from None
        if not self.used:
            raise self.fault(0, "a relation that names a feature")
        columns = tuple(sorted(self.used))
        return Relation(self.text, columns, tuple(self.targets(tree)), gap)

    def targets(self, tree: ast.expr) -> list[Target]:
        if not (isinstance(tree, ast.Compare) and [type(op) for op in tree.ops] == [ast.Eq]):
            return []
        sides, found = (tree.left, tree.comparators[0]), []
        for own, other in (sides, sides[::-1]):
            name = _name(own)
            if name in self.column:
                self.used = set()
                value = self.number(other)
                if self.column[name] not in self.used:
                    found.append(Target(self.column[name], value))
        return found

    def truth(self, node: ast.expr) -> Gap:
        if isinstance(node, ast.BoolOp):
            parts = [self.truth(value) for value in node.values]
            return partial(_all if isinstance(node.op, ast.And) else _any, parts)
        if not isinstance(node, ast.Compare):
            raise self.fault(node, "a comparison (<=, <, >=, >, ==)")
        sides = [self.number(side) for side in (node.left, *node.comparators)]
        pairs = zip(node.ops, sides, sides[1:], strict=False)
        return partial(_all, [self.comparison(node, *pair) for pair in pairs])

    def comparison(self, node: ast.expr, op: ast.cmpop, left: Number, right: Number) -> Gap:
        if isinstance(op, ast.Gt | ast.GtE):
            left, right = right, left
        if isinstance(op, ast.Eq):
            return lambda x, tolerance: _equal(left(x), right(x), tolerance)
        if isinstance(op, ast.Lt | ast.Gt):
            return lambda x, tolerance: _below(left(x), right(x), tolerance)
        if isinstance(op, ast.LtE | ast.GtE):
            return lambda x, tolerance: _at_most(left(x), right(x), tolerance)
        raise self.fault(node, "one of <=, <, >=, >, ==")

    def number(self, node: ast.expr) -> Number:
        name = _name(node)
        if name is not None:
            return self.feature(node, name)
        value = _constant(node)
        if value is not None:
            return lambda x: x.new_full((len(x),), value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            inner, sign = self.number(node.operand), 1 if isinstance(node.op, ast.UAdd) else -1
            return lambda x: inner(x) * sign
        if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            left, right = self.number(node.left), self.number(node.right)
            join = ARITHMETIC[type(node.op)]
            return lambda x: join(left(x), right(x))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self.call(node, node.func.id)
        raise self.fault(node, "a number, a feature, + - * /, sum, min, max, abs or divide")

    def call(self, node: ast.Call, function: str) -> Number:
        if function in FOLDS and node.args:
            terms, fold = [t for arg in node.args for t in self.terms(arg)], FOLDS[function]
            return lambda x: reduce(fold, [term(x) for term in terms])
        if ARGUMENTS.get(function) != len(node.args):
            raise self.fault(
                node, "sum(...), min(...), max(...), abs(a) or divide(a, b, otherwise)"
            )
        parts = [self.number(arg) for arg in node.args]
        if function == "abs":
            return lambda x: parts[0](x).abs()
        return lambda x: _ratio(*(part(x) for part in parts))

    def terms(self, node: ast.expr) -> list[Number]:
        """One, or as many as a quoted pattern matches."""
        name = _name(node)
        if name is None or name in self.column or not set("*?") & set(name):
            return [self.number(node)]
        matching = [other for other in self.names if fnmatchcase(other, name)]
        if not matching:
            raise self.fault(
                node, f"a pattern that some feature matches: {', '.join(self.names[:8])}"
            )
        return [self.feature(node, other) for other in matching]

    def feature(self, node: ast.expr, name: str) -> Number:
        if name not in self.column:
            near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.5)
            hint = f"{near[0]!r}, perhaps" if near else f"one of {', '.join(self.names[:8])}"
            raise self.fault(node, f"a feature's name: {hint}", name)
        column = self.column[name]
        self.used.add(column)
        return lambda x: x[:, column]

    def fault(self, at: ast.expr | int, expected: str, got: str | None = None) -> BadInput:
        if isinstance(at, int):
            place, text = at, self.text[at:]
        else:
            place = len(self.text.encode()[: at.col_offset].decode())
            text = ast.get_source_segment(self.text, at) or ""
        return BadInput(
            f"relation {self.text!r}, character {place + 1}: expected {expected}, got "
            f"{(text if got is None else got)!r}"
        )


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


def _constant(node: ast.expr) -> float | None:
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value > LARGEST:
        return None
    return float(value)


def _ratio(a: Tensor, b: Tensor, otherwise: Tensor) -> Tensor:
    zero = b == 0
    return torch.where(zero, otherwise, a / b.masked_fill(zero, 1.0))


def _slack(left: Tensor, right: Tensor, tolerance: float) -> Tensor:
    size = torch.maximum(left.detach().abs(), right.detach().abs()).clamp(min=1.0)
    return tolerance * torch.where(size.isfinite(), size, 0.0)


def _gap(by: Tensor, holds: Tensor) -> Tensor:
    """0 where it holds; 1 where a side has no value."""
    return torch.where(holds, 0.0, torch.where(by.isnan(), 1.0, by))


def _equal(left: Tensor, right: Tensor, tolerance: float) -> Tensor:
    by = (left - right).abs()
    return _gap(by, by <= _slack(left, right, tolerance))


def _at_most(left: Tensor, right: Tensor, tolerance: float) -> Tensor:
    by = left - right
    return _gap(by, by <= _slack(left, right, tolerance))


def _below(left: Tensor, right: Tensor, tolerance: float) -> Tensor:
    """Where it does not hold, the slack more than the sides differ: equal sides do differ then."""
    return _gap(left - right + _slack(left, right, max(tolerance, 1e-12)), left < right)


def _all(parts: Sequence[Gap], x: Tensor, tolerance: float) -> Tensor:
    return torch.stack([part(x, tolerance) for part in parts]).sum(0)


def _any(parts: Sequence[Gap], x: Tensor, tolerance: float) -> Tensor:
    return torch.stack([part(x, tolerance) for part in parts]).amin(0)
