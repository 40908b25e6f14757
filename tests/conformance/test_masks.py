"""What must hold of every mask, wherever it stands. A new mask joins by one row."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn

from gradwarden.attack.bpda import patched
from gradwarden.attack.gradient import gradient_status
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Surrogated
from gradwarden.core.threat import Threat
from gradwarden.mask.activation_pruning import StochasticActivationPruning
from gradwarden.mask.binned_features import BinnedFeatures
from gradwarden.mask.bit_depth import BitDepth
from gradwarden.mask.detached_path import DetachedPath
from gradwarden.mask.distillation import Distillation
from gradwarden.mask.embedded_categories import EmbeddedCategories
from gradwarden.mask.ensemble_diversity import EnsembleDiversity
from gradwarden.mask.fgsm_training import FGSMTraining
from gradwarden.mask.front_end import DifferentiableFrontEnd
from gradwarden.mask.hard_vote import HardVote
from gradwarden.mask.inference_dropout import InferenceDropout
from gradwarden.mask.input_noise import InputNoise
from gradwarden.mask.iterated_map import IteratedMap
from gradwarden.mask.jpeg import JPEG
from gradwarden.mask.kwta import KWTA
from gradwarden.mask.logit_rounding import LogitRounding
from gradwarden.mask.logit_scaling import LogitScaling
from gradwarden.mask.lying_backward import LyingBackward
from gradwarden.mask.mean_sparse import MeanSparse
from gradwarden.mask.median_filter import MedianFilter
from gradwarden.mask.numpy_round_trip import NumpyRoundTrip
from gradwarden.mask.random_resize_pad import RandomResizePad
from gradwarden.mask.saturating_activation import SaturatingActivation
from gradwarden.mask.surrogates import surrogates
from gradwarden.mask.thermometer import Thermometer
from gradwarden.mask.tree_ensemble import TreeEnsemble
from gradwarden.mask.vector_quantisation import VectorQuantisation

CLASSES = 5
THREAT = Threat(ball=Linf(0.1))


def halves(a: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.round(a * 8) / 8


def defended(mask: Any, model: nn.Module, x: Tensor) -> nn.Module:
    """Masks that need nothing but the model."""
    del x
    found: nn.Module = mask.defend(model)
    return found


def fitted(mask: Any, model: nn.Module, x: Tensor) -> nn.Module:
    """Masks that look at data, and train nothing."""
    found: nn.Module = mask.fit(model, batches(x))
    return found


def trained(mask: Any, model: nn.Module, x: Tensor) -> nn.Module:
    """Masks that ask for optimizers."""
    found: nn.Module = mask.fit(model, batches(x), sgd)
    return found


def stepped(mask: Any, model: nn.Module, x: Tensor) -> nn.Module:
    """Masks that take the user's optimizer."""
    found: nn.Module = mask.fit(model, batches(x), sgd(model.parameters()))
    return found


def together(mask: EnsembleDiversity, model: nn.Module, x: Tensor) -> nn.Module:
    return mask.fit([model, net(x.shape[1], x.ndim, seed=1)], batches(x), sgd)


def forest(mask: TreeEnsemble, model: nn.Module, x: Tensor) -> nn.Module:
    del model
    trees = RandomForestClassifier(5, random_state=0)
    return mask.defend(trees.fit(x.flatten(1).numpy(), labels(x).numpy()))


class Entry(NamedTuple):
    mask: Any
    gradient: str  # "none", "zero" or "nonzero", as an attacker gets it
    off: float | None  # root mean square distance of a surrogate, at most; None: there is none
    build: Callable[[Any, nn.Module, Tensor], nn.Module] = defended
    data: str = "images"  # or "rows"
    wide: int = 1  # the model takes as many times the channels
    random: bool = False
    weights: bool = False  # the model's own are trained


CODES = EmbeddedCategories(columns=tuple(range(6)), counts=(2,) * 6, dim=3)
MASKS = [
    Entry(BitDepth(), "zero", 0.08),
    Entry(BitDepth(bits=1, box=(-1.0, 1.0)), "zero", 0.6),
    Entry(JPEG(), "none", 0.1),
    Entry(JPEG(quality=90), "none", 0.05),
    Entry(Thermometer(levels=4), "none", 0.4, wide=4),
    Entry(MedianFilter(), "nonzero", 0.15),
    Entry(KWTA(share=0.3), "nonzero", 0.5),
    Entry(KWTA(share=0.3, scope="channel"), "nonzero", 0.5),
    Entry(MeanSparse(), "nonzero", 0.2, fitted),
    Entry(VectorQuantisation(codes=16), "none", 0.2, fitted),
    Entry(LogitRounding(step=0.1), "zero", 0.05),
    Entry(HardVote(), "none", 0.7),
    Entry(HardVote(shift=1), "none", 0.7),
    Entry(NumpyRoundTrip(function=halves), "none", 0.1),
    Entry(RandomResizePad(), "nonzero", 0.4, random=True),
    Entry(StochasticActivationPruning(), "nonzero", 1.0, random=True),
    Entry(InputNoise(), "nonzero", 0.12, random=True),
    Entry(InferenceDropout(), "nonzero", 0.6, random=True),
    Entry(LogitScaling(factor=1e6), "zero", None),
    Entry(SaturatingActivation(gain=1e7, epochs=1), "zero", 1.0, trained, weights=True),
    Entry(IteratedMap(), "nonzero", 0.07),
    Entry(IteratedMap(kind="contracting"), "zero", 0.07),
    Entry(LyingBackward(kind="zero"), "zero", 0.0),
    Entry(LyingBackward(kind="reversed"), "nonzero", 0.0),
    Entry(LyingBackward(kind="random"), "nonzero", 0.0),
    Entry(DetachedPath(), "nonzero", 1e-6),
    Entry(DifferentiableFrontEnd(width=4), "nonzero", 0.5, trained),
    Entry(DifferentiableFrontEnd(width=4, fronts=2), "nonzero", 0.5, trained, random=True),
    Entry(Distillation(epochs=1), "nonzero", None, trained, weights=True),
    Entry(FGSMTraining(threat=THREAT, epochs=1), "nonzero", None, stepped, weights=True),
    Entry(EnsembleDiversity(epochs=1), "nonzero", None, together, weights=True),
    Entry(BinnedFeatures(bins=3), "none", 0.4, fitted, "rows"),
    Entry(BinnedFeatures(bins=3, encode="one-hot"), "none", 0.5, fitted, "rows", wide=3),
    Entry(CODES, "zero", 2.0, data="rows", wide=3),
    Entry(TreeEnsemble(), "none", None, forest, "rows"),
]
UNTOUCHED = [entry for entry in MASKS if not entry.weights and entry.build is not forest]
PRINTED = [entry for entry in MASKS if entry.off is not None or not entry.weights]
SURROGATED = [entry for entry in MASKS if entry.off is not None]
LEARNING = [entry for entry in MASKS if entry.build in (fitted, trained, stepped, together)]


def each(entries: list[Entry]) -> pytest.MarkDecorator:
    names = [repr(entry.mask) for entry in entries]
    return pytest.mark.parametrize("entry", entries, ids=names)


def net(channels: int = 1, ndim: int = 4, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: tuple[nn.Module, ...] = nn.Linear(channels, 8), nn.BatchNorm1d(8)
    if ndim == 4:
        layers = nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4)
    flat = 400 if ndim == 4 else 8
    last = nn.Linear(flat, CLASSES)
    model = nn.Sequential(*layers, nn.ReLU(inplace=True), nn.Flatten(), last)
    model.eval()
    return model


def inputs(entry: Entry, channels: int = 1) -> Tensor:
    """Smooth images, for codecs are made for such, or rows of numbers."""
    if entry.data == "rows":
        return torch.rand(10, 6, generator=torch.Generator().manual_seed(0))
    ramp = torch.linspace(0.1, 0.9, 12)
    phase = torch.arange(10.0).view(-1, 1, 1, 1)
    return ((ramp[:, None] * ramp + 0.1 * phase) % 1.0).expand(10, channels, 12, 12).clone()


def labels(x: Tensor) -> Tensor:
    return torch.arange(len(x)) % CLASSES


def batches(x: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(part, labels(part)) for part in x.split(5) if len(part)]


def sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, 1e-3)


def masked(entry: Entry, channels: int = 1) -> nn.Module:
    x = inputs(entry, channels)
    return entry.build(entry.mask, net(x.shape[1] * entry.wide, x.ndim), x)


@each(MASKS)
def test_options_are_frozen_keyword_only_and_documented(entry: Entry) -> None:
    assert is_dataclass(entry.mask)
    assert all(field.kw_only for field in fields(entry.mask))
    with pytest.raises(FrozenInstanceError):
        setattr(entry.mask, "seed", 1)  # noqa: B010
    docs = type(entry.mask).__doc__ or ""
    assert all(word in docs for word in ("Claims:", "Breaks:", "Cost:"))


@each(PRINTED)
def test_the_defended_model_prints_the_options(entry: Entry) -> None:
    assert repr(entry.mask) in repr(masked(entry))


@each(MASKS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_answers_every_batch(entry: Entry, channels: int, dtype: torch.dtype) -> None:
    x = inputs(entry, channels).to(dtype)
    model = masked(entry, channels).to(dtype).eval()
    torch.manual_seed(0)
    given, out = x.clone(), model(x)
    assert torch.equal(x, given)
    assert (out.shape, out.dtype, out.device) == ((len(x), CLASSES), dtype, x.device)
    assert out.isfinite().all()
    assert model(x[:0]).shape == (0, CLASSES)
    if entry.random:
        assert not torch.equal(model(x), out)
        torch.manual_seed(0)  # frozen, as a deployed model would be
        assert torch.equal(model(x), out)
    else:
        assert torch.equal(model(x), out)
        assert torch.allclose(torch.cat([model(row) for row in x.split(1)]), out, 1e-3, 1e-3)


@each(MASKS)
def test_the_gradient_is_hidden_as_documented(entry: Entry) -> None:
    model, x = masked(entry), inputs(entry)
    y = model(x).argmax(1).detach()
    status = gradient_status(model, x, y, THREAT)
    assert status.kind == entry.gradient
    assert getattr(status, f"share_{entry.gradient}") == 1.0


@each(SURROGATED)
def test_the_surrogate_is_about_right_and_gives_a_gradient(entry: Entry) -> None:
    model, x = masked(entry), inputs(entry)
    found = surrogates(model)
    seen: list[tuple[str, Tensor, Tensor]] = []
    hooks = [
        model.get_submodule(patch.path).register_forward_hook(
            lambda _, args, out, path=patch.path: seen.append((path, args[0].clone(), out.clone()))
        )
        for patch in found
    ]
    torch.manual_seed(0)
    logits = model(x).detach()
    for hook in hooks:
        hook.remove()
    assert len(seen) == len(found) > 0
    stand_in = {patch.path: patch.module for patch in found}
    for path, given, out in seen:
        soft = stand_in[path]
        assert isinstance(soft, nn.Module)
        assert entry.off is not None
        assert (soft(given) - out).square().mean().sqrt() <= entry.off
    with patched(model, stand_in):
        torch.manual_seed(0)
        assert torch.equal(model(x), logits)
        status = gradient_status(model, x, logits.argmax(1), THREAT)
        assert status.share_nonzero == 1.0


@each([entry for entry in MASKS if entry.off is None])
def test_none_claims_a_surrogate_that_it_lacks(entry: Entry) -> None:
    assert not any(isinstance(module, Surrogated) for module in masked(entry).modules())


@each(UNTOUCHED)
def test_the_model_is_used_as_it_is(entry: Entry) -> None:
    x = inputs(entry)
    model = net(x.shape[1] * entry.wide, x.ndim)
    model[1].train()
    model[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modules, modes = list(model.modules()), [m.training for m in model.modules()]
    found = entry.build(entry.mask, model, x)
    assert list(model.modules()) == modules
    if entry.build is not trained:  # which returns all in eval mode
        assert [m.training for m in model.modules()] == modes
        assert not found.training
        assert entry.build(entry.mask, model.train(), x).training
    found.eval()(x)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    assert not model[0].weight.requires_grad
    assert {id(p) for p in model.parameters()} <= {id(p) for p in found.parameters()}


@each(MASKS)
def test_it_pickles_and_takes_a_state_dict(entry: Entry) -> None:
    model, x = masked(entry), inputs(entry)
    copied = pickle.loads(pickle.dumps(model))
    copied.load_state_dict(model.state_dict())
    assert repr(copied) == repr(model)
    torch.manual_seed(0)
    out = model(x)
    torch.manual_seed(0)
    assert torch.equal(copied(x), out)


@each(LEARNING)
def test_an_empty_loader_is_refused(entry: Entry) -> None:
    x = inputs(entry)
    model = net(x.shape[1] * entry.wide, x.ndim)
    with pytest.raises(BadInput, match="loader is empty"):
        entry.build(entry.mask, model, x[:0])


def test_every_exported_mask_has_a_row() -> None:
    from gradwarden import mask

    exported = {name for name in mask.__all__ if is_dataclass(getattr(mask, name))}
    assert exported == {type(row.mask).__name__ for row in MASKS}
