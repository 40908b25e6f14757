"""What the engine asks of a transform: other values for the gradients, where a rule only bounds.

A transform is a frozen dataclass of options. Its state is a NamedTuple that the engine holds,
guards, saves and restores. Each field is one of

- a tensor whose last dimension counts the parameters, or a scalar,
- a tuple with one tensor a parameter,
- the state of a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from gradwarden.clip.norm import joined, powers
from gradwarden.clip.parameters import Found, by_device
from gradwarden.clip.part import Answer, Home, Measurement
from gradwarden.core.errors import BadInput

State = TypeVar("State", bound=tuple[Any, ...])


@runtime_checkable
class Transform(Protocol[State]):
    def init(self, params: Sequence[Tensor], home: torch.device) -> State: ...
    def apply(self, grads: Sequence[Tensor], state: State) -> tuple[list[Tensor], State]:
        """New values for finite dense `grads`, one a parameter, and the next state.

        The gradients themselves are left as they are. No branch on a value.
        """
        ...


class TransformPart:
    """A transform, its state, and the parameters it is for, as an engine sees it: like a Part.

    A parameter without a gradient counts as one with a gradient of zeros.
    """

    def __init__(self, transform: Transform[Any], params: Mapping[str, Tensor], home: Home) -> None:
        self.rule, self.home = transform, home
        self.names, self.params = list(params), list(params.values())
        self.state = transform.init(self.params, home.device)

    def named(self, found: Found) -> tuple[str, ...]:
        return tuple(self.names)

    def measure(self, scale: Tensor | None = None) -> Measurement | None:
        if all(p.grad is None for p in self.params):
            return None
        grads = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in self.params]
        if scale is not None:
            grads = [g / scale.to(g.device, g.dtype) for g in grads]
        found = Found(list(range(len(grads))), self.params, grads, True)
        measured = joined([powers(g) for g in by_device(grads)], self.home.device)
        total = measured.total().float()
        return Measurement(found, measured, total, total)

    def answer(self, m: Measurement, finite: Tensor, loss: Tensor | None = None) -> Answer:
        inf, one = torch.full_like(m.total, torch.inf), torch.ones_like(m.total)
        return Answer(inf, one, torch.where(finite, inf, torch.nan), one)

    def clip(self, m: Measurement, answer: Answer, finite: Tensor | None) -> None:
        """Puts the new values into the gradients where `finite` [], None for surely."""
        if self.home.at_hand and finite is not None and not finite:
            return
        out, new = self.rule.apply(m.found.grads, self.state)
        if not self.home.at_hand and finite is not None:
            out = [
                torch.where(finite.to(g.device), o, g)
                for o, g in zip(out, m.found.grads, strict=True)
            ]
            new = _mapped(lambda a, b: torch.where(finite.to(a.device), a, b), new, self.state)
        self.state = new
        for p, value in zip(self.params, out, strict=True):
            p.grad = value if p.grad is None or p.grad.is_sparse else p.grad.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        return {
            "rule": repr(self.rule),
            "names": list(self.names),
            "state": _flat(self.state),
        }

    def loaded(self, saved: Mapping[str, Any]) -> Any:
        """The state of `saved`, for parameters in our order. Raises BadInput."""
        if saved["rule"] != repr(self.rule):
            raise BadInput(f"saved state: expected rule {self.rule!r}, got {saved['rule']}")
        if set(saved["names"]) != set(self.names):
            raise BadInput("saved state is of another model: its parameters have other names")
        order = [saved["names"].index(name) for name in self.names]
        return _restored(self.state, saved["state"], torch.tensor(order))


def _mapped(change: Callable[[Tensor, Tensor], Tensor], a: Any, b: Any) -> Any:
    if isinstance(a, Tensor):
        return change(a, b)
    pairs = [_mapped(change, x, y) for x, y in zip(a, b, strict=True)]
    return type(a)(*pairs) if hasattr(a, "_fields") else tuple(pairs)


def _flat(state: Any) -> Any:
    """NamedTuples as dictionaries, tensors as copies."""
    if isinstance(state, Tensor):
        return state.clone()
    if hasattr(state, "_fields"):
        return {name: _flat(getattr(state, name)) for name in state._fields}
    return [_flat(x) for x in state]


def _restored(now: Any, saved: Any, order: Tensor) -> Any:
    if isinstance(now, Tensor):
        value = saved.to(now.device)
        if value.ndim and value.shape[-1] == len(order):
            value = value.index_select(-1, order.to(now.device))
        if value.dtype != now.dtype or value.ndim != now.ndim:
            raise BadInput(f"saved state: expected {now.dtype} {tuple(now.shape)}, got {saved}")
        return value.clone()
    if hasattr(now, "_fields"):
        fields = (_restored(getattr(now, k), saved[k], order) for k in now._fields)
        return type(now)(*fields)
    return tuple(saved[i].to(n.device).clone() for i, n in zip(order.tolist(), now, strict=True))
