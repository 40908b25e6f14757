"""Texts of the command line as values; each fault is one sentence, found before any work is done."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.files import check_writable
from gradwarden.core.threat import Threat

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from gradwarden.core.geometry import Ball

VERDICTS = ("masked", "overstated", "inconclusive", "consistent", "certified")


class BallName(StrEnum):
    linf = "linf"
    l2 = "l2"
    l1 = "l1"
    l0 = "l0"


class BudgetName(StrEnum):
    quick = "quick"
    standard = "standard"
    thorough = "thorough"


def verdicts(text: str) -> list[str]:
    """Words of `VERDICTS`, separated by commas."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in VERDICTS:
            raise BadInput(f"--fail-on takes words of {', '.join(VERDICTS)}, got {word!r}")
    return words


def check_out(out: Path, *suffixes: str) -> None:
    """A record goes to a file that ends in one of `suffixes`, and the place can be written to."""
    if out.suffix not in suffixes:
        raise BadInput(f"--out must end in {' or '.join(suffixes)}, got {str(out)!r}")
    check_writable(out)


def threat(ball: BallName, radius: str, box: str) -> Threat:
    """`box` is "low,high"; each number may be a fraction."""
    ends = box.split(",")
    if len(ends) != 2:
        raise BadInput(f"--box must be two numbers such as 0,1, got {box!r}")
    low, high = (number(end, "--box") for end in ends)
    size = number(radius, "--radius")
    if ball is BallName.l0:
        if size != int(size):
            raise BadInput(f"--radius of l0 is a whole number of elements, got {radius!r}")
        return Threat(ball=L0(int(size)), box=(low, high))
    kinds: dict[BallName, Callable[[float], Ball]] = {
        BallName.linf: Linf,
        BallName.l2: L2,
        BallName.l1: L1,
    }
    return Threat(ball=kinds[ball](size), box=(low, high))


def number(text: str, option: str) -> float:
    """Also of a fraction such as 8/255."""
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        raise BadInput(f"{option} takes a number such as 0.1 or 8/255, got {text!r}") from None


def device(text: str) -> torch.device:
    """A device of this machine, tried out with one number."""
    import torch

    try:
        place = torch.device(text)
        torch.zeros(1, device=place).item()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as why:
        line = (str(why).strip().splitlines() or ["it cannot hold a tensor"])[0]
        raise BadInput(f"device {text!r} cannot be used on this machine: {line}") from None
    return place
