"""Measure, ask the rule, apply: what `Clipper` and `attach` share, and the only place with state.

On the CPU a norm is at hand, so the engine branches on it and touches a gradient only to change
it. Reading a value of an accelerator would wait for its queue, so there the same arithmetic runs
unconditionally, and only the policies that must know read one flag.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from gradwarden.clip import apply
from gradwarden.clip.norm import Powers, joined, powers, widened
from gradwarden.clip.parameters import Found, by_device, find, home_of
from gradwarden.clip.rule import Measured, Rule
from gradwarden.core.errors import BadInput, NonFiniteGradient

OnNonfinite = Literal["skip", "zero", "raise", "keep"]
VERSION = 1


class Clipped(NamedTuple):
    """What a step saw and did. Tensors stay on their device; reading one may wait for it."""

    norm: Tensor  # [] float32, of all gradients together, before clipping
    threshold: Tensor  # [] float32, of what was scaled down most; NaN in a step not finite
    coefficient: Tensor  # [] float32 in [0, 1], the smallest; 0 in a step that was dropped
    finite: Tensor  # [] bool
    powers: Powers
    names: tuple[str, ...]  # of the parameters that have a gradient

    @property
    def culprits(self) -> tuple[str, ...]:
        """Names of the parameters whose gradient is not finite."""
        if bool(self.finite):
            return ()
        sound = self.powers.tensors().float().isfinite().tolist()
        return tuple(name for name, ok in zip(self.names, sound, strict=True) if not ok)

    @property
    def worst(self) -> tuple[tuple[str, float], ...]:
        """The three parameters with the largest gradient norms, those not finite first."""
        norms = self.powers.tensors().tolist()
        pairs = sorted(zip(self.names, norms, strict=True), key=lambda x: (x[1] == x[1], -x[1]))
        return tuple(pairs[:3])


class Decision(NamedTuple):
    """What is to be done to the gradients `found`; nothing is done yet."""

    found: Found
    clipped: Clipped
    thresholds: Tensor  # S
    coefficients: Tensor  # S


class Engine:
    """One rule over `params`; a step is `decide`, then `settle`."""

    def __init__(
        self,
        params: Mapping[str, Tensor],
        rule: Rule[Any],
        on_nonfinite: OnNonfinite = "skip",
        max_skips: int | None = 100,
    ) -> None:
        if on_nonfinite not in get_args(OnNonfinite):
            raise BadInput(
                f"on_nonfinite must be one of {get_args(OnNonfinite)}, got {on_nonfinite!r}"
            )
        if max_skips is not None and max_skips < 1:
            raise BadInput(f"max_skips must be at least 1 step, or None, got {max_skips}")
        if not (hasattr(rule, "step") and hasattr(rule, "init") and hasattr(rule, "scope")):
            raise BadInput(f"expected a rule such as MaxNorm(1.0), got {rule!r}")
        self.rule, self.on_nonfinite, self.max_skips = rule, on_nonfinite, max_skips
        self.names, self.params = list(params), list(params.values())
        self.home = home_of(self.params)
        self.steps = 0
        self.skips = torch.zeros((), dtype=torch.int64, device=self.home)  # in a row, up to now
        self.state = rule.init(self._like())

    @property
    def at_hand(self) -> bool:
        """Values can be read without waiting for a device."""
        return self.home.type == "cpu"

    def _like(self) -> Tensor:
        shape = () if self.rule.scope == "total" else (len(self.params),)
        return torch.zeros(shape, device=self.home)

    # Measure -------------------------------------------------------------------------------------

    def _measure(self, found: Found) -> Powers:
        p = float("inf") if self.rule.scope == "element" else self.rule.needs.p
        measured = joined([powers(g, p) for g in by_device(found.grads)], self.home)
        if p < float("inf") and self.at_hand and not measured.total().float().isfinite():
            return widened(found.grads, p)  # are the gradients not finite, or only their squares?
        return measured

    def _seen(self, found: Found, measured: Powers) -> Measured:
        total = measured.total().float()
        if self.rule.scope == "total":
            return Measured(norms=total, total=total)
        norms = measured.tensors().float()
        if not found.whole:
            norms = norms.new_zeros(len(self.params)).index_copy(0, self._places(found), norms)
        return Measured(norms=norms, total=total)

    def _places(self, found: Found) -> Tensor:
        """Index [T'] of the parameters that have a gradient, among all."""
        return torch.tensor(found.places, device=self.home)

    # Decide --------------------------------------------------------------------------------------

    @torch.no_grad()
    def decide(self) -> Decision | None:
        """The rule's answer to the gradients that exist now; None where there are none."""
        found = find(self.params)
        if not found.grads:
            return None
        self.steps += 1
        seen = self._seen(found, measured := self._measure(found))
        finite = seen.total.isfinite()
        self.skips = torch.where(finite, 0, self.skips + 1)
        names = tuple(self.names[i] for i in found.places)
        if self.at_hand:
            thresholds = self._branch(found, seen, bool(finite))
        else:
            thresholds = self._unconditional(found, seen, finite)
        thresholds = thresholds.expand_as(seen.norms)
        cut = seen.norms > thresholds
        coefficients = torch.where(cut, thresholds / seen.norms, torch.ones_like(seen.norms))
        threshold, coefficient = thresholds, coefficients
        if coefficients.ndim:
            most = coefficients.argmin(0, keepdim=True)
            threshold, coefficient = (
                x.gather(0, most).squeeze(0) for x in (thresholds, coefficients)
            )
        if self.on_nonfinite in ("skip", "zero"):
            coefficient = torch.where(finite, coefficient, 0.0)
        clipped = Clipped(seen.total, threshold, coefficient, finite, measured, names)
        return Decision(found, clipped, thresholds, coefficients)

    def _branch(self, found: Found, seen: Measured, finite: bool) -> Tensor:
        if not finite:
            return torch.full_like(seen.total, torch.nan)
        thresholds, new = self.rule.step(seen, self.state)
        self.state = new if found.whole or not seen.norms.ndim else self._kept(found, new)
        return thresholds

    def _unconditional(self, found: Found, seen: Measured, finite: Tensor) -> Tensor:
        safe = seen._replace(
            norms=torch.where(finite, seen.norms, 1.0), total=torch.where(finite, seen.total, 1.0)
        )
        thresholds, new = self.rule.step(safe, self.state)
        if seen.norms.ndim and not found.whole:
            new = self._kept(found, new)
        self.state = type(new)(
            *(torch.where(finite, *pair) for pair in zip(new, self.state, strict=True))
        )
        return torch.where(finite, thresholds, torch.nan)

    def _kept(self, found: Found, new: Any) -> Any:
        """`new`, but as it was for parameters without a gradient."""
        present = torch.zeros(len(self.params), dtype=torch.bool, device=self.home)
        present.index_fill_(0, self._places(found), True)
        return type(new)(
            *(torch.where(present, *pair) for pair in zip(new, self.state, strict=True))
        )

    # Apply ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def settle(self, decision: Decision) -> bool:
        """Clips in place. True: the step is to be skipped, and the gradients were left alone.

        Raises NonFiniteGradient by policy "raise", or after `max_skips` such steps in a row.
        """
        finite = decision.clipped.finite
        if self.at_hand or self.on_nonfinite in ("skip", "raise"):
            if not finite:  # the one flag that an accelerator is asked for
                return self._nonfinite(decision)
            if self.at_hand and decision.clipped.coefficient == 1.0:
                return False
            self._clip(decision, decision.coefficients, decision.thresholds)
            return False
        ones = torch.ones_like(decision.coefficients)
        self._clip(
            decision,
            torch.where(finite, decision.coefficients, ones),
            torch.where(finite, decision.thresholds, torch.inf),
        )
        if self.on_nonfinite == "zero":
            apply.wipe(decision.found.params, finite.logical_not())
        return False

    def _nonfinite(self, decision: Decision) -> bool:
        if self.on_nonfinite == "raise":
            raise NonFiniteGradient(f"step {self.steps}: {_blame(decision.clipped)}")
        if self.on_nonfinite == "keep":
            return False
        self.check(decision.clipped)
        if self.on_nonfinite == "zero":
            apply.wipe(decision.found.params, decision.clipped.finite.logical_not())
            return False
        return True

    def _clip(self, decision: Decision, coefficients: Tensor, thresholds: Tensor) -> None:
        found = decision.found
        if self.rule.scope == "total":
            apply.scale(found.params, float(coefficients) if self.at_hand else coefficients)
            return
        values = thresholds if self.rule.scope == "element" else coefficients
        each = values.unbind()
        chosen = each if found.whole else [each[i] for i in found.places]
        change = apply.bound if self.rule.scope == "element" else apply.scale_each
        change(found.params, chosen)

    def check(self, last: Clipped) -> None:
        """Raises NonFiniteGradient after `max_skips` steps in a row; reads the count."""
        if self.max_skips is not None and int(self.skips) >= self.max_skips:
            raise NonFiniteGradient(
                f"step {self.steps}: {int(self.skips)} steps in a row had a gradient that is not "
                f"finite; in the last, {_blame(last)}"
            )

    # Save and restore ----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and names only: `torch.load(weights_only=True)` reads it."""
        return {
            "version": VERSION,
            "rule": repr(self.rule),
            "names": list(self.names),
            "state": {k: v.clone() for k, v in self.state._asdict().items()},
            "steps": self.steps,
            "skips": int(self.skips),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Parameters may come in another order. Raises BadInput; nothing is changed then."""
        for key, want in (("version", VERSION), ("rule", repr(self.rule))):
            if saved.get(key) != want:
                raise BadInput(f"saved state: expected {key} {want!r}, got {saved.get(key)!r}")
        columns = None
        if self.rule.scope != "total":
            columns = _columns(saved["names"], self.names).to(self.home)
        fields: dict[str, Tensor] = {}
        for key, now in self.state._asdict().items():
            value = saved["state"][key].to(self.home)
            fields[key] = value.clone() if columns is None else value.index_select(-1, columns)
            if fields[key].dtype != now.dtype or value.ndim != now.ndim:
                raise BadInput(
                    f"saved state: {key} is {value.dtype} {tuple(value.shape)}, expected "
                    f"{now.dtype} {tuple(now.shape)}"
                )
        self.state = type(self.state)(**fields)
        self.steps = int(saved["steps"])
        self.skips = torch.full_like(self.skips, int(saved["skips"]))


def _columns(saved: list[str], now: list[str]) -> Tensor:
    if set(saved) != set(now):
        gone, new = sorted(set(saved) - set(now)), sorted(set(now) - set(saved))
        raise BadInput(
            f"saved state is of another model: {len(gone)} parameters are gone {gone[:3]}, "
            f"{len(new)} are new {new[:3]}"
        )
    place = {name: i for i, name in enumerate(saved)}
    return torch.tensor([place[name] for name in now])


def _blame(clipped: Clipped) -> str:
    names = clipped.culprits
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    if not names:
        return f"the gradient norm is {float(clipped.norm)}"
    return f"the gradient is not finite in {', '.join(names[:5])}{more}"
