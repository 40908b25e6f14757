"""Which rule is for which parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor

from gradwarden.clip.part import Home, Part
from gradwarden.clip.rule import Rule
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.transform import Transform, TransformPart
from gradwarden.core.errors import BadInput

# One rule for all parameters, or one for each name pattern: the first that fits counts, None leaves
# its parameters as they are.
Rules = Rule[Any] | Transform[Any] | Mapping[str, Rule[Any] | Transform[Any] | None] | None
Assignment = tuple[Rule[Any] | Transform[Any] | None, dict[str, Tensor]]


def part_of(
    rule: Rule[Any] | Transform[Any] | None, params: Mapping[str, Tensor], home: Home
) -> Part | TransformPart:
    if rule is None:
        return Part(MaxNorm(math.inf), params, home)  # measured all the same: a NaN there counts
    if isinstance(rule, Transform):
        return TransformPart(rule, params, home)
    if isinstance(rule, Rule):
        return Part(rule, params, home)
    raise BadInput(f"expected a rule such as MaxNorm(1.0), got {rule!r}")


def assign(rules: Rules, params: Mapping[str, Tensor]) -> list[Assignment]:
    """Each rule with the parameters that it is for. Raises BadInput for one left over."""
    if not isinstance(rules, Mapping):
        return [(rules, dict(params))]
    held: dict[str, dict[str, Tensor]] = {pattern: {} for pattern in rules}
    for name, param in params.items():
        pattern = next((p for p in rules if fnmatchcase(name, p)), None)
        if pattern is None:
            raise BadInput(
                f"no pattern of {list(rules)} fits the parameter {name!r}: add '*' for the rest"
            )
        held[pattern][name] = param
    for pattern, chosen in held.items():
        if not chosen:
            raise BadInput(f"the pattern {pattern!r} fits no parameter that is left to it")
    return [(rules[pattern], chosen) for pattern, chosen in held.items()]
