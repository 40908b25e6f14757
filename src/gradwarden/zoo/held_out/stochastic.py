"""Models that draw: the gradient of one draw is not that of the next."""

from __future__ import annotations

from torch import nn

from gradwarden.mask.activation_pruning import StochasticActivationPruning
from gradwarden.mask.bit_depth import BitDepth
from gradwarden.mask.defended import Defended
from gradwarden.mask.front_end import DifferentiableFrontEnd, FrontEnd, Fronts
from gradwarden.mask.inference_dropout import InferenceDropout
from gradwarden.mask.inside import replaced
from gradwarden.zoo.definition import Entry, Samples
from gradwarden.zoo.development import threats
from gradwarden.zoo.held_out.attacks import over_draws, over_draws_first
from gradwarden.zoo.training import Batches, adam, fit, plainly

UNITS = ("1", "3", "6")
FRONT_ENDS = DifferentiableFrontEnd(width=8, fronts=3)
PARTS = ("into", "down", "deep", "up", "out")


def bare_units(plain: nn.Module) -> nn.Module:
    """An activation in place of each unit, which is that and a mask in one."""
    return replaced(plain, UNITS, lambda _: nn.ReLU())


def train_fronts(plain: nn.Module, train: Samples) -> nn.Module:
    """The net alone, then each front end before it, for one epoch at a small rate."""
    trunk = plain.get_submodule("1")
    fit(trunk, train, epochs=15)
    found = FRONT_ENDS.fit(trunk, Batches(train), lambda p: adam(p, 1e-3)).mask
    assert isinstance(found, Fronts)
    ours = plain.get_submodule("0.body").children()
    for mine, net in zip(ours, found.nets, strict=True):
        for number, part in enumerate(PARTS):
            mine.get_submodule(f"body.{number}").load_state_dict(
                net.get_submodule(part).state_dict()
            )
    return plain.eval()


def behind_fronts(plain: nn.Module) -> nn.Module:
    nets: list[nn.Module] = []
    for unit in plain.get_submodule("0.body").children():
        net = FrontEnd(1, FRONT_ENDS.width, 4)
        for number, part in enumerate(PARTS):
            setattr(net, part, unit.get_submodule(f"body.{number}"))
        nets.append(net)
    return Defended(Fronts(FRONT_ENDS, nets), plain.get_submodule("1"))


def rounded_and_dropping(plain: nn.Module) -> nn.Module:
    dropping = InferenceDropout(p=0.3, paths=UNITS).defend(bare_units(plain.get_submodule("1")))
    return BitDepth(bits=3).defend(dropping)


PRUNING = Entry(
    name="digits-activation-pruning",
    net="net_30",
    half="held-out",
    family="stochastic activation pruning",
    kind="stochastic",
    data="digits",
    threat=threats.DIGITS,
    module="1",
    train=plainly(20),
    named=lambda plain: StochasticActivationPruning(draws=0.3, paths=UNITS).defend(
        bare_units(plain)
    ),
    attacks=over_draws_first,
    stochastic=True,
)
FRONTS = Entry(
    name="digits-front-ends",
    net="net_43",
    half="held-out",
    family="differentiable front ends",
    kind="stochastic",
    data="digits",
    threat=threats.DIGITS,
    module="0",
    train=train_fronts,
    named=behind_fronts,
    attacks=over_draws,
    stochastic=True,
    note="one of three small nets, by chance; with digits this hides little",
)
LEVELS_DROPOUT = Entry(
    name="digits-levels-dropout",
    net="net_44",
    half="held-out",
    family="rounding and dropout",
    kind="stochastic",
    data="digits",
    threat=threats.DIGITS,
    module="0",
    train=plainly(20),
    named=rounded_and_dropping,
    attacks=over_draws,
    stochastic=True,
    note="two masks in one model",
)
