"""The last linear layer is found whatever surrounds it, or it is said why there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from gradwarden.attack.models import Binary
from gradwarden.audit.head import Head, find_head, pair, replaced


class Net(nn.Module):
    """Its forward is any function of its layers and x."""

    def __init__(self, run: Callable[[nn.ModuleDict, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.run, self.layers = run, nn.ModuleDict(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.layers, x)


def without_graph(layers: nn.ModuleDict, x: Tensor) -> Tensor:
    with torch.no_grad():
        out: Tensor = layers["last"](layers["first"](x).relu())
    return out


def unused(layers: nn.ModuleDict, x: Tensor) -> Tensor:
    features = layers["first"](x).relu()
    out: Tensor = layers["last"](features)
    layers["extra"](features)
    return out


def chain(layers: nn.ModuleDict, x: Tensor) -> Tensor:
    for layer in layers.values():
        x = layer(x)
    return x


TWO = {"first": nn.Linear(6, 8), "last": nn.Linear(8, 3)}
PIXELS = (nn.Unflatten(1, (6, 1, 1)), nn.Conv2d(6, 8, 1), nn.ReLU(), nn.Conv2d(8, 3, 1))
FOUND: list[tuple[str, Callable[[], nn.Module], Head]] = [
    (
        "plain",
        lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)),
        Head("2", "", 3, 8),
    ),
    (
        "own code, cut off from the gradient",
        lambda: Net(lambda ls, x: ls["last"](ls["first"](x).relu().detach()), **TWO),
        Head("layers.last", "", 3, 8),
    ),
    ("inside no_grad", lambda: Net(without_graph, **TWO), Head("layers.last", "", 3, 8)),
    (
        "a later layer, whose output is thrown away",
        lambda: Net(unused, **TWO, extra=nn.Linear(8, 3)),
        Head("layers.last", "", 3, 8),
    ),
    (
        "named input",
        lambda: Net(lambda ls, x: ls["last"](input=x), last=nn.Linear(6, 3)),
        Head("layers.last", "", 3, 6),
    ),
    (
        "a convolution of one pixel",
        lambda: nn.Sequential(*PIXELS, nn.Flatten()),
        Head("3", "", 3, 8),
    ),
    ("weight norm", lambda: nn.Sequential(weight_norm(nn.Linear(6, 3))), Head("0", "", 3, 6)),
    (
        "temperature and softmax behind it",
        lambda: Net(lambda ls, x: (ls["last"](x) * 50).log_softmax(1), last=nn.Linear(6, 3)),
        Head("layers.last", "", 3, 6),
    ),
    (
        "rounding behind it",
        lambda: Net(lambda ls, x: ls["last"](x).round(), last=nn.Linear(6, 3)),
        Head("layers.last", "", 3, 6),
    ),
    (
        "one logit",
        lambda: Binary(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))),
        Head("model.2", "", 1, 8),
    ),
]
NONE = [
    ("no linear layer", lambda: nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 3, 6))),
    ("called 2 times", lambda: Net(lambda ls, x: ls["a"](x) - ls["a"](-x), a=nn.Linear(6, 3))),
    (
        "not one row a sample",
        lambda: nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Linear(3, 4), nn.Flatten()),
    ),
    (
        "what follows 'layers.a' decides too",
        lambda: Net(lambda ls, x: ls["a"](x).relu() @ torch.ones(4, 3).triu(), a=nn.Linear(6, 4)),
    ),
    (
        "what follows 'layers.b' decides too",
        lambda: Net(
            lambda ls, x: 5 * ls["a"](x) + ls["b"](x), a=nn.Linear(6, 3), b=nn.Linear(6, 3)
        ),
    ),
    (
        "what follows '0' decides too",
        lambda: nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.BatchNorm1d(3)),
    ),
]


def data() -> Tensor:
    return torch.rand(5, 6, generator=torch.Generator().manual_seed(0))


def clean(model: nn.Module) -> bool:
    return not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(("name", "make", "head"), FOUND)
def test_the_layer_is_found(name: str, make: Callable[[], nn.Module], head: Head) -> None:
    del name
    torch.manual_seed(0)
    model = make().eval()
    assert find_head(model, data()) == head
    assert clean(model)


@pytest.mark.parametrize(("why", "make"), NONE)
def test_there_is_none_and_why(why: str, make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1)
    head = find_head(model, data())
    assert head.path is None
    assert why in head.why
    assert clean(model)


def test_one_sample_without_a_batch_is_not_one_row_a_sample() -> None:
    model = Net(lambda ls, x: torch.stack([ls["a"](x[0])] * len(x)), a=nn.Linear(6, 3)).eval()
    assert "not one row a sample" in find_head(model, torch.rand(6, 6)).why


def test_a_model_that_draws_is_compared_under_the_same_draws() -> None:
    def noisy(layers: nn.ModuleDict, x: Tensor) -> Tensor:
        out: Tensor = layers["first"](x + torch.randn_like(x))
        layers["last"](x)  # nothing comes of it
        return out

    model = Net(noisy, first=nn.Linear(6, 3), last=nn.Linear(6, 3)).eval()
    assert find_head(model, data()).path == "layers.first"


def test_what_is_put_in_comes_out() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3))
    difference = torch.tensor([1.0, -2.0, 3.0, -4.0, 5.0])
    with replaced(model, "1", lambda features, out: pair(difference, out)):
        out = model(data())
    assert torch.equal(out[:, 1] - out[:, 0], difference)
    assert clean(model)
    assert pair(difference, torch.zeros(5, 1, 1, 1)).shape == (5, 1, 1, 1)
