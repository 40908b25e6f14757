"""TRADES against its formula written out, and the gradient of its divergence."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from gradwarden.core.balls.l2 import L2
from gradwarden.core.draws import Draws
from gradwarden.core.threat import Threat
from gradwarden.harden.trades import TRADES, divergence
from gradwarden.harden.training import Batch

# In L2, where the step keeps the gradient's direction; a box that stops nothing.
THREAT = Threat(ball=L2(0.3), box=(-2.0, 3.0))


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).double()


def batch() -> Batch:
    rng = torch.Generator().manual_seed(1)
    x, y = torch.rand(12, 6, generator=rng), torch.randint(3, (12,), generator=rng)
    return Batch(x.double(), y, range(30, 42), seed=9)


def test_the_divergence_is_that_of_torch_with_gradients_on_both_sides() -> None:
    rng = torch.Generator().manual_seed(0)
    p, q = (torch.randn(5, 4, generator=rng).double().requires_grad_() for _ in range(2))
    torch.autograd.gradcheck(divergence, (p, q))
    theirs = kl_div(log_softmax(q, 1), softmax(p, 1), reduction="batchmean")
    torch.testing.assert_close(divergence(p, q).mean(), theirs)
    ours = torch.autograd.grad(divergence(p, q).mean(), (p, q))
    for one, other in zip(ours, torch.autograd.grad(theirs, (p, q)), strict=True):
        torch.testing.assert_close(one, other)


def written_out(model: nn.Module, got: Batch, steps: int) -> tuple[Tensor, Tensor]:
    """x_adv, and the loss at it, one sample and one step after the other."""
    model.eval()
    noise = Draws(got.seed, got.ids, "TRADES").normal(got.x)
    points = []
    for x, step in zip(got.x, noise, strict=True):
        p = softmax(model(x[None]), 1).detach()
        x_adv = x + 0.001 * step
        for _ in range(steps):
            x_adv = x_adv.detach().requires_grad_()
            q = log_softmax(model(x_adv[None]), 1)
            (grad,) = torch.autograd.grad(kl_div(q, p, reduction="sum"), x_adv)
            delta = x_adv.detach() + 0.15 * grad / grad.norm() - x
            x_adv = x + delta / max(1.0, float(delta.norm()) / 0.3)
        points.append(x_adv)
    x_adv = torch.stack(points)
    model.train()
    clean, moved = model(got.x), model(x_adv)
    kl = kl_div(log_softmax(moved, 1), softmax(clean, 1), reduction="batchmean")
    return x_adv, cross_entropy(clean, got.y) + 6.0 * kl


def test_a_step_is_the_formula_written_out() -> None:
    model, twin, got = net(), net(), batch()
    for one in (model, twin):  # averages that are not those of a fresh net
        one(torch.rand(50, 6, generator=torch.Generator().manual_seed(5)).double())
    trainer = TRADES(threat=THREAT, steps=4, step_size=0.5)
    points: list[Tensor] = []
    model.register_forward_pre_hook(
        lambda module, args: points.append(args[0].detach()) if module.training else None
    )
    loss = trainer._objective(model, got)
    x_adv, expected = written_out(twin, got, 4)
    assert torch.equal(points[0], got.x)
    torch.testing.assert_close(points[1], x_adv)
    torch.testing.assert_close(loss, expected)
    ours = torch.autograd.grad(loss, list(model.parameters()))
    theirs = torch.autograd.grad(expected, list(twin.parameters()))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_beta_0_is_plain_training() -> None:
    model, got = net(), batch()
    plain = cross_entropy(net()(got.x), got.y)
    torch.testing.assert_close(TRADES(threat=THREAT, beta=0.0)._objective(model, got), plain)
