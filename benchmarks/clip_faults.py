"""What each clipping rule does when a run goes wrong, and how long until it is right again.

Every contender clips the same gradients, whose norms follow a script: 200 ordinary log-normal
norms (sigma 0.3, level 1), a fault, 300 ordinary ones, and at the end a spike of 100 times the
level. A step is *right* where the coefficient is within a factor of 2 of what a fresh copy of the
same contender gives on the same norms without the fault. A cell holds the steps until ten in a row
are right, and 95 % of all that are left. "blind" says that the last spike passed with more than a
tenth of its norm, "lost" that a parameter became NaN or infinite.

`python benchmarks/clip_faults.py` prints the table and keeps it in benchmarks/results.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from gradwarden.clip.assign import Rules
from gradwarden.clip.clipper import Clipper
from gradwarden.clip.rules.adagc import AdaGC
from gradwarden.clip.rules.adaptive import Adaptive
from gradwarden.clip.rules.agc import AGC
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.rules.max_value import MaxValue
from gradwarden.clip.rules.median_multiple import MedianMultiple
from gradwarden.clip.rules.quantile import Quantile
from gradwarden.clip.rules.skip_spikes import SkipSpikes
from gradwarden.clip.rules.zscore import ZScore
from gradwarden.clip.transforms.stable_spam import StableSPAM
from gradwarden.clip.transforms.u_clip import UClip
from gradwarden.core.provenance import environment

BEFORE, AFTER, SPIKE = 200, 300, 100.0
MENDED = (Adaptive(), Quantile(), ZScore(), MedianMultiple(), SkipSpikes(), AdaGC())
RESULTS = Path(__file__).parent / "results" / "clip_faults.md"


class Contender(Protocol):
    """Clips the gradient of `w` in place, or sets it to None."""

    w: nn.Parameter

    def clip(self) -> None: ...
    def resumed(self) -> Contender:
        """A new one with whatever a checkpoint of this one keeps."""
        ...


class Ours:
    def __init__(self, rule: Rules, w: nn.Parameter) -> None:
        self.rule, self.w = rule, w
        self.clipper = Clipper([("w", w)], rule, max_skips=None)

    def clip(self) -> None:
        self.clipper.step()

    def resumed(self) -> Ours:
        new = Ours(self.rule, self.w)
        new.clipper.load_state_dict(self.clipper.state_dict())
        return new


@dataclass
class Theirs:
    """Another's clipper, made by `make`; a resumed one starts anew, though some can save state."""

    make: Callable[[nn.Parameter], Callable[[], object]]
    w: nn.Parameter

    def __post_init__(self) -> None:
        self.call = self.make(self.w)

    def clip(self) -> None:
        self.call()

    def resumed(self) -> Theirs:
        return replace(self)


class ZClip:
    """The authors' arithmetic with python numbers, no guards: mode "adaptive", no fixed bound."""

    def __init__(self, w: nn.Parameter) -> None:
        self.w, self.first, self.mean, self.var = w, list[float](), math.nan, math.nan

    def __call__(self) -> None:
        assert self.w.grad is not None
        norm = float(self.w.grad.norm())
        if len(self.first) < 25:
            self.first.append(norm)
            if len(self.first) == 25:
                self.mean = sum(self.first) / 25
                self.var = sum((x - self.mean) ** 2 for x in self.first) / 25
            return
        z = (norm - self.mean) / (math.sqrt(self.var) + 1e-6)
        fed = norm
        if z > 2.5:
            fed = self.mean + 2.5**2 * math.sqrt(self.var) / z
            self.w.grad.mul_(fed / (norm + 1e-6))
        self.mean = 0.97 * self.mean + 0.03 * fed
        self.var = 0.97 * self.var + 0.03 * (fed - self.mean) ** 2


def autoclip(w: nn.Parameter, name: str) -> Callable[[], object]:
    module, cls = name.split(":")
    made = getattr(import_module(f"autoclip.torch.{module}"), cls)([w], global_threshold=True)
    return lambda: made.step()


def smartclip(w: nn.Parameter, cls: str) -> Callable[[], object]:
    package = import_module("smartclip")
    model, clipper = nn.Module(), getattr(package, cls)()
    model.w = w
    return lambda: package.apply(model, clipper)


def adagc(w: nn.Parameter) -> Callable[[], object]:
    """Clips inside its optimizer: the coefficient is what its own running mean says."""
    optimizer = import_module("pytorch_optimizer").AdaGC([w], lr=1e-6)

    def call() -> None:
        assert w.grad is not None
        norm = w.grad.norm()
        gamma = optimizer.state[w].get("gamma", torch.tensor(math.inf))
        early = optimizer.param_groups[0].get("step", 0) + 1 < 100
        optimizer.step()
        bound = 1.0 if early else 1.05 * float(gamma)
        w.grad.mul_(min(1.0, bound / float(norm)) if norm > 0 else 1.0)

    return call


def contenders() -> dict[str, Callable[[nn.Parameter], Contender]]:
    rules: list[Any] = [
        Adaptive(),
        MaxNorm(2.0),
        MaxValue(1.0),
        Quantile(),
        ZScore(),
        ZScore(reference=True),
        MedianMultiple(),
        MedianMultiple(reference=True),
        SkipSpikes(),
        SkipSpikes(reference=True),
        AdaGC(),
        AdaGC(reference=True),
        AGC(),
        StableSPAM(),
        UClip(MaxNorm(2.0)),
    ]
    found: dict[str, Callable[[nn.Parameter], Contender]] = {
        f"{rule!r}": lambda w, rule=rule: Ours(rule, w)  # type: ignore[misc]
        for rule in rules
    }
    others: dict[str, Callable[[nn.Parameter], Callable[[], object]]] = {
        "torch clip_grad_norm_(2.0)": lambda w: lambda: nn.utils.clip_grad_norm_([w], 2.0),
        "ZClip, its formula": ZClip,
        "autoclip QuantileClip": lambda w: autoclip(w, "quantile:QuantileClip"),
        "autoclip StandardClip": lambda w: autoclip(w, "std:StandardClip"),
        "smartclip AutoClip": lambda w: smartclip(w, "AutoClip"),
        "smartclip ZScoreClip": lambda w: smartclip(w, "ZScoreClip"),
        "pytorch_optimizer AdaGC": adagc,
    }
    for name, make in others.items():
        found[name] = lambda w, make=make: Theirs(make, w)  # type: ignore[misc]
    return found


@dataclass
class Script:
    """Norms of a run; `fresh` are those of a run without the fault, ending alike."""

    norms: list[float]
    fresh: list[float]
    resume: bool = False


def scripts() -> dict[str, Script]:
    rng = np.random.default_rng(0)
    first: list[float] = rng.lognormal(0, 0.3, BEFORE).tolist()
    tail: list[float] = rng.lognormal(0, 0.3, AFTER).tolist()

    def script(fault: list[float], level: float = 1.0, early: int | None = None) -> Script:
        end = [level * n for n in tail] + [SPIKE * level]
        start = list(first)
        if early is not None:
            start[early:early] = fault
            fault = []
        return Script(start + fault + end, [level * n for n in first] + end)

    decay = [n * 0.01 ** (i / AFTER) for i, n in enumerate(tail)]
    return {
        "NaN": script([math.nan]),
        "inf": script([math.inf]),
        "NaN in warm-up": script([math.nan], early=5),
        "x1000 spike": script([1000.0]),
        "3 spikes": script([1000.0] * 3),
        "level x4": script([], 4.0),
        "level x0.25": script([], 0.25),
        "decay to x0.01": script(decay, 0.01),
        "resume": replace(script([]), resume=True),
    }


def gradient(norm: float, i: int) -> Tensor:
    g = torch.randn(16, generator=torch.manual_seed(i))
    g *= norm / g.norm() if math.isfinite(norm) else 1.0
    if not math.isfinite(norm):
        g[3] = norm
    return g


def run(
    make: Callable[[nn.Parameter], Contender], norms: list[float], resume: bool = False
) -> tuple[list[float], bool]:
    """Coefficient of each step, NaN where the gradient became NaN, and whether w was lost."""
    w = nn.Parameter(torch.ones(16))
    contender, coefficients = make(w), []
    for i, norm in enumerate(norms):
        if resume and i == BEFORE:
            contender = contender.resumed()
        # The same gradient for the same place before the end, with or without the fault.
        w.grad = gradient(norm, len(norms) - i)
        contender.clip()
        after = 0.0 if w.grad is None else float(w.grad.norm())
        coefficients.append(after / norm)
        if w.grad is not None:
            w.data -= 1e-6 * w.grad
    return coefficients, not bool(w.isfinite().all())


def cell(make: Callable[[nn.Parameter], Contender], script: Script) -> tuple[str, bool]:
    """What the table shows, and whether the contender came back."""
    got, lost = run(make, script.norms, script.resume)
    want, _ = run(make, script.fresh)
    tail, fresh = got[-AFTER - 1 :], want[-AFTER - 1 :]
    right = [
        math.isfinite(a) and (a == b or (a > 0 and b > 0 and 0.5 <= a / b <= 2.0))
        for a, b in zip(tail[:-1], fresh[:-1], strict=True)
    ]
    steps = next(
        (k for k in range(AFTER - 20) if all(right[k : k + 10]) and np.mean(right[k:]) >= 0.95),
        None,
    )
    blind = not tail[-1] <= 0.1
    text = "never" if steps is None else str(steps)
    return text + ", blind" * blind + ", lost" * lost, steps is not None and not blind and not lost


def share_clipped(make: Callable[[nn.Parameter], Contender], norms: list[float]) -> str:
    """Share of ordinary steps of which less than 9/10 is left, after 128."""
    got, _ = run(make, norms)
    return f"{100 * np.mean([not c >= 0.9 for c in got[128:]]):.1f} %"


def render() -> str:
    faults = scripts()
    rng = np.random.default_rng(1)
    ordinary: list[float] = rng.lognormal(0, 0.3, 1000).tolist()
    heavy: list[float] = (1 + rng.pareto(1.5, 1000)).tolist()
    head = ["contender", *faults, "ordinary steps clipped", "Pareto norms clipped"]
    lines, back = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)], {}
    for name, make in contenders().items():
        cells = [cell(make, script) for script in faults.values()]
        back[name] = [ok for _, ok in cells]
        shares = [share_clipped(make, norms) for norms in (ordinary, heavy)]
        lines.append("| " + " | ".join([f"`{name}`", *(t for t, _ in cells), *shares]) + " |")
    default = "met" if all(back["Adaptive()"]) else "**missed**"
    off = [name for name in map(repr, MENDED) if not all(back[name])]
    mended = f"**missed** by {', '.join(off)}" if off else "met"
    where = ", ".join(f"{k} {v}" for k, v in environment().items())
    return "\n".join(
        [
            "# Faults, and the steps until clipping is right again",
            "",
            *(__doc__ or "").split("\n\n")[1].splitlines(),
            "",
            *lines,
            "",
            f"Target: `Adaptive` comes back from all, never blind, nothing lost: {default}.",
            "",
            f"Target: no mended rule stays disabled: {mended}.",
            "",
            where,
        ]
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of a contender that takes the deviation of one value
    text = render() + "\n"
    print(text)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(text)
