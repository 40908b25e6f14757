"""Contenders: found by name, and each does to a run or a model what it says."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
import torch
from own_tasks import Flags, Slope
from torch import nn

from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.rules.zscore import ZScore
from gradwarden.compare.between import between, contender, purposes
from gradwarden.compare.contenders.adversarial_training import Adversarial
from gradwarden.compare.contenders.clipping import Clipping
from gradwarden.compare.contenders.contender import Treatment, label_of
from gradwarden.compare.contenders.layer_norm import LayerNorm
from gradwarden.compare.contenders.lower_learning_rate import LowerLearningRate
from gradwarden.compare.contenders.masking import Masking
from gradwarden.compare.contenders.nothing import Nothing
from gradwarden.compare.contenders.randomised_smoothing import RandomisedSmoothing
from gradwarden.compare.contenders.warm_up import WarmUp
from gradwarden.compare.contenders.weight_decay import WeightDecay
from gradwarden.compare.defence import DefenceJob
from gradwarden.compare.results import Trained, _read
from gradwarden.compare.training import TrainingJob
from gradwarden.compare.treated import mean_share, treated
from gradwarden.core.errors import BadInput
from gradwarden.harden.smoothed import Smoothed
from gradwarden.mask.bit_depth import BitDepth
from gradwarden.mask.distillation import Distillation
from gradwarden.mask.jpeg import JPEG
from gradwarden.tasks.breast_cancer import BreastCancer
from gradwarden.tasks.gpt_text import GPTText

ROOM = import_module("gradwarden.compare.contenders")
KINDS = [getattr(ROOM, name) for name in ROOM.__all__]


# By name


def test_the_names_of_the_command_line() -> None:
    assert {kind.name for kind in KINDS} == {
        *("clipping", "masking", "adversarial-training", "randomised-smoothing", "nothing"),
        *("lower-learning-rate", "warm-up", "weight-decay", "layer-norm"),
    }
    for kind in KINDS:
        made = contender(kind.name)
        assert made == kind()
        assert purposes(made)
        for text in (made.noun, made.what, made.title):
            assert isinstance(text, str)
            assert text


@pytest.mark.parametrize(
    ("text", "pair", "alike"),
    [
        ("clipping,masking", (Clipping(), Masking()), ""),
        ("masking, clipping", (Masking(), Clipping()), ""),
        ("MaxNorm(0.5),ZScore", (Clipping(rule=MaxNorm(0.5)), Clipping(rule=ZScore())), "training"),
        ("JPEG(quality=30),masking", (Masking(mask=JPEG(quality=30)), Masking()), "security"),
        ("nothing,warm-up", (Nothing(), WarmUp()), "training"),
        (
            "BitDepth(bits=2, box=(-1, 1)),masking",
            (Masking(mask=BitDepth(bits=2, box=(-1, 1))), Masking()),
            "security",
        ),
        ("adversarial-training,nothing", (Adversarial(), Nothing()), "security"),
    ],
)
def test_pairs(text: str, pair: tuple[object, object], alike: str) -> None:
    found = between(text)
    assert tuple(found) == pair
    assert found.alike == alike
    assert found.serves == ({alike} if alike else {"training", "security"})


def test_nothing_is_no_side_of_its_own() -> None:
    assert between("nothing,warm-up").sides("training") == (WarmUp(),)
    assert between("masking,nothing").sides("training") == ()
    assert between("masking,clipping").sides("training") == (Clipping(),)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("clippin,masking", "did you mean 'clipping'"),
        ("clipping", "expected two contenders as A,B"),
        ("clipping,masking,nothing", "expected two contenders as A,B"),
        ("clipping,clipping", "expected two different contenders"),
        ("PGD,masking", "unknown contender 'PGD'"),
        ("attach,masking", "unknown contender 'attach'"),
        ("JPEG(quality=1e9),masking", "quality must be"),
        ("JPEG(shade=3),masking", "expected for example MaxNorm"),
        ("MaxNorm(__import__('os')),masking", "cannot be made"),
    ],
)
def test_what_is_no_pair_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence.replace("(", r"\(")):
        between(text)


# Training


def run(*treatments: Treatment, **options: Any) -> Trained:
    task = Slope(steps=20)
    job = TrainingJob(of=task, optimizer="SGD", rate=0.02, treatments=treatments, seed=0)
    found = _read(replace(job, **options).run())
    assert isinstance(found, Trained)
    return found


def lines(net: nn.Module, *treatments: Treatment, warmup: int = 0) -> list[float]:
    """The learning rate at each of ten steps, of a nominal rate of 1."""
    optimizer = torch.optim.SGD(net.parameters(), 1.0)
    rates: list[float] = []
    with treated(optimizer, treatments, steps=10, warmup=warmup):
        for _ in range(10):
            optimizer.zero_grad()
            net(torch.ones(1, 1)).sum().mul(1e-3).backward()
            optimizer.step()
            rates.append(optimizer.param_groups[0]["lr"])
    return rates


def test_the_rate_of_each_step() -> None:
    net = nn.Linear(1, 1)
    assert lines(net, warmup=4) == pytest.approx([0.25, 0.5, 0.75] + 7 * [1.0])
    assert lines(net, WarmUp(part=0.5)) == pytest.approx([0.2, 0.4, 0.6, 0.8] + 6 * [1.0])
    assert lines(net, LowerLearningRate(factor=0.25)) == [0.25] * 10
    both = lines(net, LowerLearningRate(factor=0.5), WarmUp(part=0.2), warmup=2)
    assert both == pytest.approx([0.5 * 0.5 * 0.5] + 9 * [0.5])
    assert not net._forward_pre_hooks
    assert mean_share([WarmUp(part=0.5)], 10) == pytest.approx((0.2 + 0.4 + 0.6 + 0.8 + 6) / 10)


def test_a_lower_rate_is_a_lower_rate() -> None:
    half, plain = run(LowerLearningRate(factor=0.5)), run(rate=0.01)
    assert half.losses == plain.losses
    assert half.effective == plain.effective == pytest.approx(0.01)
    assert (half.rule, half.rate) == ("0.5 of the rate", 0.02)


def test_weight_decay_is_that_of_the_optimizer() -> None:
    plain, decayed = run(), run(WeightDecay(decay=0.5))
    assert plain.losses[0] == decayed.losses[0]
    # One step of SGD by hand: w - rate * (gradient + decay * w), on the first two batches.
    task = Slope(steps=20)
    model, batches = task.model(0), iter(task.batches(0, task.model(0)))
    first, second = next(batches), next(batches)
    task.loss(model, first).backward()
    with torch.no_grad():
        for p in model.parameters():
            assert p.grad is not None
            p.add_(p.grad + 0.5 * p, alpha=-0.02)
    assert decayed.losses[1] == pytest.approx(task.loss(model, second).item(), rel=1e-4)


def test_two_rules_clip_one_after_the_other() -> None:
    loose, tight = Clipping(rule=MaxNorm(0.5)), Clipping(rule=MaxNorm(0.1))
    both, alone, bare = run(loose, tight), run(tight), run(loose)
    assert both.losses == pytest.approx(alone.losses, rel=1e-5)
    assert both.norms == pytest.approx(alone.norms, rel=1e-5)
    assert both.coefficients == pytest.approx(alone.coefficients, rel=1e-4)
    assert bare.norms[0] == both.norms[0]
    assert both.rule == "MaxNorm(max_norm=0.5) + MaxNorm(max_norm=0.1)"


def test_layer_norm_before_every_linear_layer_but_the_first() -> None:
    task = GPTText(batch=2, length=4, width=8, layers=1)
    net = LayerNorm().applied(task.model(0))
    linear = [m for m in net.modules() if isinstance(m, nn.Linear)]
    assert linear
    for module in linear:  # the embedding is what the input meets
        norm = module.get_submodule("norm_before")
        assert isinstance(norm, nn.LayerNorm)
        assert norm.normalized_shape == (module.in_features,)
    mlp = LayerNorm().applied(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    first, _, last = mlp.children()
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    x = 100 * torch.randn(5, 3)
    hidden = torch.tanh(nn.functional.linear(x, first.weight, first.bias))
    normed = nn.functional.layer_norm(hidden, (4,))
    assert torch.allclose(mlp(x), nn.functional.linear(normed, last.weight, last.bias), atol=1e-5)
    assert len(list(mlp.parameters())) == 6  # the scale and shift are trained


def test_labels() -> None:
    assert label_of(()) == label_of((Nothing(),)) == ""
    assert label_of((Clipping(rule=MaxNorm(1.0)), Nothing(), WarmUp())) == (
        "MaxNorm(max_norm=1.0) + warm-up over 10%"
    )


@pytest.mark.parametrize(
    "made",
    [
        lambda: LowerLearningRate(factor=1.0),
        lambda: WarmUp(part=0.0),
        lambda: WeightDecay(decay=-1.0),
    ],
)
def test_options_are_checked(made: Any) -> None:
    with pytest.raises(BadInput, match="must be above 0"):
        made()


# Security


def test_smoothing_trains_with_the_noise_that_it_answers_by() -> None:
    (made,) = RandomisedSmoothing().defences(Flags(radius=0.3))
    training, smoothing = made.parts
    assert "sigma=0.3" in repr(training)
    assert "sigma=0.3" in repr(smoothing)
    model = DefenceJob(
        of=Flags(), name=made.name, purpose="mask", defences=made.parts, seed=0
    )._trained()
    assert isinstance(model, Smoothed)
    assert isinstance(model.model, nn.Linear)


def test_smoothing_is_not_for_features_of_many_units() -> None:
    with pytest.raises(BadInput, match="randomised smoothing needs one sigma"):
        RandomisedSmoothing().defences(BreastCancer())


def test_defences_are_applied_in_their_order() -> None:
    (hard,) = Adversarial().defences(Flags())
    mask = Masking(mask=JPEG(quality=30)).defences(Flags())[0]
    whole = mask.around(hard)
    assert whole.name == f"AdversarialTraining + {mask.name}"
    assert [type(part).__name__ for part in whole.parts] == ["AdversarialTraining", "JPEG"]


class Weak(Flags):
    """Learns from nought, a little with each step."""

    def model(self, seed: int) -> nn.Module:
        model = super().model(seed)
        with torch.no_grad():
            for p in model.parameters():
                p.zero_()
        return model


def test_training_ends_once_it_is_as_accurate() -> None:
    def accuracy(until: float | None) -> float:
        job = DefenceJob(of=Weak(epochs=20), name="", purpose="none", seed=0, until=until)
        return job._accuracy(job._trained())

    untrained, whole = accuracy(0.0), accuracy(None)
    assert untrained < 0.8 <= accuracy(0.8)
    assert accuracy(2.0) == whole > untrained


@pytest.mark.parametrize(
    "defences",
    [(), (Distillation(temperature=2.0, epochs=1),), Adversarial().defences(Flags())[0].parts],
)
def test_a_treated_training_of_a_defended_net(defences: tuple[Any, ...]) -> None:
    slow_down = (LowerLearningRate(factor=0.1),)
    job = DefenceJob(
        of=Weak(epochs=1),
        name="",
        purpose="both",
        defences=defences,
        seed=0,
        treatments=slow_down,
    )
    slow, plain = job._trained(), replace(job, treatments=())._trained()
    for low, high in zip(slow.parameters(), plain.parameters(), strict=True):
        assert float(low.detach().norm()) > 0.0
        assert not torch.equal(low, high)
