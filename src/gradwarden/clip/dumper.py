"""Watches for a step that is lost, and keeps what it takes to compute it again until then."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradwarden.clip.dump import REST, Dump, Pass, Rng, need_safetensors, write_dump
from gradwarden.clip.engine import Decision
from gradwarden.clip.recorder import Recorder
from gradwarden.core.errors import BadInput

MOST = 3  # dumps in a folder: a run that goes wrong again and again must not fill the disk
TAIL = 256  # rows of the recorder in a dump
PASSES = 256  # of one step; what lies further back is forgotten


class Dumper:
    """Writes `folder`/step-N where a step is lost; of several in a row, the first only.

    The random states are taken as the model's forward begins, so it must be called as a module.
    """

    def __init__(self, folder: str | Path, model: nn.Module | None, recorder: Recorder) -> None:
        need_safetensors()
        if not isinstance(model, nn.Module):
            raise BadInput("dump= needs model= as well: its weights and buffers are what is dumped")
        self.folder = Path(folder)
        self._model, self._recorder = model, recorder
        self._plain: nn.Module = getattr(model, "_orig_mod", model)  # of a compiled one
        self._params = list(model.parameters())
        self._devices = sorted({p.device.index or 0 for p in self._params if p.is_cuda})
        self._rng: Rng | None = None
        self._autocast: dict[str, str] = {}
        self._passes: list[tuple[Any, Tensor | float, Rng | None, dict[str, str]]] = []
        self._lost_before = False
        self._hook = model.register_forward_pre_hook(self._begins)
        if self._left() <= 0:
            warnings.warn(
                f"{folder} holds {MOST} dumps already: no more are written until some are moved",
                stacklevel=4,
            )

    def _left(self) -> int:
        return MOST - len(list(self.folder.glob(f"step-*/{REST}")))

    def _begins(self, module: nn.Module, args: object) -> None:
        """Of the first forward after a backward; validation has no say."""
        if not torch.is_grad_enabled():
            return
        if self._passes and all(p.grad is None for p in self._params):
            self._passes.clear()  # their step was withheld, by GradScaler for one
        if self._rng is None:
            self._rng = rng_now(self._devices)
            self._autocast = {
                kind: str(torch.get_autocast_dtype(kind)).removeprefix("torch.")
                for kind in ("cpu", "cuda")
                if torch.is_autocast_enabled(kind)
            }

    _begins._torchdynamo_disable = True  # type: ignore[attr-defined]  # as the hooks of Guard

    def observe(self, loss: Tensor | float, batch: Any) -> None:
        """Keeps a reference to `batch` until the step; nothing is copied."""
        if batch is not None:
            value = loss.detach() if isinstance(loss, Tensor) else loss
            self._passes = [*self._passes[1 - PASSES :], (batch, value, self._rng, self._autocast)]
        self._rng = None

    def see(self, step: int, decision: Decision, scale: Tensor | None, found: object) -> None:
        """Before a step is applied; reads whether it is lost.

        `found` is GradScaler's flag of an overflow, where it left one: that is its way to find a
        scale, and no accident unless the loss itself is not finite.
        """
        lost = not decision.clipped.finite or bool(decision.drop is not None and decision.drop)
        passes, self._passes, self._rng = self._passes, [], None
        first, self._lost_before = lost and not self._lost_before, lost
        if not first or (isinstance(found, Tensor) and found and not _any_lost(passes)):
            return
        if self._left() > 0:
            self._write(step, decision, 1.0 if scale is None else float(scale), passes)

    def _write(self, step: int, decision: Decision, scale: float, passes: list[Any]) -> None:
        """A dump that fails costs a warning, never the run."""
        from safetensors import SafetensorError

        self._recorder.flush()
        weights = dict(self._plain.named_parameters()) | dict(self._plain.named_buffers())
        try:
            dump = Dump(
                step=step,
                header=self._recorder.header,
                culprits=decision.clipped.culprits,
                scale=scale,
                training=tuple(n for n, m in self._plain.named_modules() if m.training),
                weights=weights,
                passes=tuple(Pass(b, float(v), r, a) for b, v, r, a in passes),
                tail=tuple(self._recorder.rows)[-TAIL:],
                environment={},
            )
            write_dump(dump, self.folder / f"step-{step}")
        except (OSError, TypeError, ValueError, RuntimeError, SafetensorError) as why:
            warnings.warn(f"no dump of step {step}: {why}", stacklevel=2)

    def close(self) -> None:
        self._hook.remove()


def rng_now(devices: list[int]) -> Rng:
    numpy: Any = np.random.get_state(legacy=True)
    return Rng(
        torch.get_rng_state(),
        {d: torch.cuda.get_rng_state(d) for d in devices},
        random.getstate(),
        numpy,
    )


def _any_lost(passes: list[Any]) -> bool:
    return any(not torch.as_tensor(loss).isfinite() for _, loss, *_ in passes)
