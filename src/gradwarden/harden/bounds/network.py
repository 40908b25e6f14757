"""A module as a list of layers, through torch.fx."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from gradwarden.core.errors import BadInput
from gradwarden.harden.bounds.layer import Affine, Layer, Weighted
from gradwarden.harden.bounds.modules import layer_of


class Network(NamedTuple):
    """Value 0 is x; layer i makes value i + 1 of the values `inputs[i]`; the last is the logits."""

    layers: tuple[Layer, ...]
    inputs: tuple[tuple[int, ...], ...]

    @property
    def exact(self) -> list[bool]:
        """For each value: only linear layers lie between it and x."""
        found = [True]
        for layer, inputs in zip(self.layers, self.inputs, strict=True):
            found.append(layer.linear and all(found[i] for i in inputs))
        return found


FUNCTIONS: dict[object, Callable[..., nn.Module]] = {
    torch.relu: nn.ReLU,
    F.relu: nn.ReLU,
    F.leaky_relu: nn.LeakyReLU,
    torch.sigmoid: nn.Sigmoid,
    F.sigmoid: nn.Sigmoid,
    torch.tanh: nn.Tanh,
    F.tanh: nn.Tanh,
    F.gelu: nn.GELU,
    torch.flatten: nn.Flatten,
    F.max_pool1d: nn.MaxPool1d,
    F.max_pool2d: nn.MaxPool2d,
    F.avg_pool1d: nn.AvgPool1d,
    F.avg_pool2d: nn.AvgPool2d,
}
METHODS: dict[object, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "flatten": nn.Flatten,
}
ARITHMETIC: dict[object, str] = {
    operator.add: "add",
    operator.iadd: "add",
    torch.add: "add",
    operator.sub: "sub",
    operator.isub: "sub",
    torch.sub: "sub",
    operator.mul: "mul",
    operator.imul: "mul",
    torch.mul: "mul",
    operator.truediv: "div",
    operator.itruediv: "div",
    torch.div: "div",
    operator.neg: "neg",
}
IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv)


def network(model: nn.Module) -> Network:
    """In float64. Raises BadInput where a part of `model` is not known to the certificates."""
    try:
        wrapped = nn.Sequential(copy.deepcopy(model)).double()  # a bare layer is traced as one
    except Exception as error:  # whatever the user's module holds
        raise BadInput(f"{type(model).__name__} cannot be copied: {error}") from error
    try:
        graph = fx.symbolic_trace(wrapped).graph
    except Exception as error:
        raise BadInput(
            f"{type(model).__name__} cannot be traced by torch.fx ({error}): certificates need a "
            "model without branches that depend on x"
        ) from error
    return _Reader(wrapped, graph).read()


class _Reader:
    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        self._model, self._graph = model, graph
        self._place: dict[fx.Node, int] = {}  # of nodes that depend on x and are tensors
        self._layers: list[Layer] = []
        self._inputs: list[tuple[int, ...]] = []

    def read(self) -> Network:
        for node in self._graph.nodes:
            if node.op == "placeholder":
                if self._place:
                    raise BadInput("the model takes more than one input, expected x alone")
                self._place[node] = 0
            elif node.op == "output":
                return self._whole(node.args[0])
            elif node.op != "get_attr":
                self._add(node)
        raise AssertionError("a traced graph ends with its output")

    def _whole(self, result: object) -> Network:
        if not isinstance(result, fx.Node) or self._place.get(result) is None:
            raise BadInput("the model must return logits computed from x, one tensor")
        end = self._place[result]
        return Network(tuple(self._layers[:end]), tuple(self._inputs[:end]))

    def _add(self, node: fx.Node) -> None:
        if node.target in (getattr, "size", "dim") or node.target is operator.getitem:
            return  # a shape, which `view` may name; whoever else uses it is not known
        self._refuse_alias(node)
        if node.op == "call_module":
            found = self._model.get_submodule(str(node.target))
            self._put(node, layer_of(found, str(node.target).partition(".")[2]), [node.args[0]])
        elif node.target in ARITHMETIC or node.target in ARITHMETIC.values():
            self._arithmetic(node, ARITHMETIC.get(node.target, str(node.target)))
        elif node.target in ("view", "reshape") or node.target is torch.reshape:
            self._put(node, _reshaped(node), [node.args[0]])
        else:
            self._put(node, self._called(node), [node.args[0]])

    def _put(self, node: fx.Node, layer: Layer, of: list[Any]) -> None:
        places = [self._place.get(one) for one in of if isinstance(one, fx.Node)]
        known = tuple(place for place in places if place is not None)
        if len(known) != len(of):
            raise BadInput(f"{_name(node)} is applied to something else than values made of x")
        self._layers.append(layer)
        self._inputs.append(known)
        self._place[node] = len(self._layers)

    def _called(self, node: fx.Node) -> Layer:
        known = METHODS if node.op == "call_method" else FUNCTIONS
        make = known.get(node.target)
        if make is None:
            raise BadInput(f"certificates do not know {_name(node)}, which the model calls")
        options = dict(node.kwargs)
        options.pop("inplace", None)
        return layer_of(make(*node.args[1:], **options), _name(node))

    def _arithmetic(self, node: fx.Node, sign: str) -> None:
        first, second = (*node.args, *([None] if sign == "neg" else []))[:2]
        pair = (first, second)
        both = [one for one in pair if isinstance(one, fx.Node) and one in self._place]
        if sign == "neg":
            self._put(node, Weighted(weights=(-1.0,)), [first])
        elif node.kwargs:
            raise BadInput(f"certificates do not know the options of {_name(node)}")
        elif len(both) == 2 and sign in ("add", "sub"):
            self._put(node, Weighted(weights=(1.0, 1.0 if sign == "add" else -1.0)), both)
        elif len(both) == 1 and (both[0] is first or sign != "div"):
            constant = self._constant(node, second if both[0] is first else first)
            self._put(node, _with_constant(sign, constant, both[0] is first), both)
        else:
            raise BadInput(f"certificates do not know {_name(node)} of two values made of x")

    def _constant(self, node: fx.Node, value: object) -> Tensor:
        if isinstance(value, fx.Node) and value.op == "get_attr":
            owner, _, name = str(value.target).rpartition(".")
            value = getattr(self._model.get_submodule(owner), name)
        if isinstance(value, int | float):
            value = torch.tensor(float(value), dtype=torch.float64)
        if not isinstance(value, Tensor):
            raise BadInput(f"certificates know {_name(node)} with a number or a buffer alone")
        return value.detach()

    def _refuse_alias(self, node: fx.Node) -> None:
        """What is written over and read again later would be another value than it was."""
        module = self._model.get_submodule(str(node.target)) if node.op == "call_module" else None
        writes = getattr(module, "inplace", False) or node.kwargs.get("inplace", False)
        source = node.args[0] if node.args else None
        if not (writes or node.target in IN_PLACE) or not isinstance(source, fx.Node):
            return
        order = {one: place for place, one in enumerate(self._graph.nodes)}
        if any(order[user] > order[node] for user in source.users):
            raise BadInput(f"{_name(node)} works in place on a value that is used again later")


def _name(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _reshaped(node: fx.Node) -> Layer:
    sizes = node.args[1:]
    sizes = tuple(sizes[0]) if isinstance(sizes[0], tuple | list) else sizes
    rest = [size for size in sizes[1:] if isinstance(size, int)]
    if sizes[0] != -1 and not isinstance(sizes[0], fx.Node):
        raise BadInput(f"{_name(node)} must keep the batch axis: give x.size(0) or -1 first")
    if len(rest) != len(sizes) - 1:
        raise BadInput(f"{_name(node)} must have numbers for all axes after the first")
    shaped: Callable[[Tensor], Tensor] = lambda x: x.reshape(len(x), *rest)
    return Affine(apply=shaped, absolute=shaped)


def _with_constant(sign: str, constant: Tensor, x_first: bool) -> Layer:
    """x + c, x - c, c - x, x * c or x / c, where c broadcasts with each sample."""
    if sign == "mul" or sign == "div":
        factor = constant if sign == "mul" else 1 / constant
        return Affine(
            apply=lambda x: x * _fitting(factor, x),
            absolute=lambda x: x * _fitting(factor, x).abs(),
        )
    added = -constant if sign == "sub" and x_first else constant
    turn = -1.0 if sign == "sub" and not x_first else 1.0
    return Affine(apply=lambda x: turn * x + _fitting(added, x), absolute=lambda x: x)


def _fitting(constant: Tensor, x: Tensor) -> Tensor:
    """The same for every sample, and of no larger shape than x."""
    if constant.ndim == x.ndim and len(constant) == 1:
        constant = constant[0]
    if constant.ndim >= x.ndim or torch.broadcast_shapes(constant.shape, x.shape) != x.shape:
        raise BadInput(
            f"a constant of shape {tuple(constant.shape)} does not broadcast with samples of shape "
            f"{tuple(x.shape[1:])}"
        )
    return constant
