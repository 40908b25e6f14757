"""BPDA: the module's own values forward, the surrogate's gradient back, no trace left."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.bpda import BPDA, Surrogate, patched
from gradwarden.attack.gradient import gradient_status
from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.2))


class Wall(nn.Module):
    """Rounds to eighths, and hides its gradient in one of many ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "round":
            return (x * 8).round() / 8
        if self.how == "no_grad":
            with torch.no_grad():
                return (x * 8).round() / 8
        if self.how == "detach":
            return ((x * 8).round() / 8).detach()
        if self.how == "in place":
            return x.mul_(8).round_().div_(8)
        if self.how == "inference":
            with torch.inference_mode():
                return (x * 8).round() / 8
        return torch.from_numpy((x.numpy() * 8).round() / 8)


HOWS = ["round", "no_grad", "detach", "in place", "inference", "numpy"]


class Net(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wall = Wall(how)
        last = nn.Linear(12, 3)
        last.bias.data = -0.5 * last.weight.data.sum(1)  # 0 at the centre of the box
        self.body = nn.Sequential(nn.ReLU(inplace=how != "inference"), last)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(self.wall(x))
        return out


def data() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.rand(32, 12, generator=rng), torch.randint(3, (32,), generator=rng)


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("how", HOWS)
def test_forward_is_bit_equal_and_backward_is_the_identity(how: str) -> None:
    model, (x, _) = Net(how), data()
    with torch.no_grad():
        true = model(x.clone())
    leaf = x.clone().requires_grad_()
    with patched(model, {"wall": None}):
        out = model(leaf.clone())
        (grad,) = torch.autograd.grad(out.square().sum(), leaf)
        with torch.no_grad():
            assert torch.equal(model(x.clone()), true)
    assert torch.equal(out, true)
    rounded = ((x * 8).round() / 8).requires_grad_()
    (expected,) = torch.autograd.grad(model.body(rounded.clone()).square().sum(), rounded)
    assert torch.equal(grad, expected)
    assert hooks(model) == 0


@pytest.mark.parametrize("how", HOWS)
def test_an_attack_gets_through_the_wall(how: str) -> None:
    model, (x, _) = Net(how), data()
    with torch.no_grad():
        y = model(x.clone()).argmax(1)
    blind = PGD(steps=10).run(model, x, y, THREAT)
    through = BPDA(attack=PGD(steps=10), patches=(Surrogate("wall"),)).run(model, x, y, THREAT)
    assert through.success.sum() >= blind.success.sum() + 4
    with torch.no_grad():
        assert torch.equal(model(through.x_adv.clone()).argmax(1) != y, through.success)


def test_a_surrogate_of_ones_own_is_differentiated() -> None:
    class Double(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    model, (x, _) = Net("round"), data()
    grads = []
    for surrogate in (None, Double()):
        leaf = x.clone().requires_grad_()
        with patched(model, {"wall": surrogate}):
            grads.append(torch.autograd.grad(model(leaf).sum(), leaf)[0])
    torch.testing.assert_close(grads[1], 2 * grads[0])


def test_the_surrogate_sees_the_input_before_the_module_wrote_into_it() -> None:
    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.square()

    model, leaf = Net("in place"), data()[0].requires_grad_()
    with patched(model, {"wall": Square()}):
        grad = torch.autograd.grad(model.wall(leaf.clone()).sum(), leaf)[0]
    torch.testing.assert_close(grad, 2 * leaf.detach())


def test_a_module_called_inside_a_no_grad_block_or_by_keyword() -> None:
    class Outer(Net):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.wall(x=x)
            out: Tensor = self.body(x)
            return out

    model, (x, y) = Outer("numpy"), data()
    with patched(model, {"wall": None}):
        assert gradient_status(model, x, y, THREAT).kind == "nonzero"
    assert gradient_status(model, x, y, THREAT).kind == "none"


def test_every_hook_is_gone_after_an_error() -> None:
    model, (x, _) = Net("round"), data()
    with (
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
        patched(model, {"wall": None, "body.1": nn.Linear(12, 3)}),
    ):
        model(x[:, :5].requires_grad_())
    with (
        pytest.raises(BadInput, match="no module at 'nosuch'"),
        patched(model, {"wall": None, "nosuch": None}),
    ):
        pytest.fail("must not be reached")
    assert hooks(model) == 0


def test_a_surrogate_of_another_shape_is_refused() -> None:
    model, (x, _) = Net("round"), data()
    with (
        pytest.raises(BadInput, match="output has the module's shape"),
        patched(model, {"body": None}),
    ):
        model(x.requires_grad_())
    assert hooks(model) == 0


def test_only_modules_can_be_patched() -> None:
    x, y = data()
    with pytest.raises(BadInput, match=r"BPDA patches an nn\.Module, got function"):
        BPDA(attack=PGD(), patches=()).run(lambda x: x, x, y, THREAT)


@pytest.mark.parametrize(
    ("how", "kind"),
    [("round", "zero"), ("no_grad", "none"), ("numpy", "none"), ("inference", "none")],
)
def test_the_gradient_an_attacker_gets_is_named(how: str, kind: str) -> None:
    x, y = data()
    status = gradient_status(Net(how), x, y, THREAT, batch_size=5)
    assert status.kind == kind
    assert status.share_none == (kind == "none")
    assert status.share_zero == (kind == "zero")
    assert gradient_status(Net(how).body, x, y, THREAT) == ("nonzero", 0.0, 0.0, 1.0)


def test_a_saturated_loss_has_zero_gradient_and_the_margin_has_not() -> None:
    x, _ = data()
    sure = nn.Linear(12, 3, bias=False).eval()
    sure.weight.data.mul_(1e5)
    y = sure(x).argmax(1)
    assert gradient_status(sure, x, y, THREAT).share_zero > 0.9
    assert gradient_status(sure, x, y, THREAT, loss="margin").kind == "nonzero"


def test_a_backward_that_raises_or_gives_nan_is_no_error() -> None:
    class Raises(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, *grads: Tensor) -> Tensor:
            raise NotImplementedError("no backward")

    x, y = data()
    body = Net("round").body

    def raising(x: Tensor) -> Tensor:
        out: Tensor = body(Raises.apply(x))  # type: ignore[no-untyped-call]
        return out

    assert gradient_status(raising, x, y, THREAT).kind == "none"
    assert gradient_status(lambda x: body(x - x**0.5 + (x * 0) ** 0.5), x, y, THREAT).kind == "zero"
