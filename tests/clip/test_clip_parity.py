"""Rules against packages that others wrote, where these are installed."""

import math
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

from gradwarden.clip.clipper import Clipper
from gradwarden.clip.rules.adagc import AdaGC
from gradwarden.clip.rules.agc import AGC
from gradwarden.clip.rules.quantile import Quantile


def package() -> Any:
    return pytest.importorskip("pytorch_optimizer", reason="a development dependency")


@pytest.mark.parametrize("shape", [(6,), (5, 4), (4, 3, 2, 2)])
def test_agc_matches_pytorch_optimizer(shape: tuple[int, ...]) -> None:
    package()
    agc = import_module("pytorch_optimizer.optimizer.agc").agc
    rng = torch.manual_seed(0)
    w = nn.Parameter(torch.randn(shape, generator=rng))
    w.grad = torch.randn(shape, generator=rng)
    want = agc(w.detach(), w.grad, agc_clip_val=0.3)
    Clipper([("w", w)], AGC(share=0.3)).step()
    torch.testing.assert_close(w.grad, want)


def test_quantile_matches_autoclip() -> None:
    """Its threshold leaves this step's norm out, so it is ours of the step before."""
    clip = pytest.importorskip("autoclip.torch.quantile", reason="a development dependency")
    rng = torch.manual_seed(0)
    ours, theirs = nn.Parameter(torch.zeros(5)), nn.Parameter(torch.zeros(5))
    other = clip.QuantileClip([theirs], quantile=0.3, history_length=20, global_threshold=True)
    clipper = Clipper([("w", ours)], Quantile(q=0.3, window=20))
    threshold = math.inf
    for _ in range(60):
        ours.grad = torch.randn(5, generator=rng)
        theirs.grad = ours.grad.clone()
        want = min(float(theirs.grad.norm()), threshold)
        other.step()
        assert float(theirs.grad.norm()) == pytest.approx(want, rel=1e-5)
        threshold = float(clipper.step().threshold)


def test_adagc_matches_pytorch_optimizer() -> None:
    """Its running means after each of 60 steps, 20 of warm-up."""
    rng = torch.manual_seed(0)
    ours = [nn.Parameter(torch.zeros(n)) for n in (4, 7)]
    theirs = [nn.Parameter(torch.zeros(n)) for n in (4, 7)]
    rule = AdaGC(warmup=20, reference=True)
    clipper = Clipper([(str(i), p) for i, p in enumerate(ours)], rule)
    optimizer = package().AdaGC(theirs, lr=0.0, warmup_steps=20, lambda_rel=1.05, beta=0.98)
    for step in range(60):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape, generator=rng)
            q.grad = p.grad.clone()
        clipper.step()
        optimizer.step()
        want = torch.stack([optimizer.state[q]["gamma"].squeeze() for q in theirs])
        torch.testing.assert_close(clipper.states[0].mean, want, rtol=1e-4, atol=0), step
