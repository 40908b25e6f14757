"""Hard operations in functional code get soft slopes of the right sign; their values stay."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.bpda import BPDA
from gradwarden.attack.pgd import PGD
from gradwarden.attack.straight_through import StraightThrough
from gradwarden.audit.case import Case
from gradwarden.audit.stand_ins.softened import Softened, softened
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat

WIDTH = 0.1


class Code(nn.Module):
    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


def slope(run: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """What arrives at `at` from the sum of the outputs; values must stay bit-equal."""
    model = nn.Sequential(Code(run)).eval()
    real = model(at.clone())
    leaf = at.clone().requires_grad_()
    with Softened("0", WIDTH).applied(model):
        out = model(leaf)
        assert torch.equal(out, real)
        (grad,) = torch.autograd.grad(out.sum(), leaf)
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert not torch._C._len_torch_function_stack()
    return grad


X = torch.tensor([[0.1, 0.45, 0.55, 0.9]])
SIDE = torch.sigmoid((X - 0.5) / WIDTH)
BUMP = SIDE * (1 - SIDE) / WIDTH  # the closed form: the slope of a sigmoid of that width
APART = (X - 0.5) / WIDTH
EDGES = torch.tensor([0.2, 0.4, 0.8])
TABLE = torch.tensor([[0.0, 0.0], [1.0, -3.0], [4.0, 0.0], [9.0, 1.0]])


def no_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        return (x < 0.5).float() * 2


CLOSED: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "above": (lambda x: (x > 0.5).float(), BUMP),
    "below": (lambda x: (x <= 0.5).float(), -BUMP),
    "from the left": (lambda x: torch.gt(torch.tensor(0.5), x).to(x), -BUMP),
    "not": (lambda x: (~(x > 0.5)).double(), -BUMP),
    "scaled": (lambda x: 3.0 * (x > 0.5), 3 * BUMP),
    "where": (lambda x: torch.where(x > 0.5, 2.0, -1.0), 3 * BUMP),
    "where of itself": (lambda x: x.where(x > 0.5, 0.0), (X > 0.5) + X * BUMP),
    "masked": (lambda x: x.masked_fill(x > 0.5, 1.0), (X <= 0.5) + (1 - X) * BUMP),
    "masked by infinity": (lambda x: x.masked_fill(x > 0.5, torch.inf), (X <= 0.5).float()),
    "counted": (lambda x: (x > 0.5).sum(1).float(), BUMP),
    "joined": (lambda x: ((x > 0.5) | (x > 0.5)).float(), 2 * BUMP * (X <= 0.5)),
    "both": (lambda x: ((x > 0.5) & (x > 0.5)).float(), 2 * BUMP * (X > 0.5)),
    "sign": (lambda x: torch.sign(x - 0.5), (1 - ((X - 0.5) / WIDTH).tanh().square()) / WIDTH),
    "round": (lambda x: (x * 4).round(), torch.full_like(X, 4.0)),
    "clamp": (lambda x: x.clamp(0.3, 0.6), torch.tensor([[0.1, 1.0, 1.0, 0.1]])),
    "bins": (
        lambda x: torch.bucketize(x, EDGES).float(),
        torch.tensor([[5.0, 2.5, 2.5, 2.5]]),
    ),
    "sorted": (
        lambda x: torch.searchsorted(EDGES, x).float(),
        torch.tensor([[5.0, 2.5, 2.5, 2.5]]),
    ),
    "rows": (
        lambda x: TABLE[torch.bucketize(x, EDGES)],  # rows at 0, 2, 2, 3
        torch.tensor([[5 * -2.0, 2.5 * 6.0, 2.5 * 6.0, 2.5 * 6.0]]),
    ),
    "whole numbers": (
        lambda x: nn.functional.embedding((x * 4).long(), TABLE),  # rows at 0, 1, 2, 3
        4 * torch.tensor([[-2.0, 2.0, 6.0, 6.0]]),
    ),
    "codes": (
        lambda x: nn.functional.one_hot((x * 4).long(), 4).float() @ TABLE,
        4 * torch.tensor([[-2.0, 2.0, 6.0, 6.0]]),
    ),
    "columns of clamped numbers": (
        lambda x: TABLE[(x * 4).long()[:, 1:].clamp(1, 2)],  # rows at 1, 2 and, from 3, 2
        4 * torch.tensor([[0.0, 2.0, 6.0, 0.6]]),
    ),
    "equal": (lambda x: (x == 0.5).float(), -APART * torch.exp(-0.5 * APART**2) / WIDTH),
    "unequal": (lambda x: (x != 0.5).float(), APART * torch.exp(-0.5 * APART**2) / WIDTH),
    "without a graph": (no_grad, -2 * BUMP),
}


@pytest.mark.parametrize("name", CLOSED)
def test_slopes_are_those_of_the_closed_form(name: str) -> None:
    run, expected = CLOSED[name]
    torch.testing.assert_close(slope(run, X), expected.float(), rtol=1e-4, atol=1e-5)


def test_argmax_points_to_a_larger_index() -> None:
    found = slope(lambda x: x.argmax(1).float(), torch.tensor([[0.5, 0.45, 0.4]]))
    assert found[0, 2] > 0 > found[0, 0]


def test_comparisons_to_be_broken_where_straight_through_has_the_wrong_sign() -> None:
    torch.manual_seed(0)
    last = nn.Linear(12, 2)

    def run(x: Tensor) -> Tensor:
        return (x < 0.5).float() - 0.5

    x = torch.rand(40, 12)
    model = nn.Sequential(Code(run), last).eval()
    last.bias.data -= model(x).detach().mean(0)
    case = Case(model=model, x=x, y=model(x).argmax(1), threat=Threat(ball=Linf(0.2)))
    patch = softened(case, "0")
    assert patch is not None
    attack = PGD(steps=20, loss="margin", start="clean")
    left = {}
    for name, one in (("soft", patch), ("straight", StraightThrough("0"))):
        found = BPDA(attack=attack, patches=(one,)).run(model, x, case.y, case.threat)
        left[name] = 1 - float(found.success.float().mean())
    assert left["soft"] < 0.3
    assert left["straight"] > 0.9


def test_code_without_hard_operations_needs_no_softening() -> None:
    model = nn.Sequential(Code(lambda x: x * 2 + x.sin()), nn.Linear(4, 2)).eval()
    x = torch.rand(6, 4)
    case = Case(model=model, x=x, y=model(x).argmax(1), threat=Threat(ball=Linf(0.1)))
    assert softened(case, "0") is None
    assert softened(case, "") is None


def test_children_keep_their_own_code() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Code(lambda x: (x > 0.5).float())

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inner(x) + 0 * x
            return out

    leaf = X.clone().requires_grad_()
    model = Outer()
    with Softened("", WIDTH).applied(model):
        (grad,) = torch.autograd.grad(model(leaf).sum(), leaf)
    assert not grad.any()


def test_a_forward_that_raises_leaves_no_mode_behind() -> None:
    def broken(x: Tensor) -> Tensor:
        raise ZeroDivisionError

    model = nn.Sequential(Code(broken))
    with pytest.raises(ZeroDivisionError), Softened("0", WIDTH).applied(model):
        model(X.clone().requires_grad_())
    assert not torch._C._len_torch_function_stack()


def test_a_width_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="width"):
        Softened("0", 0.0)
