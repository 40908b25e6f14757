"""The hook form: attached to an optimizer once, the training loop stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from gradwarden import __version__
from gradwarden.clip.assign import Assignment, Rules, assign
from gradwarden.clip.dumper import Dumper
from gradwarden.clip.engine import Engine, OnNonfinite
from gradwarden.clip.guard import Guard
from gradwarden.clip.parameters import named
from gradwarden.clip.record import Header, Sink
from gradwarden.clip.recorder import Recorder
from gradwarden.clip.rules.adaptive import Adaptive
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.core.errors import BadInput

__all__ = ["Guard", "attach"]

DEFAULT = Adaptive()


def attach(
    optimizer: torch.optim.Optimizer,
    rule: Rules = DEFAULT,
    *,
    model: nn.Module | None = None,
    on_nonfinite: OnNonfinite = "skip",
    max_skips: int | None = 100,
    record: Sink | Sequence[Sink] | None = None,
    dump: str | Path | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> Guard:
    """From now on every `optimizer.step()` measures, guards and clips the gradients first.

    `model` gives the parameters their names in reports and for name patterns. `rule` None measures
    and never clips; with `on_nonfinite="keep"` nothing at all is changed. See Clipper for `rule`,
    `on_nonfinite` and `max_skips`.

    `record` is a file that gets a line of JSON a step, or a callable that gets the entry, or several
    of them. `dump` is a folder that gets, where a step is lost, what it takes to compute it again:
    see Guard.observe. On an accelerator each step then reads one flag.

    GradScaler, gradient accumulation, closures and fused optimizers need no further words: norms
    are of the gradients that the optimizer is about to use. Where `rule` is a MaxNorm, a parameter
    group with an entry "max_norm" is clipped by itself, to what is there at each step: a scheduler
    may change it. A step that a GradScaler withholds reaches no optimizer that is not fused: given as
    `scaler`, it is counted in `guard.withheld` and an event of the record. The state travels inside `optimizer.state_dict()`. Raises BadInput.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise BadInput(f"expected a torch optimizer, got {type(optimizer).__name__}")
    for hook in optimizer._optimizer_step_pre_hooks.values():
        if isinstance(getattr(hook, "__self__", None), Guard):
            raise BadInput("this optimizer has a guard already: detach that one first")
    params = named(_names(optimizer, model))
    assigned = _by_group(optimizer, rule, params) or assign(rule, params)
    engine = Engine(assigned, on_nonfinite, max_skips)
    recorder = dumper = None
    if record is not None or dump is not None:
        sinks = [record] if isinstance(record, str | Path) or callable(record) else record or []
        header = Header(__version__, repr(rule), type(optimizer).__name__, tuple(engine.names))
        recorder = Recorder(sinks, header, engine.home.device)
        dumper = None if dump is None else Dumper(dump, model, recorder)
    return Guard(optimizer, rule, engine, recorder, dumper, scaler)


def _names(optimizer: torch.optim.Optimizer, model: nn.Module | None) -> list[tuple[str, Tensor]]:
    """All parameters of the optimizer, under the names of the model where it has them."""
    known = {} if model is None else {id(p): name for name, p in model.named_parameters()}
    pairs = []
    for g, group in enumerate(optimizer.param_groups):
        own = group.get("param_names") or [None] * len(group["params"])
        for i, (p, name) in enumerate(zip(group["params"], own, strict=True)):
            pairs.append((known.get(id(p)) or name or f"group {g} parameter {i}", p))
    return pairs


def _by_group(
    optimizer: torch.optim.Optimizer, rule: Rules, params: Mapping[str, Tensor]
) -> list[Assignment]:
    """One rule for each parameter group, where one has a "max_norm" of its own; else none."""
    if not any("max_norm" in group for group in optimizer.param_groups):
        return []
    if not isinstance(rule, MaxNorm):
        raise BadInput(f'parameter groups with "max_norm" need the rule MaxNorm, got {rule!r}')
    names = {id(p): name for name, p in params.items()}
    return [
        (
            replace(rule, max_norm=float(group.get("max_norm", rule.max_norm))),
            {names[id(p)]: p for p in group["params"]},
        )
        for group in optimizer.param_groups
    ]
