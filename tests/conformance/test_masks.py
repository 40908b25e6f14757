"""What must hold of every mask that stands before a model. A new mask joins by one row."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any, NamedTuple, Protocol

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.bpda import patched
from gradwarden.attack.gradient import gradient_status
from gradwarden.core.balls.linf import Linf
from gradwarden.core.protocols import Surrogated
from gradwarden.core.threat import Threat
from gradwarden.mask.bit_depth import BitDepth
from gradwarden.mask.defended import Defended
from gradwarden.mask.jpeg import JPEG


class Mask(Protocol):
    def defend(self, model: nn.Module) -> Defended: ...


class Entry(NamedTuple):
    mask: Mask
    gradient: str  # "none", "zero" or "nonzero", as an attacker gets it
    off: float  # root mean square distance of the surrogate, in units of x, at most


MASKS = [
    Entry(BitDepth(), "zero", 0.08),
    Entry(BitDepth(bits=1, box=(-1.0, 1.0)), "zero", 0.6),
    Entry(JPEG(), "none", 0.1),
    Entry(JPEG(quality=90), "none", 0.05),
]
TRAINED = {"Distillation"}  # change weights instead: tests/mask has their own tests
THREAT = Threat(ball=Linf(0.1))
each_mask = pytest.mark.parametrize("entry", MASKS, ids=lambda entry: repr(entry.mask))
shapes: Callable[..., Any] = pytest.mark.parametrize("channels", [1, 3])


def net(channels: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 100, 5))
    model.eval()
    return model


def images(channels: int = 1) -> Tensor:
    """Smooth, for a codec is made for such."""
    ramp = torch.linspace(0.1, 0.9, 12)
    phase = torch.arange(6.0).view(-1, 1, 1, 1)
    return ((ramp[:, None] * ramp + 0.1 * phase) % 1.0).expand(6, channels, 12, 12).clone()


@each_mask
def test_options_are_frozen_keyword_only_and_printed(entry: Entry) -> None:
    assert is_dataclass(entry.mask)
    assert all(field.kw_only for field in fields(entry.mask))
    with pytest.raises(FrozenInstanceError):
        setattr(entry.mask, "seed", 1)  # noqa: B010
    assert repr(entry.mask) in repr(entry.mask.defend(net()))
    docs = type(entry.mask).__doc__ or ""
    assert all(word in docs for word in ("Claims:", "Breaks:", "Cost:"))


@each_mask
@shapes
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_are_kept(entry: Entry, channels: int, dtype: torch.dtype) -> None:
    x = images(channels).to(dtype)
    mask = entry.mask.defend(net(channels)).mask
    out = mask(x)
    assert (out.shape, out.dtype, out.device) == (x.shape, x.dtype, x.device)
    assert torch.equal(mask(x), out)
    assert mask(x[:0]).shape == x[:0].shape
    assert torch.equal(torch.cat([mask(row) for row in x.split(1)]), out)


@each_mask
@shapes
def test_the_gradient_is_hidden_as_documented(entry: Entry, channels: int) -> None:
    model, x = entry.mask.defend(net(channels)), images(channels)
    y = model(x).argmax(1).detach()
    status = gradient_status(model, x, y, THREAT)
    assert status.kind == entry.gradient
    assert getattr(status, f"share_{entry.gradient}") == 1.0


@each_mask
def test_the_surrogate_is_about_right_and_gives_a_gradient(entry: Entry) -> None:
    model, x = entry.mask.defend(net()), images()
    assert isinstance(model.mask, Surrogated)
    surrogate = model.mask.surrogate()
    assert (surrogate(x) - model.mask(x)).square().mean().sqrt() <= entry.off
    y = model(x).argmax(1).detach()
    with patched(model, {"mask": surrogate}):
        assert torch.equal(model(x).argmax(1), y)
        assert gradient_status(model, x, y, THREAT).kind == "nonzero"


@each_mask
def test_the_model_is_used_as_it_is(entry: Entry) -> None:
    model = net()
    model[1].train()
    model[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    defended = entry.mask.defend(model)
    assert defended.model is model
    assert [m.training for m in model.modules()] == [False, False, True, False, False, False]
    assert not defended.training
    assert not defended.mask.training
    assert entry.mask.defend(net().train()).training
    model.eval()
    defended(images())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model[0].weight.requires_grad
    assert {name.partition(".")[0] for name in defended.state_dict()} == {"model"}


@each_mask
def test_it_pickles_and_takes_a_state_dict(entry: Entry) -> None:
    defended, x = entry.mask.defend(net()), images()
    copied = pickle.loads(pickle.dumps(defended))
    assert torch.equal(copied(x), defended(x))
    copied.load_state_dict(defended.state_dict())
    assert repr(copied) == repr(defended)


def test_every_exported_mask_has_a_row() -> None:
    from gradwarden import mask

    exported = {name for name in mask.__all__ if is_dataclass(getattr(mask, name))}
    assert exported == {type(row.mask).__name__ for row in MASKS} | TRAINED
