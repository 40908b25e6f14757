"""Modules in the order called, with their source and what was found of them."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn

from gradwarden.attack.bpda import Surrogate
from gradwarden.attack.straight_through import StraightThrough
from gradwarden.audit.case import Case
from gradwarden.audit.chain import chain
from gradwarden.core.balls.linf import Linf
from gradwarden.core.records import Finding
from gradwarden.core.threat import Threat


class Squeeze(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.round()


class Net(nn.Module):
    """Its modules are called in another order than they are listed, and one of them never."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.unused = nn.Linear(4, 2), nn.Linear(4, 2)
        self.front = nn.Sequential(Squeeze(), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.front(x))
        return out


def case() -> Case:
    model, x = Net().eval(), torch.rand(3, 4)
    return Case(model=model, x=x, y=torch.zeros(3, dtype=torch.long), threat=Threat(ball=Linf(0.1)))


def finding(check: str, module: str | None) -> Finding:
    return Finding(check=check, module=module, value=0, threshold=0, share=1, why="", remedy="")


def test_the_chain_of_a_net() -> None:
    findings = [
        finding("flat-gradient", "front.0"),
        finding("jumps", "front.0"),
        finding("flat-gradient", "front.0"),
        finding("stochastic", None),
        finding("no-gradient", ""),
    ]
    found = chain(case(), findings, [Surrogate("front.0"), StraightThrough("")])
    assert [link.module for link in found] == ["", "front.0", "front.1", "last"]
    whole, squeeze, relu, last = found
    assert (whole.kind, whole.checks, whole.patched) == ("Net", ("no-gradient",), True)
    assert squeeze.checks == ("flat-gradient", "jumps")
    assert squeeze.patched
    line = inspect.getsourcelines(Squeeze.forward)[1]
    assert squeeze.line == f"test_chain.py:{line}"
    assert (relu.kind, relu.line, relu.checks, relu.patched) == ("ReLU", "", (), False)
    assert last.kind == "Linear"


def test_a_container_of_torch_is_kept_where_something_is_said_of_it() -> None:
    found = {link.module: link for link in chain(case(), [finding("jumps", "front")], [])}
    assert found["front"].checks == ("jumps",)
    assert found["front.0"].checks == ()
    assert "front" in [link.module for link in chain(case(), [], [StraightThrough("front")])]
