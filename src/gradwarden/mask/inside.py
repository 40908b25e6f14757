"""Masks inside a model: chosen modules replaced in a second tree that shares the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from torch import nn

from gradwarden.core.errors import BadInput

ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.RReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Tanh,
    nn.Sigmoid,
)


def paths_of(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> tuple[str, ...]:
    """Dotted paths of all modules of these kinds; one that stands at two places has two."""
    named = model.named_modules(remove_duplicate=False)
    return tuple(path for path, module in named if isinstance(module, kinds))


def chosen(model: nn.Module, paths: Sequence[str]) -> tuple[str, ...]:
    """`paths`, or those of all activations where it is empty. Raises BadInput."""
    if not paths:
        found = paths_of(model, ACTIVATIONS)
        if not found:
            raise BadInput(
                "the model has no activation module (functions such as torch.relu are not seen): "
                "name the modules in paths"
            )
        return found
    known = {name for name, _ in model.named_modules(remove_duplicate=False)}
    for path in paths:
        if path not in known:
            raise BadInput(f"the model has no module at {path!r}: see model.named_modules()")
    return tuple(paths)


def replaced(
    model: nn.Module, paths: Sequence[str], make: Callable[[nn.Module], nn.Module]
) -> nn.Module:
    """A second tree of modules with those at `paths` replaced by `make` of them.

    Parameters and buffers are the model's own, so training either trains both; the model itself
    stays as it is. What `make` returns gets the mode of the module that it replaces.
    """
    tensors = [*model.parameters(), *model.buffers()]
    tree = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    for path in paths:
        old = tree.get_submodule(path)
        new = make(old).train(old.training)
        if not path:
            return new
        parent, _, name = path.rpartition(".")
        setattr(tree.get_submodule(parent), name, new)
    return tree
