"""Code that hides its gradient in the middle of a forward: same values, a useful gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.bpda import BPDA
from gradwarden.attack.gradient import gradient_status
from gradwarden.attack.pgd import PGD
from gradwarden.attack.straight_through import StraightThrough
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.2))


def quantised(x: Tensor, how: str) -> Tensor:
    """x [N, ...] rounded to sevenths in one of many ways, each of which loses the gradient."""
    match how:
        case "round":
            return (x * 7).round() / 7
        case "no_grad":
            with torch.no_grad():
                return (x * 7).round() / 7
        case "no_grad in place":
            with torch.no_grad():
                return x.clone().mul_(7).round_().div_(7)
        case "set_grad_enabled":
            with torch.set_grad_enabled(False):
                return (x * 7).floor() / 7
        case "inference_mode":
            with torch.inference_mode():
                return (x * 7).round() / 7
        case "detach":
            return ((x.detach() * 7).round() / 7).detach()
        case "data":
            return torch.round(x.data * 7) / 7
        case "integers":
            return (x * 255).to(torch.uint8).bitwise_right_shift(5).bitwise_left_shift(5) / 255
        case "long":
            return (x * 7 + 0.5).long().to(x.dtype) / 7
        case "floor division":
            return (x // 0.125) * 0.125
        case "rounding mode":
            return torch.div(x, 0.125, rounding_mode="floor") * 0.125
        case "remainder":
            return x - x % 0.125
        case "comparisons":
            return sum(((x > k / 8).float() for k in range(1, 8)), torch.zeros_like(x)) / 7
        case "assignment":
            out = torch.zeros_like(x)
            for level in range(1, 8):
                out[x > level / 8] = level / 7
            return out
        case "where":
            return torch.where(x > 0.5, torch.ones_like(x), torch.zeros_like(x))
        case "numpy":
            return torch.from_numpy(np.round(x.detach().numpy() * 7) / 7)
        case "numpy refusing a graph":
            return torch.as_tensor(np.round(np.asarray(x) * 7) / 7)
        case "numpy, one by one":
            return torch.stack([torch.from_numpy(np.round(r.detach().numpy() * 7) / 7) for r in x])
        case "numpy, stacked outside":
            return torch.from_numpy(np.stack([np.round(r.detach().numpy() * 7) / 7 for r in x]))
        case "lists":
            return torch.tensor([[round(v * 7) / 7 for v in row] for row in x.tolist()])
    raise AssertionError(how)


HOWS = [
    "round",
    "no_grad",
    "no_grad in place",
    "set_grad_enabled",
    "inference_mode",
    "detach",
    "data",
    "integers",
    "long",
    "floor division",
    "rounding mode",
    "remainder",
    "comparisons",
    "assignment",
    "where",
    "numpy",
    "numpy refusing a graph",
    "numpy, one by one",
    "numpy, stacked outside",
    "lists",
]
WHERE = ["before a child", "before functional code", "after a child"]


class Net(nn.Module):
    """Wraps the code in a forward that has a child on one side, or none at all."""

    def __init__(self, how: str, where: str = "before a child") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how, self.where = how, where
        self.body = nn.Linear(12, 3)
        self.body.bias.data = -0.5 * self.body.weight.data.sum(1)
        self.first = nn.Identity()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        if self.where == "after a child":
            x = self.first(x)
        x = quantised(x, self.how)
        if self.where == "before functional code":
            return nn.functional.linear(x, self.body.weight, self.body.bias)
        out: Tensor = self.body(x)
        return out


def data() -> Tensor:
    return torch.rand(32, 12, generator=torch.Generator().manual_seed(0))


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("how", HOWS)
def test_same_values_and_a_gradient_of_the_right_sign(how: str, where: str) -> None:
    model, x = Net(how, where), data()
    with torch.no_grad():
        true = model(x.clone())
    y = true.argmax(1)
    assert gradient_status(model, x, y, THREAT).kind != "nonzero"
    with StraightThrough("").applied(model):
        leaf = x.clone().requires_grad_()
        out = model(leaf.clone())
        (grad,) = torch.autograd.grad(out[:, 0].sum(), leaf)
        assert torch.is_grad_enabled()
        with torch.no_grad():
            assert torch.equal(model(x.clone()), true)
            assert not torch.is_grad_enabled()
    assert torch.equal(out, true)
    assert ((grad * model.body.weight[0]) > 0).all()
    assert hooks(model) == 0


@pytest.mark.parametrize("how", HOWS)
def test_an_attack_gets_through(how: str) -> None:
    model, x = Net(how), data()
    with torch.no_grad():
        y = model(x.clone()).argmax(1)
    blind = PGD(steps=10).run(model, x, y, THREAT)
    through = BPDA(attack=PGD(steps=10), patches=(StraightThrough(""),)).run(model, x, y, THREAT)
    assert through.success.sum() >= blind.success.sum() + 4


def test_children_run_as_they_are() -> None:
    """A child's own rounding keeps its zero gradient: it is another module's business."""

    class Rounding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.round()

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.child = Rounding()

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = x * 2
            out: Tensor = self.child(x)
            return out + x

    model, x = Outer().eval(), data()
    leaf = x.clone().requires_grad_()
    with StraightThrough("").applied(model):
        (grad,) = torch.autograd.grad(model(leaf).sum(), leaf)
    torch.testing.assert_close(grad, torch.full_like(x, 2.0))
    with StraightThrough("").applied(model), StraightThrough("child").applied(model):
        (grad,) = torch.autograd.grad(model(leaf).sum(), leaf)
    torch.testing.assert_close(grad, torch.full_like(x, 4.0))


def test_an_encoder_under_no_grad_keeps_its_true_gradient() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.encoder, self.head = nn.Linear(12, 7), nn.Linear(7, 3)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                z = torch.tanh(self.encoder(x))
            out: Tensor = self.head(z)
            return out

    model, leaf = Frozen().eval(), data().requires_grad_()
    open_ = nn.Sequential(model.encoder, nn.Tanh(), model.head)
    (expected,) = torch.autograd.grad(open_(leaf).square().sum(), leaf)
    with StraightThrough("").applied(model):
        (grad,) = torch.autograd.grad(model(leaf).square().sum(), leaf)
    torch.testing.assert_close(grad, expected)


def test_thermometer_code_gets_a_gradient_through_its_broadcast() -> None:
    class Thermometer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.levels = nn.Buffer(torch.arange(1, 9) / 9)
            self.body = nn.Linear(96, 3)

        def forward(self, x: Tensor) -> Tensor:
            code = (x[:, :, None] > self.levels).to(x.dtype)
            out: Tensor = self.body(code.flatten(1))
            return out

    model, leaf = Thermometer().eval(), data().requires_grad_()
    with StraightThrough("").applied(model):
        (grad,) = torch.autograd.grad(model(leaf)[:, 0].sum(), leaf)
    expected = model.body.weight[0].view(12, 8).sum(1).expand(32, 12)
    torch.testing.assert_close(grad, expected.detach())


def test_a_healthy_forward_is_not_changed() -> None:
    class Healthy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.one, self.two = nn.Linear(12, 9), nn.Linear(9, 3)

        def forward(self, x: Tensor) -> Tensor:
            z = torch.relu(self.one(x)) + 0.1 * torch.zeros(len(x), 9)
            z.mul_(2.0)
            out: Tensor = self.two(nn.functional.gelu(z) * torch.ones_like(z))
            return out

    model, leaf = Healthy().eval(), data().requires_grad_()
    (expected,) = torch.autograd.grad(model(leaf).square().sum(), leaf)
    with StraightThrough("").applied(model):
        (grad,) = torch.autograd.grad(model(leaf).square().sum(), leaf)
    assert torch.equal(grad, expected)


def test_nothing_is_left_after_an_error() -> None:
    model = Net("round")
    patch = StraightThrough("").applied(model)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), patch:
        model(data()[:, :5].requires_grad_())
    assert hooks(model) == 0
    assert torch.overrides._get_current_function_mode_stack() == []
    assert torch.is_grad_enabled()
