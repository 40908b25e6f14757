"""One rule, its state, and the parameters it is for: measure, decide, apply."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gradwarden.clip import apply
from gradwarden.clip.norm import Powers, joined, powers, widened
from gradwarden.clip.parameters import Found, by_device, find
from gradwarden.clip.rule import Measured, Rule
from gradwarden.core.errors import BadInput


class Home:
    """The device where norms are put together and states live."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def at_hand(self) -> bool:
        """Values can be read without waiting for a device, so code may branch on them."""
        return self.device.type == "cpu"


class Measurement(NamedTuple):
    found: Found
    powers: Powers
    total: Tensor  # [] float32
    norms: Tensor  # S float32, zero for parameters without a gradient


class Answer(NamedTuple):
    """What the rule says to a measurement; nothing is done yet."""

    thresholds: Tensor  # S
    coefficients: Tensor  # S
    threshold: Tensor  # [], of what is scaled down most
    coefficient: Tensor  # [], the smallest
    drop: Tensor | None = None  # [] bool, the step is to be skipped, though it is finite


class Part:
    def __init__(self, rule: Rule[Any], params: Mapping[str, Tensor], home: Home) -> None:
        self.rule, self.home = rule, home
        self.names, self.params = list(params), list(params.values())
        self.widths = [self._width(p) for p in self.params]
        shape = () if rule.scope == "total" else (sum(self.widths),)
        self.state = rule.init(torch.zeros(shape, device=home.device))

    @property
    def _axis(self) -> int | None:
        return self.rule.needs.axis if self.rule.scope == "unit" else None

    def _width(self, p: Tensor) -> int:
        """How many entries of S are of this parameter."""
        if self._axis is None or p.ndim < 2:
            return 1
        if not -p.ndim <= self._axis < p.ndim:
            raise BadInput(
                f"{self.rule!r}: a parameter of shape {tuple(p.shape)} has no axis {self._axis}"
            )
        return p.shape[self._axis]

    def named(self, found: Found) -> tuple[str, ...]:
        """Names of the parameters that have a gradient."""
        return tuple(self.names if found.whole else [self.names[i] for i in found.places])

    # Measure -------------------------------------------------------------------------------------

    def measure(self, scale: Tensor | None = None) -> Measurement | None:
        """None where no parameter has a gradient. `scale` [] is what the loss was multiplied by."""
        found = find(self.params)
        if not found.grads:
            return None
        p = math.inf if self.rule.scope == "element" else self.rule.needs.p
        groups = by_device(found.grads)
        measured = joined([powers(g, p, self._axis) for g in groups], self.home.device)
        total = measured.total()
        if self.home.at_hand and not math.isfinite(total) and p < math.inf and self._axis is None:
            # Are the gradients not finite, or only their squares?
            measured = widened(found.grads, p)
            total = measured.total()
        if scale is not None:
            measured, total = measured.over(scale), total / scale
        total = total.float()
        return Measurement(found, measured, total, self._norms(found, measured, total))

    def _norms(self, found: Found, measured: Powers, total: Tensor) -> Tensor:
        if self.rule.scope == "total":
            return total
        norms = (measured.parts() if self.rule.scope == "unit" else measured.tensors()).float()
        return norms if found.whole else self._spread(found, norms)

    def _spread(self, found: Found, values: Tensor) -> Tensor:
        """Entries of the parameters that have a gradient -> S, zero elsewhere."""
        width = sum(self.widths)
        return values.new_zeros(width).index_copy(0, self._entries(found), values)

    def _entries(self, found: Found) -> Tensor:
        """Where in S the parameters that have a gradient are."""
        starts = [0]
        for width in self.widths:
            starts.append(starts[-1] + width)
        entries = [k for i in found.places for k in range(starts[i], starts[i + 1])]
        return torch.tensor(entries, device=self.home.device)

    def _seen(self, m: Measurement, loss: Tensor | None) -> Measured:
        weights = None
        if self.rule.needs.weights:
            p = math.inf if self.rule.scope == "element" else self.rule.needs.p
            runs = by_device(m.found.params)
            held = joined([powers(w, p, self._axis) for w in runs], self.home.device)
            weights = self._norms(m.found, held, held.total().float())
        if self.rule.needs.loss and loss is None:
            loss = torch.full_like(m.total, torch.nan)
        return Measured(norms=m.norms, total=m.total, weights=weights, loss=loss)

    # Decide --------------------------------------------------------------------------------------

    def answer(self, m: Measurement, finite: Tensor, loss: Tensor | None = None) -> Answer:
        """Steps the rule where `finite` [] bool; its state stays as it was otherwise."""
        if self.home.at_hand and not finite:
            nan, one = torch.full_like(m.norms, torch.nan), torch.ones_like(m.norms)
            return Answer(nan, one, torch.full_like(m.total, torch.nan), one.new_ones(()))
        thresholds = self._step(m, finite, loss)
        drops = self.rule.needs.skips
        if self.home.at_hand and not m.norms.ndim:  # python numbers are cheaper than tensors
            norm, bound = float(m.norms), float(thresholds)
            c = torch.scalar_tensor(bound / norm if norm > bound and not drops else 1.0)
            drop = torch.scalar_tensor(norm > bound, dtype=torch.bool) if drops else None
            return Answer(thresholds, c, thresholds, c, drop)
        thresholds = thresholds.expand_as(m.norms)
        if drops:
            ones, cut = torch.ones_like(m.norms), m.norms > thresholds
            return Answer(thresholds, ones, thresholds.min(), ones.min(), cut.any())
        # 0 / 0 is no reason to clip, and neither is a threshold of NaN: that step is not finite.
        coefficients = (thresholds / m.norms).clamp(max=1.0).nan_to_num(nan=1.0)
        if not m.norms.ndim:
            return Answer(thresholds, coefficients, thresholds, coefficients)
        most = coefficients.argmin(0, keepdim=True)
        threshold, coefficient = (x.gather(0, most).squeeze(0) for x in (thresholds, coefficients))
        return Answer(thresholds, coefficients, threshold, coefficient)

    def _step(self, m: Measurement, finite: Tensor, loss: Tensor | None) -> Tensor:
        seen = self._seen(m, loss)
        if self.home.at_hand:
            thresholds, new = self.rule.step(seen, self.state)
            self.state = new if m.found.whole or not m.norms.ndim else self._kept(m.found, new)
            return thresholds
        bad = finite.logical_not()
        norms = seen.norms.masked_fill(bad, 1.0)
        total = norms if seen.total is seen.norms else seen.total.masked_fill(bad, 1.0)
        seen = seen._replace(norms=norms, total=total)
        thresholds, new = self.rule.step(seen, self.state)
        if m.norms.ndim and not m.found.whole:
            new = self._kept(m.found, new)
        self.state = self._chosen(finite, new)
        return thresholds.masked_fill(bad, torch.nan)

    def _kept(self, found: Found, new: Any) -> Any:
        """`new`, but as it was for parameters without a gradient."""
        present = torch.zeros(sum(self.widths), dtype=torch.bool, device=self.home.device)
        return self._chosen(present.index_fill_(0, self._entries(found), True), new)

    def _chosen(self, where: Tensor, new: Any) -> Any:
        pairs = zip(new, self.state, strict=True)
        return type(new)(*(torch.where(where, a, b) for a, b in pairs))

    # Apply ---------------------------------------------------------------------------------------

    def clip(self, m: Measurement, answer: Answer, finite: Tensor | None) -> None:
        """Clips in place where `finite` [], None for surely; what needs no clipping is not touched."""
        coefficients, thresholds = answer.coefficients, answer.thresholds
        if self.home.at_hand:
            if answer.coefficient == 1.0:
                return
            if self.rule.scope == "total":
                apply.scale(m.found.params, float(coefficients))
                return
        elif finite is not None:
            bad = finite.logical_not()
            coefficients = coefficients.masked_fill(bad, 1.0)
            thresholds = thresholds.masked_fill(bad, torch.inf)
        if self.rule.scope == "total":
            apply.scale(m.found.params, coefficients)
        elif self.rule.scope == "element":
            apply.bound(m.found.params, self._each(m.found, thresholds))
        else:
            apply.scale_each(m.found.params, self._each(m.found, coefficients))

    def _each(self, found: Found, values: Tensor) -> list[Tensor]:
        """S -> for each gradient its entries, shaped so that they broadcast to it."""
        blocks = values.split(self.widths)
        return [
            block.squeeze(0)
            if self._axis is None or p.ndim < 2
            else apply.along(block, p, self._axis)
            for p, block in zip(found.params, [blocks[i] for i in found.places], strict=True)
        ]

    # Save and restore ----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "rule": repr(self.rule),
            "names": list(self.names),
            "widths": list(self.widths),
            "state": {k: v.clone() for k, v in self.state._asdict().items()},
        }

    def loaded(self, saved: Mapping[str, Any]) -> Any:
        """The state of `saved`, for parameters in our order. Raises BadInput."""
        if saved["rule"] != repr(self.rule) and (saved["state"] or self.state):
            raise BadInput(f"saved state: expected rule {self.rule!r}, got {saved['rule']}")
        columns = None
        if self.rule.scope != "total":
            columns = self._columns(saved["names"], saved["widths"]).to(self.home.device)
        fields: dict[str, Tensor] = {}
        for key, now in self.state._asdict().items():
            value = saved["state"][key].to(self.home.device)
            fields[key] = value.clone() if columns is None else value.index_select(-1, columns)
            if fields[key].dtype != now.dtype or value.ndim != now.ndim:
                raise BadInput(
                    f"saved state: {key} is {value.dtype} {tuple(value.shape)}, expected "
                    f"{now.dtype} {tuple(now.shape)}"
                )
        return type(self.state)(**fields)

    def _columns(self, saved: list[str], widths: list[int]) -> Tensor:
        """For each entry of S where it is in the saved one."""
        gone, new = set(saved) - set(self.names), set(self.names) - set(saved)
        if gone or new:
            raise BadInput(
                f"saved state is of another model: {len(gone)} parameters are gone "
                f"{sorted(gone)[:3]}, {len(new)} are new {sorted(new)[:3]}"
            )
        start, at = 0, {}
        for name, width in zip(saved, widths, strict=True):
            at[name], start = range(start, start + width), start + width
        for name, width in zip(self.names, self.widths, strict=True):
            if len(at[name]) != width:
                raise BadInput(
                    f"saved state: {name} has {len(at[name])} units there and {width} here"
                )
        return torch.tensor([k for name in self.names for k in at[name]])
