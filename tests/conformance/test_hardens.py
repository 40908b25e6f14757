"""What must hold of every trainer. A new trainer joins by one row."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import Any, NamedTuple, Protocol

import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn.functional import cross_entropy

from gradwarden import clip
from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Progress
from gradwarden.core.threat import Threat
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.harden.fast_training import FastTraining
from gradwarden.harden.grad_align import GradAlign
from gradwarden.harden.noise_training import NoiseTraining
from gradwarden.harden.trades import TRADES
from gradwarden.harden.training import Batches, TrainingLoss
from gradwarden.harden.watch import Watch
from gradwarden.harden.zero_grad import ZeroGrad


class Trainer(Protocol):
    @property
    def epochs(self) -> int: ...
    def fit(
        self,
        model: nn.Module,
        loader: Batches,
        optimizer: optim.Optimizer,
        *,
        on_progress: Progress | None = None,
        seed: int = 0,
        first_epoch: int = 0,
        watch: Watch | None = None,
    ) -> nn.Module: ...


class Entry(NamedTuple):
    trainer: Any  # a Trainer, and a dataclass
    passes: int  # forwards that a step makes in train mode
    inside: bool = True  # trains on points of the threat alone
    robust: float = 0.75  # accuracy under PGD on the data below, at least


THREAT = Threat(ball=Linf(0.15))
TRAINERS = [
    Entry(AdversarialTraining(threat=THREAT), 1),
    Entry(TRADES(threat=THREAT), 2),
    Entry(FastTraining(threat=THREAT), 1),
    Entry(FastTraining(threat=THREAT, noise=2.0, step_size=1.0, clip=False), 1, inside=False),
    Entry(GradAlign(threat=THREAT), 1),
    Entry(ZeroGrad(threat=THREAT), 1),
    Entry(NoiseTraining(sigma=1.5), 1, inside=False, robust=0.35),
]


def named(entry: Entry) -> str:
    return type(entry.trainer).__name__


each_trainer = pytest.mark.parametrize("entry", TRAINERS, ids=named)
within = pytest.mark.parametrize("entry", [row for row in TRAINERS if row.inside], ids=named)
BOX = ((0.0,) * 31, (1.0,) * 30 + (0.6,))
THREATS = [
    Threat(ball=L2(0.5)),
    Threat(ball=L1(1.0)),
    Threat(ball=L0(3)),
    Threat(ball=Scaled(Linf(0.1), tuple(1.0 + i % 3 for i in range(31))), box=BOX),
]


def data(n: int = 400) -> tuple[Tensor, Tensor]:
    """One robust feature that is right 9 times in 10, many frail ones that are always right."""
    rng = torch.Generator().manual_seed(0)
    y = torch.randint(2, (n,), generator=rng)
    sign = (2.0 * y - 1)[:, None]
    robust = 0.5 + 0.4 * sign * torch.where(torch.rand(n, 1, generator=rng) < 0.9, 1.0, -1.0)
    frail = 0.5 + 0.05 * sign + 0.02 * torch.randn(n, 30, generator=rng)
    return torch.cat([robust, frail], 1).clamp(0, 1), y


def batches(size: int = 50) -> list[tuple[Tensor, Tensor]]:
    x, y = data()
    return list(zip(x.split(size), y.split(size), strict=True))


def fresh() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(31, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))


def fit(trainer: Trainer, model: nn.Module, rate: float = 0.1, **options: Any) -> nn.Module:
    loader = options.pop("loader", batches())
    return trainer.fit(model, loader, torch.optim.SGD(model.parameters(), rate), **options)


@contextmanager
def seen(model: nn.Module, *, training: bool) -> Iterator[list[Tensor]]:
    """What passes through the model in that mode, as long as it is differentiated."""
    points: list[Tensor] = []

    def note(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if module.training is training:
            points.append(args[0].detach().clone())

    handle = model.register_forward_pre_hook(note)
    yield points
    handle.remove()


@pytest.fixture(scope="session")
def plain() -> nn.Module:
    model = fresh()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(15):
        for x, y in batches():
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
    return model.eval()


def accuracy(model: nn.Module) -> tuple[float, float]:
    """Clean, and under PGD."""
    x, y = data()
    found = PGD(steps=20).run(model, x, y, THREAT)
    right = (model(x).argmax(1) == y).float().mean()
    return float(right), 1.0 - float(found.success.float().mean())


@each_trainer
def test_robust_accuracy_rises(entry: Entry, plain: nn.Module) -> None:
    clean, broken = accuracy(plain)
    assert clean > 0.97
    assert broken < 0.2
    model, told = fresh(), []
    trainer = replace(entry.trainer, epochs=20)
    adam = torch.optim.Adam(model.parameters(), 0.01)
    out = trainer.fit(model, batches(), adam, on_progress=lambda *at: told.append(at))
    assert out is model
    assert told == [(i + 1, 20) for i in range(20)]
    assert accuracy(model)[1] > entry.robust


@each_trainer
def test_options_are_frozen_keyword_only_and_printed(entry: Entry) -> None:
    assert is_dataclass(entry.trainer)
    assert all(field.kw_only for field in fields(entry.trainer))
    with pytest.raises(FrozenInstanceError):
        setattr(entry.trainer, "epochs", 1)  # noqa: B010
    assert " at 0x" not in repr(entry.trainer)
    assert pickle.loads(pickle.dumps(entry.trainer)) == entry.trainer


@each_trainer
def test_steps_are_in_train_mode_and_the_rest_in_eval_mode(entry: Entry) -> None:
    model = fresh()
    with seen(model, training=True) as stepped, seen(model, training=False) as attacked:
        fit(replace(entry.trainer, epochs=1), model)
    assert len(stepped) == 8 * entry.passes
    assert len(attacked) == 0 or not isinstance(entry.trainer, NoiseTraining)
    assert not any(module.training for module in model.modules())
    frozen = fresh()
    norm = frozen[1]
    assert isinstance(norm, nn.BatchNorm1d)
    norm.eval()
    before = {name: value.clone() for name, value in norm.named_buffers()}
    fit(replace(entry.trainer, epochs=1), frozen)
    assert all(torch.equal(value, before[name]) for name, value in norm.named_buffers())


@each_trainer
def test_batch_norm_averages_are_moved_by_the_steps_alone(entry: Entry) -> None:
    model = fresh()
    fit(replace(entry.trainer, epochs=1), model)
    assert int(model.get_buffer("1.num_batches_tracked")) == 8 * entry.passes


@each_trainer
def test_a_clipper_on_the_optimizer_clips_every_step(entry: Entry) -> None:
    model = fresh()
    start = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    records: list[Any] = []
    guard = clip.attach(optimizer, clip.MaxNorm(1e-6), model=model, record=records.append)
    replace(entry.trainer, epochs=1).fit(model, batches(), optimizer)
    assert guard.last is not None
    assert float(guard.last.norm) > 1e-3
    guard.detach()
    for before, after in zip(start, model.parameters(), strict=True):
        assert float((before - after.detach()).norm()) <= 8 * 0.1 * 1.01e-6 + 1e-6
    assert any((b != a).any() for b, a in zip(start, model.parameters(), strict=True))


@each_trainer
def test_an_interrupted_run_goes_on_to_the_same_weights(entry: Entry) -> None:
    whole, parts = fresh(), fresh()
    trainer = replace(entry.trainer, epochs=3)
    trainer.fit(whole, batches(), optim.SGD(whole.parameters(), 0.1, momentum=0.9), seed=5)
    optimizer = optim.SGD(parts.parameters(), 0.1, momentum=0.9)

    def stop(done: int, total: int) -> None:
        assert total == 3
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(parts, batches(), optimizer, seed=5, on_progress=stop)
    trainer.fit(parts, batches(), optimizer, seed=5, first_epoch=2)
    assert same(whole, parts)
    other = fit(trainer, fresh(), seed=6)
    assert not same(whole, other)


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@each_trainer
def test_the_draws_do_not_depend_on_the_batches(entry: Entry) -> None:
    points = []
    for size in (50, 80):
        model = fresh()
        model[1].eval()  # else its averages, which the attack sees, come from the batches
        with seen(model, training=True) as stepped:
            fit(replace(entry.trainer, epochs=2), model, 0.0, loader=batches(size))
        points.append(torch.cat(stepped[entry.passes - 1 :: entry.passes]))
    off = (points[0] - points[1]).flatten(1).abs().amax(1)
    assert float((off < 1e-4).float().mean()) >= 0.99
    first, second = points[0].chunk(2)
    assert torch.equal(first, second) == isinstance(entry.trainer, GradAlign)  # draws for eta alone


@within
@pytest.mark.parametrize("threat", THREATS, ids=repr)
def test_any_threat_will_do(entry: Entry, threat: Threat) -> None:
    x, y = data()
    x = x.clamp(max=threat.ends(x)[1])
    model = fresh()
    with seen(model, training=True) as stepped:
        fit(replace(entry.trainer, threat=threat, epochs=1), model, loader=[(x[:200], y[:200])])
    x_adv = stepped[entry.passes - 1]
    assert threat.allows(x_adv, x[:200]).all()
    assert ((x_adv != x[:200]).flatten(1).any(1)).float().mean() > 0.5


@each_trainer
def test_a_loss_of_the_users_own_is_what_is_minimised(entry: Entry) -> None:
    calls: list[Sequence[int]] = []

    def smooth(logits: Tensor, y: Tensor) -> Tensor:
        calls.append(logits.shape)
        return cross_entropy(logits, y, label_smoothing=0.5)

    loss: TrainingLoss = smooth
    usual, other = fresh(), fresh()
    fit(replace(entry.trainer, epochs=1), usual)
    fit(replace(entry.trainer, epochs=1, loss=loss), other)
    assert calls == [(50, 2)] * 8
    assert not same(usual, other)


@each_trainer
def test_bad_input_is_one_sentence(entry: Entry) -> None:
    with pytest.raises(BadInput, match="epochs must be at least 1"):
        replace(entry.trainer, epochs=0)
    with pytest.raises(BadInput, match="the loader is empty"):
        fit(entry.trainer, fresh(), loader=[])
    with pytest.raises(BadInput, match="first_epoch must be at least 0"):
        fit(entry.trainer, fresh(), first_epoch=-1)
    x, y = data()
    with pytest.raises(BadInput, match="NaN or infinite"):
        fit(entry.trainer, fresh(), loader=[(x / 0.0, y)])
    if not isinstance(entry.trainer, NoiseTraining):
        with pytest.raises(BadInput, match="outside the box"):
            fit(entry.trainer, fresh(), loader=[(x * 255, y)])


def test_every_exported_trainer_has_a_row() -> None:
    from gradwarden import harden

    exported = {name for name in harden.__all__ if hasattr(getattr(harden, name), "fit")}
    assert exported == {type(row.trainer).__name__ for row in TRAINERS}
