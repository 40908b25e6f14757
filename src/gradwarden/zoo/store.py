"""Weights, witnesses and known answers, as files beside the code."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.attack.chance import seeded
from gradwarden.core.errors import MissingExtra
from gradwarden.core.files import write_atomically
from gradwarden.core.records import from_json, to_json
from gradwarden.zoo.definition import Entry, Samples
from gradwarden.zoo.known import Answers
from gradwarden.zoo.registry import entry
from gradwarden.zoo.sets import samples

WEIGHTS = Path(__file__).parent / "weights"


class Witnesses(NamedTuple):
    ids: Tensor  # [K] int64, samples that the plain attacker does not break
    x_adv: Tensor  # [K, ...] points inside the threat that the model gets wrong


def untrained(one: Entry) -> nn.Module:
    """The plain form; the same initial weights in every run."""
    with seeded(torch.device("cpu"), 0, one.net, "weights"):
        net: nn.Module = import_module(f"gradwarden.zoo.plain.{one.net}").build()
    return net


def train(name: str, folder: Path) -> nn.Module:
    """Trains the entry from scratch and writes its weights into `folder`; the plain form."""
    one = entry(name)
    plain = untrained(one)
    with seeded(torch.device("cpu"), 0, one.net, "training"):
        one.train(plain, samples(one.data).train)
    _save(folder / f"{one.net}.safetensors", plain.state_dict())
    return plain.eval()


def load(name: str, blind: bool = False, folder: Path = WEIGHTS) -> nn.Module:
    """The trained model in eval mode: behind its mask, or `blind`, as plain modules.

    Both are the same function of the same weights; given equal random numbers, their outputs are
    equal.
    """
    one = entry(name)
    plain = untrained(one)
    plain.load_state_dict(_open(folder / f"{one.net}.safetensors"))
    plain.eval()
    return plain if blind else one.named(plain).eval()


def data(name: str) -> Samples:
    """x [N, ...], y [N] that every figure of the entry is of; their ids are 0 to N - 1."""
    return samples(entry(name).data).held_out


def answers(name: str) -> Answers:
    """What is known of the entry; written by `judge`."""
    path = WEIGHTS / f"{entry(name).net}.json"
    return from_json(path.read_text(encoding="utf-8"), Answers)


def witnesses(name: str) -> Witnesses:
    found = _open(WEIGHTS / f"{entry(name).net}.witnesses.safetensors")
    return Witnesses(found["ids"], found["x_adv"])


def keep(one: Entry, known: Answers, found: Witnesses, folder: Path) -> Answers:
    """Writes witnesses and answers; the answers with the hash of the witnesses."""
    path = folder / f"{one.net}.witnesses.safetensors"
    _save(path, found._asdict())
    known = replace(known, witnesses=digest(path))
    write_atomically(folder / f"{one.net}.json", to_json(known))
    return known


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    try:
        from safetensors.torch import save
    except ImportError as why:
        raise MissingExtra("safetensors", "safetensors") from why
    write_atomically(path, save({name: t.contiguous() for name, t in tensors.items()}))


def _open(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as why:
        raise MissingExtra("safetensors", "safetensors") from why
    found: dict[str, Tensor] = load_file(path)
    return found
