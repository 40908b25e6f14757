"""How the parts of a route wrap an attack, and in which order they are told."""

from __future__ import annotations

import torch
from torch import nn

from gradwarden.attack.bpda import BPDA, Surrogate
from gradwarden.attack.double import Double
from gradwarden.attack.eot import EOT
from gradwarden.attack.pgd import PGD
from gradwarden.attack.smoothed import Smoothed
from gradwarden.audit.route import NEIGHBOURS, Route

ATTACK = PGD(steps=3)
PATCHES = (Surrogate("a"), Surrogate("b"))


def test_an_empty_route_is_the_attack_itself() -> None:
    assert Route().wrap(ATTACK) is ATTACK
    assert Route().parts() == ()
    assert Route().price == 1


def test_a_whole_route_from_the_inside_out() -> None:
    route = Route(patches=PATCHES, draws=5, sigma=0.1, double=True)
    averaged = EOT(attack=ATTACK, draws=5)
    smoothed = Smoothed(attack=averaged, sigma=0.1, draws=1)
    assert route.wrap(ATTACK) == Double(attack=BPDA(attack=smoothed, patches=PATCHES))
    assert route.price == 5 * 2
    alone = Smoothed(attack=ATTACK, sigma=0.1, draws=NEIGHBOURS)
    assert Route(sigma=0.1).wrap(ATTACK) == alone
    assert Route(sigma=0.1).price == 1 + NEIGHBOURS


def test_draws_are_the_routes_own() -> None:
    assert Route(draws=5).wrap(EOT(attack=ATTACK, draws=16)) == EOT(attack=ATTACK, draws=5)


def test_parts_add_up_to_the_route() -> None:
    route = Route(patches=PATCHES, draws=5, sigma=0.1, double=True)
    parts = route.parts()
    assert [part.module for part in parts] == ["a", "b", None, None, None]
    assert parts[0].route == Route(patches=PATCHES[:1])
    assert parts[1].route == Route(patches=PATCHES)
    assert parts[2].route == Route(patches=PATCHES, draws=5)
    assert parts[-1].route == route
    assert parts[0].says == "through module 'a', the identity on the way back"
    assert "5 draws" in parts[2].says
    assert "0.1" in parts[3].says


def test_patches_are_applied_and_gone_after() -> None:
    model = nn.ModuleDict({"a": nn.Identity()})
    with Route(patches=PATCHES[:1]).applied(model):
        assert model["a"]._forward_hooks
    assert not model["a"]._forward_hooks
    assert not torch.is_inference_mode_enabled()
