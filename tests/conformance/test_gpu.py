"""On a CUDA device: the same rules, masks, attacks and audit, and no step that waits for the device.

`pytest -m gpu` runs this where there is a device; elsewhere fake tensors stand in for one, in
tests/clip/test_clip_host_reads.py.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from test_attacks import ATTACKS, HONEST, Net, data
from test_masks import MASKS, Entry, each, forest, inputs, masked, net
from test_rules import RULES, TRANSFORMS
from torch import Tensor, nn

from gradwarden.attack.gradient import gradient_status
from gradwarden.audit.examine import examine
from gradwarden.clip.attach import attach
from gradwarden.clip.clipper import Clipper
from gradwarden.clip.record import read_record
from gradwarden.clip.replay import replay
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.rules.max_value import MaxValue
from gradwarden.clip.rules.skip_spikes import SkipSpikes
from gradwarden.core.balls.linf import Linf
from gradwarden.core.goal import Untargeted
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
SHAPES = {"w": (64, 32), "b": (32,), "one": (1,)}
THREAT = Threat(ball=Linf(0.1))


@contextmanager
def no_waiting() -> Iterator[None]:
    """PyTorch itself raises at whatever makes the host wait for the device."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def gradients(step: int) -> list[Tensor]:
    rng = torch.Generator().manual_seed(step)
    size = 10.0 * torch.rand((), generator=rng)
    found = [size * torch.randn(shape, generator=rng) for shape in SHAPES.values()]
    if step == 5:
        found[0][3, 4] = math.inf
    return found


def clipped(rule: Any, device: str) -> tuple[list[float], list[Tensor]]:
    """Norms of 12 steps, one of them not finite, and what is left of each gradient.

    Only a rule that skips waits, for its answer.
    """
    pairs = [(n, nn.Parameter(torch.ones(s, device=device))) for n, s in SHAPES.items()]
    clipper = Clipper(pairs, rule, on_nonfinite="zero")
    norms, left = [], []
    for step in range(12):
        for (_, p), grad in zip(pairs, gradients(step), strict=True):
            p.grad = grad.to(device)
        torch.cuda.synchronize()
        waits = device == "cpu" or isinstance(rule, SkipSpikes) or step == 0
        with nullcontext() if waits else no_waiting():
            result = clipper.step()
        norms.append(result.norm)
        left += [p.grad.cpu().clone() for _, p in pairs if p.grad is not None]
    return [float(norm) for norm in norms], left


@pytest.mark.parametrize("rule", [*RULES, *TRANSFORMS], ids=repr)
def test_a_rule_clips_as_on_the_cpu_and_never_waits(rule: Any) -> None:
    (norms, left), (cuda_norms, cuda_left) = clipped(rule, "cpu"), clipped(rule, "cuda")
    torch.testing.assert_close(cuda_norms, norms, rtol=1e-5, atol=1e-6, equal_nan=True)
    torch.testing.assert_close(cuda_left, left, rtol=1e-4, atol=1e-6)


def small(device: str) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 1)).to(device)


def batch(step: int, device: str) -> Tensor:
    return torch.randn(8, 16, generator=torch.Generator().manual_seed(step)).to(device)


def trained(device: str, bad: int | None = None, **options: Any) -> list[Tensor]:
    """Weights after eight clipped steps of AdamW with a gradient scaler."""
    model = small(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, **options)
    attach(optimizer, MaxNorm(0.5), model=model)
    scaler = torch.amp.GradScaler(device, init_scale=256.0)
    for step in range(8):
        optimizer.zero_grad()
        loss = model(batch(step, device)).square().mean() * (math.inf if step == bad else 1.0)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    return [p.detach().cpu() for p in model.parameters()]


@pytest.mark.parametrize(
    "options", [{"fused": True}, {"foreach": True}, {"foreach": False}], ids=str
)
@pytest.mark.parametrize("bad", [None, 3])
def test_a_scaled_run_ends_as_on_the_cpu(options: dict[str, bool], bad: int | None) -> None:
    torch.testing.assert_close(
        trained("cuda", bad, **options), trained("cpu", bad, foreach=False), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("rule", [MaxNorm(0.5), MaxValue(0.01)], ids=repr)
def test_a_recorded_step_never_waits(rule: Any, tmp_path: Path) -> None:
    model = small("cuda")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, fused=True)
    path = tmp_path / "log.jsonl"
    on_nonfinite: Any = "skip" if isinstance(rule, MaxNorm) else "zero"
    guard = attach(optimizer, rule, model=model, on_nonfinite=on_nonfinite, record=path)
    assert not guard.syncs
    for step in range(150):
        optimizer.zero_grad()
        loss = model(batch(step, "cuda")).square().mean()
        loss.backward()
        torch.cuda.synchronize()
        with nullcontext() if step == 0 else no_waiting():
            guard.observe(loss)
            optimizer.step()
    guard.detach()
    rows = read_record(path).rows
    assert [row.step for row in rows] == list(range(1, 151))
    assert all(math.isfinite(row.norm) and row.loss is not None for row in rows)


def loss_of(model: nn.Module, given: Any) -> Tensor:
    found: Tensor = model(given["x"]).sqrt().mean()
    return found


def test_a_lost_step_is_dumped_and_computed_again(tmp_path: Path) -> None:
    model = small("cuda")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, fused=True)
    guard = attach(optimizer, MaxNorm(0.5), model=model, dump=tmp_path)
    for step in range(3):
        optimizer.zero_grad()
        given = {"x": batch(step, "cuda")}
        loss = loss_of(model, given)
        guard.observe(loss, batch=given)
        loss.backward()
        optimizer.step()
    dumps = sorted(path for path in tmp_path.iterdir() if not path.name.startswith("."))
    assert dumps
    found = replay(dumps[0], small("cuda"), loss_of)
    assert not math.isfinite(found.losses[0])
    assert found.phase is not None


@each([entry for entry in MASKS if entry.build is not forest])
def test_a_mask_answers_as_on_the_cpu(entry: Entry) -> None:
    x = inputs(entry)
    model = masked(entry)
    moved = copy.deepcopy(model).cuda()
    out = moved(x.cuda())
    assert out.device.type == "cuda"
    assert out.isfinite().all()
    y = model(x).argmax(1).detach()
    assert gradient_status(moved, x.cuda(), y.cuda(), THREAT).kind == entry.gradient
    if not entry.random:
        torch.testing.assert_close(out.cpu(), model(x), rtol=1e-2, atol=1e-2)


@each([entry for entry in MASKS if entry.build is not forest])
def test_a_mask_is_fitted_on_the_device(entry: Entry) -> None:
    x = inputs(entry).cuda()
    model = net(x.shape[1] * entry.wide, x.ndim).cuda()
    if entry.build.__name__ == "together":
        pytest.skip("its builder makes a second net on the CPU")
    out = entry.build(entry.mask, model, x).eval()(x)
    assert out.device.type == "cuda"
    assert out.isfinite().all()


@pytest.mark.parametrize("name", [name for name in HONEST if name != "numpy"])
@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_what_an_attack_reports_is_true(attack: Attack, name: str) -> None:
    x, y = (part.cuda() for part in data(3, n=12))
    model, threat = Net(name).cuda(), Threat(ball=Linf(0.15))
    found = attack.run(model, x, y, threat, seed=5)
    assert found.x_adv.device.type == found.success.device.type == "cuda"
    assert threat.allows(found.x_adv, x).all()
    assert torch.equal(Untargeted().reached(model(found.x_adv.clone()), y), found.success)
    assert torch.equal(attack.run(model, x, y, threat, seed=5).success, found.success)
    on_cpu = attack.run(Net(name), x.cpu(), y.cpu(), threat, seed=5)
    assert (on_cpu.success != found.success.cpu()).sum() <= 1  # rounding may move one sample


class Walled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = (x * 7).round() / 7
        out: Tensor = self.body(x)
        return out


def test_an_audit_says_on_the_device_what_it_says_on_the_cpu() -> None:
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32).cuda() / 16, torch.tensor(labels).cuda()
    model = Walled().cuda()
    optimizer = torch.optim.Adam(model.parameters(), 4e-3, fused=True)
    for _ in range(15):
        for rows in range(0, 1400, 100):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[rows : rows + 100]), y[rows : rows + 100])
            loss.backward()
            optimizer.step()
    model.eval()
    x, y, threat = x[1400:1650], y[1400:1650], Threat(ball=Linf(0.15))
    found = examine(model, x, y, threat, claim=0.85, budget="quick")
    on_cpu = examine(model.cpu(), x.cpu(), y.cpu(), threat, claim=0.85, budget="quick")
    assert found.verdict == on_cpu.verdict == "masked"
    assert abs(found.adaptive.value - on_cpu.adaptive.value) <= 0.01
