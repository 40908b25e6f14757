"""What other tools say of a model's gradient, each as one call: masked, not masked, or no answer.

AutoAttack's flags and ART's gradient check are run by their own packages (`pyautoattack`,
`adversarial-robustness-toolbox`). The indicators of attack failure and the index of one FGSM step
against black boxes are in no package that can be installed beside ours; they are written here by
their published formulas, faults and all. Each takes a few seconds on 100 samples of a small model.
`python benchmarks/audit_rivals.py MODEL ...` prints what they say of models of the zoo, blind.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from gradwarden.attack.chance import seeded
from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.spsa import SPSA
from gradwarden.attack.square import Square
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat

SAMPLES = 100
NORMS: dict[type, str] = {Linf: "Linf", L2: "L2", L1: "L1"}
FLAGS = {  # words of AutoAttack's warnings
    "randomized": "randomised",
    "probability distribution": "probability output",
    "zero gradient": "zero gradients",
    "Square Attack has decreased": "Square improves",
    "dynamic": "inner optimisation",
}


class Called(NamedTuple):
    """A tool's answer; None: it abstains or crashed."""

    masked: bool | None
    says: str


class Rival(Protocol):
    """On x [N, ...], y [N]; raises nothing, and leaves no draw behind."""

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int = 0
    ) -> Called: ...


def answering(tool: Callable[[nn.Module, Tensor, Tensor, Threat, int], Called]) -> Rival:
    """`tool`, for which to crash is an answer too."""

    @functools.wraps(tool)
    def rival(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int = 0) -> Called:
        try:
            with seeded(x.device, seed, "rival"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return tool(model, x.clone(), y.clone(), threat, seed)
        except Exception as why:  # noqa: BLE001 - a tool that cannot take the model has no answer
            line = (str(why).strip().splitlines() or [""])[0]
            return Called(None, f"crashed: {type(why).__name__}: {line[:120]}")

    return rival


# AutoAttack


@answering
def autoattack_flags(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Called:
    """Any of its flags but that of the number of classes: an attack list that fits is given to it.

    APGD on both losses for 20 steps and 200 queries of Square, not 100 and 5,000.
    """
    norm = NORMS.get(type(threat.ball))
    if norm is None or threat.constraints is not None or threat.box != (0.0, 1.0):
        return Called(None, "abstains: it takes Linf, L2 and L1 in the box [0, 1] alone")
    package: Any = import_module("pyautoattack")
    checks: Any = import_module("pyautoattack.checks")
    checks.funcs.update(dict.fromkeys(checks.funcs, 0))  # it never forgets a model by itself
    attacks = ["apgd-ce", "apgd-dlr", "square"]
    with torch.no_grad():
        if model(x[:2].clone()).shape[1] < 3:
            attacks.remove("apgd-dlr")
    judge = package.AutoAttack(
        _Flat(model, x), norm=norm, eps=threat.ball.radius, seed=seed, version="custom",
        attacks=attacks,
    )  # fmt: skip
    judge.apgd.n_restarts, judge.apgd.n_iter, judge.square.n_queries = 1, 20, 200
    flags, crash = _flags(lambda: judge.run_standard_evaluation(_as_image(x), y))
    if crash is not None and not flags:
        raise crash
    return Called(bool(flags), ", ".join(flags) or "no flag")


def _flags(run: Callable[[], object]) -> tuple[list[str], Exception | None]:
    """The flags that are raised, those before a crash too."""
    crash, tracing = None, sys.gettrace()  # the check of inner optimisation ends other tracers
    with _heard("auto-attack") as lines:
        try:
            run()
        except Exception as why:  # noqa: BLE001 - what was said before it counts
            crash = why
        finally:
            sys.settrace(tracing)
    return [name for word, name in FLAGS.items() if any(word in line for line in lines)], crash


class _Flat(nn.Module):
    """Takes images, and gives the model samples of its own shape."""

    def __init__(self, model: nn.Module, x: Tensor) -> None:
        super().__init__()
        self.model, self.shape = model, x.shape[1:]
        self.training = model.training

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x.reshape(len(x), *self.shape))
        return out


def _as_image(x: Tensor) -> Tensor:
    """[N, ...] -> [N, C, H, W]; a series is an image of width 1, a table one of a single pixel."""
    return x.reshape(*x.shape, *[1] * (4 - x.ndim))


@contextlib.contextmanager
def _heard(logger: str) -> Iterator[list[str]]:
    """The warnings that a package logs inside; nothing is printed."""
    lines: list[str] = []
    ear = logging.Handler(logging.WARNING)
    ear.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger(logger)
    onward, log.propagate = log.propagate, False
    log.addHandler(ear)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield lines
    finally:
        log.removeHandler(ear)
        log.propagate = onward


# Indicators of attack failure


@answering
def ioaf(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Called:
    """Any of five indicators, by their formulas; the fifth of six needs a surrogate by hand.

    The attack is PGD on the cross-entropy that returns its last point, 40 steps of a tenth of the
    radius from x. Source: Pintor et al. 2022, arXiv:2106.09947.
    """
    del seed
    with torch.no_grad():
        right = model(x.clone()).argmax(1) == y
    x, y = x[right], y[right]
    if not len(x):
        return Called(None, "abstains: no sample is classified right")
    told = {"unavailable gradients": _zero_anywhere(model, x, y)}
    told["unstable predictions"] = _mean_change(model, x, y, threat) > 0.1
    losses, missed = _descent(model, x, y, threat)
    told["silent success"] = bool((missed[:-1].any(0) & ~missed[-1]).any())
    told["incomplete optimisation"] = bool((_late(losses) > 0.05).any())
    wide = _boxed(threat, x)
    if wide is not None:
        _, missed = _descent(model, x, y, wide)
        told["unconstrained failure"] = not bool(missed.any())
    flags = [name for name, flagged in told.items() if flagged]
    return Called(bool(flags), ", ".join(flags) or "no indicator")


def _zero_anywhere(model: nn.Module, x: Tensor, y: Tensor) -> bool:
    """Backward raises, or one sample's gradient is exactly zero."""
    grad = _gradient(model, x, y)
    return grad is None or bool((~grad.flatten(1).any(1)).any())


def _gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor | None:
    leaf = x.clone().requires_grad_()
    try:
        (grad,) = torch.autograd.grad(cross_entropy(model(leaf), y, reduction="sum"), leaf)
    except RuntimeError:
        return None
    found: Tensor = grad
    return found


def _mean_change(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> float:
    """Of the loss, over itself, within half the radius; one mean over 100 draws and all samples."""
    changes = []
    low, high = threat.ends(x)
    with torch.no_grad():
        here = cross_entropy(model(x.clone()), y, reduction="none")
        for _ in range(100):
            near = x + (torch.rand_like(x) - 0.5) * threat.ball.radius
            there = cross_entropy(model(near.clamp(low, high)), y, reduction="none")
            change = ((here - there).abs() / here.abs()).nan_to_num(nan=1.0, posinf=1.0)
            changes.append(change.clamp(max=1.0).mean())
    return float(torch.stack(changes).mean())


def _descent(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> tuple[Tensor, Tensor]:
    """Losses and whether the model is wrong, [41, N], at each point of PGD."""
    point, losses, missed = x, [], []
    for step in range(41):
        with torch.no_grad():
            logits = model(threat.repair(point, x).clone())
        losses.append(cross_entropy(logits, y, reduction="none"))
        missed.append(logits.argmax(1) != y)
        if step < 40:
            grad = _gradient(model, point, y)
            if grad is not None:
                point = threat.step(point, grad.nan_to_num(), 0.1, x)
    return torch.stack(losses), torch.stack(missed)


def _late(losses: Tensor) -> Tensor:
    """[N] the rise of the best loss, scaled to [0, 1], in the last 10 steps; NaN for a flat one."""
    best = losses.cummax(0).values
    return (best[-1] - best[-11]) / (losses.amax(0) - losses.amin(0))


def _boxed(threat: Threat, x: Tensor) -> Threat | None:
    """The threat with a ball that reaches across the box."""
    low, high = threat.ends(x)
    size = float(threat.ball.size((high - low).expand_as(x)).max())
    if not isinstance(threat.ball, Linf | L2 | L1) or size == float("inf"):
        return None
    return replace(threat, ball=type(threat.ball)(max(size, threat.ball.radius)))


# ART


@answering
def art_gradient_check(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Called:
    """Any sample whose gradient its `loss_gradient_check` calls bad: zero, NaN or infinite."""
    del seed
    estimators: Any = import_module("art.estimators.classification")
    metrics: Any = import_module("art.metrics.gradient_check")
    low, high = threat.box
    with torch.no_grad():
        classes = model(x[:2].clone()).shape[1]
    estimator = estimators.PyTorchClassifier(
        model,
        nn.CrossEntropyLoss(),
        tuple(x.shape[1:]),
        classes,
        clip_values=(low, high) if isinstance(low, float) and isinstance(high, float) else None,
        device_type="cpu",
    )
    labels = one_hot(y, classes).float()  # one sample's class index alone is misread
    bad = metrics.loss_gradient_check(estimator, x.numpy(), labels.numpy(), verbose=False)
    zero, nan, infinite = (int(column.sum()) for column in bad.T)
    says = f"of {len(x)} gradients {zero} are zero, {nan} NaN, {infinite} infinite"
    return Called(bool(bad.any()), says)


# One FGSM step against black boxes


@answering
def fgsm_against_black_box(
    model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int
) -> Called:
    """1 - white / black of the shares that fall, masked from 0.2: one FGSM step against the best of
    NES (20 steps of 10 queries) and Square (100 queries). Where both find nothing, "genuine".

    Source: the index of RednBlue 3.4, which is proprietary, by its description.
    """
    fgsm = FGSM().run(model, x, y, threat, seed=seed)
    clean = fgsm.success & (fgsm.x_adv == x).flatten(1).all(1)
    if clean.all():
        return Called(None, "abstains: no sample is classified right")
    nes = SPSA(steps=20, pairs=5, directions="normal", step_size=0.02)
    found = [a.run(model, x, y, threat, seed=seed) for a in (nes, Square(queries=100))]
    white = float(fgsm.success[~clean].float().mean())
    black = max(float(one.success[~clean].float().mean()) for one in found)
    if not black:
        return Called(False, "genuine: neither NES nor Square finds anything")
    index = max(0.0, 1 - white / black)
    says = f"index {index:.2f}: one step breaks {white:.0%}, black boxes {black:.0%}"
    return Called(index >= 0.2, says)


RIVALS: dict[str, Rival] = {
    "AutoAttack's flags": autoattack_flags,
    "IoAF": ioaf,
    "ART's gradient check": art_gradient_check,
    "FGSM against black boxes": fgsm_against_black_box,
}


def main(names: list[str]) -> None:
    zoo: Any = import_module("gradwarden.zoo")
    torch.set_num_threads(1)
    for name in names or ["digits-bit-depth", "digits-distilled", "digits-input-noise"]:
        x, y = (part[:SAMPLES] for part in zoo.data(name))
        print(f"{name}, masked: {zoo.answers(name).masked}")
        for title, rival in RIVALS.items():
            began = time.perf_counter()
            said = rival(zoo.load(name, blind=True), x, y, zoo.entry(name).threat)
            word = {True: "masked", False: "not masked", None: "no answer"}[said.masked]
            print(f"  {title}: {word} ({said.says}), {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
