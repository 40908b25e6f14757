"""Each way to lose a gradient is found on its own line of code, by the marker that stands there."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gradwarden.audit.case import Case
from gradwarden.audit.checks.no_gradient import NoGradient
from gradwarden.audit.checks.stochastic import Stochastic
from gradwarden.audit.checks.wrong_backward import WrongBackward
from gradwarden.audit.checks.zero_gradient import ZeroGradient
from gradwarden.audit.diagnose import diagnose, forward_line
from gradwarden.audit.trace import trace
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat


class Killer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # here: killer
        return torch.zeros_like(grads[0])


def rounded(x: Tensor) -> Tensor:
    scaled = x * 7
    whole = scaled.round()  # here: rounded
    return whole / 7


def in_place(x: Tensor) -> Tensor:
    x = x * 7
    x.round_()  # here: in_place
    return x / 7


def detached(x: Tensor) -> Tensor:
    x = x * 2
    return functional.relu(x.detach())  # here: detached


def data(x: Tensor) -> Tensor:
    x = x * 2
    x = x.data  # here: data
    return x + 1


def block(x: Tensor) -> Tensor:
    x = x * 2
    with torch.no_grad():
        x = x + 1  # here: block
    return x * 3


def numpy(x: Tensor) -> Tensor:
    x = x * 2
    return torch.from_numpy(x.numpy().round(1))  # here: numpy


def detached_numpy(x: Tensor) -> Tensor:
    x = x * 2
    array = x.detach().numpy()  # here: detached_numpy
    return torch.from_numpy(array.round(1))


def compared(x: Tensor) -> Tensor:
    x = x * 2
    bits = x > 0.5  # here: compared
    return bits.float() * 2


def bins(x: Tensor) -> Tensor:
    x = x * 2
    place = torch.bucketize(x, torch.linspace(0, 1, 9))  # here: bins
    return place.float() / 9


def hot(x: Tensor) -> Tensor:
    top = x.argmax(-1)  # here: hot
    return functional.one_hot(top, x.shape[-1]).float()


def constants(x: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    mask = x > 0.5  # here: constants
    return torch.where(mask, one, zero)


def lying(x: Tensor) -> Tensor:
    apply: Callable[[Tensor], Tensor] = Killer.apply
    return apply(x * 2)


def raising(x: Tensor) -> Tensor:
    x = x * 2
    if x.requires_grad:
        raise ValueError("no graphs here")  # here: raising
    return x


def noisy(x: Tensor) -> Tensor:
    x = x * 2
    return x + torch.randn(x.shape)  # here: noisy


class Code(nn.Module):
    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


def marked(name: str) -> str:
    lines = Path(__file__).read_text().splitlines()
    (number,) = (i for i, line in enumerate(lines, 1) if line.endswith(f"# here: {name}"))
    if name == "killer":
        number -= 1  # a decorated function begins at its decorator
    return f"{Path(__file__).name}:{number}"


def case_of(model: nn.Module) -> Case:
    x = torch.rand(8, 4, generator=torch.Generator().manual_seed(0))
    return Case(model=model.eval(), x=x, y=torch.zeros(8).long(), threat=Threat(ball=Linf(0.1)))


def behind(front: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(front, nn.Linear(4, 3))


NONE = [detached, data, block, numpy, detached_numpy, compared, bins, hot, constants, raising]


@pytest.mark.parametrize("run", NONE, ids=lambda run: run.__name__)
def test_the_line_where_the_gradient_is_lost(run: Callable[[Tensor], Tensor]) -> None:
    (found,) = diagnose(case_of(behind(Code(run))), NoGradient())
    assert (found.module, found.kind, found.line) == ("0", "Code", marked(run.__name__))


@pytest.mark.parametrize(
    ("run", "name"), [(rounded, "rounded"), (in_place, "in_place"), (lying, "killer")]
)
def test_the_line_where_it_is_zero(run: Callable[[Tensor], Tensor], name: str) -> None:
    (found,) = diagnose(case_of(behind(Code(run))), ZeroGradient())
    assert (found.module, found.line) == ("0", marked(name))


def test_the_line_of_a_draw() -> None:
    (found,) = diagnose(case_of(behind(Code(noisy))), Stochastic())
    assert (found.module, found.kind, found.line) == ("0", "Code", marked("noisy"))


def test_code_around_children_is_placed_in_the_parent() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.body(detached(x))
            return out

    case = case_of(Net())
    (found,) = diagnose(case, NoGradient())
    assert (found.module, found.kind, found.line) == ("", "Net", marked("detached"))
    (end,) = trace(case, "").endings
    assert (end.call, end.module, end.share) == ("detach", "", 1.0)


def test_a_wrong_backward_is_named_where_the_path_is_cut() -> None:
    def bypass(x: Tensor) -> Tensor:
        return x.detach() + 0.01 * x

    (found,) = diagnose(case_of(behind(Code(bypass))), WrongBackward())
    assert found.line == f"{Path(__file__).name}:{inspect.getsourcelines(bypass)[1] + 1}"


def test_honest_code_has_no_endings() -> None:
    net = nn.Sequential(nn.Linear(4, 9), nn.BatchNorm1d(9), nn.GELU(), nn.Linear(9, 3))
    case = case_of(net)
    assert all(trace(case, path).endings == () for path in case.calls)


def test_a_file_loaded_from_a_path(tmp_path: Path) -> None:
    file = tmp_path / "theirs.py"
    file.write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.head = torch.nn.Linear(4, 3)\n"
        "    def forward(self, x):\n"
        "        x = (x * 9).floor() / 9\n"
        "        return self.head(x)\n"
    )
    spec = importlib.util.spec_from_file_location("theirs", file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    (found,) = diagnose(case_of(loaded.Net()), ZeroGradient())
    assert (found.module, found.kind, found.line) == ("", "Net", "theirs.py:7")


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_compiled_code_has_no_lines() -> None:
    scripted = torch.jit.trace(Code(rounded).eval(), torch.rand(8, 4))
    (found,) = diagnose(case_of(behind(scripted)), ZeroGradient())
    assert (found.module, found.line) == ("0", "")


def test_without_an_ending_the_forward_is_named() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    line = inspect.getsourcelines(Net.forward)[1]
    assert forward_line(Net()) == f"{Path(__file__).name}:{line}"
    assert forward_line(nn.ReLU()) == ""


def test_nothing_is_left_behind() -> None:
    case = case_of(behind(Code(noisy)))
    state = torch.get_rng_state()
    trace(case, "")
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in case.model.parameters())
