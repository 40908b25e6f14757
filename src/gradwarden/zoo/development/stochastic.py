"""Models that draw: the gradient of one draw is not that of the next."""

from __future__ import annotations

from torch import nn

from gradwarden.mask.inference_dropout import InferenceDropout
from gradwarden.mask.input_noise import InputNoise
from gradwarden.mask.random_resize_pad import RandomResizePad
from gradwarden.zoo.definition import Entry
from gradwarden.zoo.development import threats
from gradwarden.zoo.development.attacks import over_draws
from gradwarden.zoo.training import in_small_noise, plainly


def dropping(plain: nn.Module) -> nn.Module:
    """The plain form's units, which are an activation and a dropout in one."""
    parts = [
        nn.ReLU() if path in ("1", "3", "7") else part for path, part in plain.named_children()
    ]
    return InferenceDropout(p=0.3, paths=("1", "3", "7")).defend(nn.Sequential(*parts).eval())


NOISE = Entry(
    name="digits-input-noise",
    net="net_02",
    half="development",
    family="input noise",
    kind="stochastic",
    data="digits",
    threat=threats.DIGITS,
    module="0",
    train=plainly(20),
    named=lambda plain: InputNoise(std=0.3).defend(plain.get_submodule("1")),
    attacks=over_draws,
    stochastic=True,
)
RESIZE_PAD = Entry(
    name="digits-resize-pad",
    net="net_18",
    half="development",
    family="random resize and pad",
    kind="stochastic",
    data="digits",
    threat=threats.DIGITS,
    module="0",
    train=plainly(25),
    named=lambda plain: RandomResizePad(smallest=20 / 28).defend(plain.get_submodule("1")),
    attacks=over_draws,
    stochastic=True,
)
DROPOUT = Entry(
    name="motion-dropout",
    net="net_12",
    half="development",
    family="dropout at inference",
    kind="stochastic",
    data="motion",
    threat=threats.MOTION,
    module="1",
    train=in_small_noise,
    named=dropping,
    attacks=over_draws,
    stochastic=True,
)
