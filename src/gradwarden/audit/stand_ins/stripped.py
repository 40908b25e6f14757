"""The model with some of its modules left out: the base that a defence was put around.

Source: Tramer et al. 2020, arXiv:2002.08347, sec. 4 (attacks on a model without the component
that hides the gradient); Carlini et al. 2019, arXiv:1902.06705, sec. 5.
Differs: on any model by the paths of its modules; what comes of it is only a source of transfer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from gradwarden.attack.bpda import module_at
from gradwarden.audit.case import Case, innermost
from gradwarden.core.errors import BadInput


class Stripped(nn.Module):
    """`model` without its modules at `paths`: its values are others. The model stays as it is."""

    def __init__(self, model: nn.Module, paths: Sequence[str]) -> None:
        super().__init__()
        self.model, self.paths = model, tuple(paths)
        self.training = model.training

    def forward(self, x: Tensor) -> Tensor:
        """x [N, ...] -> logits [N, classes] of the base."""
        with stripped(self.model, self.paths):
            logits: Tensor = self.model(x)
        return logits

    def __repr__(self) -> str:
        return f"Stripped(paths={self.paths})"


@contextmanager
def stripped(model: nn.Module, paths: Sequence[str]) -> Iterator[None]:
    """Within, the modules at `paths` hand on what they are given and do not run.

    Raises BadInput for an unknown path, and for the whole model.
    """
    with ExitStack() as undo:
        for path in paths:
            if not path:
                raise BadInput("the whole model cannot be left out: give paths of its modules")
            module = module_at(model, path)
            own = module.__dict__.get("forward")
            module.__dict__["forward"] = _hand_on
            undo.callback(_put_back, module, own)
        yield


def strippable(case: Case) -> tuple[str, ...]:
    """Paths of modules without children of the kind, whose output has their input's shape."""
    plain = [path for path, call in case.calls.items() if path and call.plain is not None]
    return tuple(innermost(plain))


def _hand_on(given: Tensor, *args: object, **kwargs: object) -> Tensor:
    del args, kwargs
    return given


def _put_back(module: nn.Module, own: object) -> None:
    del module.__dict__["forward"]
    if own is not None:
        module.__dict__["forward"] = own
