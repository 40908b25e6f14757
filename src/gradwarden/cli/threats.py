"""The threat that a command line names: by ball, radius and box, or as a callable that makes one."""

from __future__ import annotations

from gradwarden.cli import arguments
from gradwarden.cli.arguments import BallName
from gradwarden.cli.named import made
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat

BOX = "0,1"


def threat_of(
    ball: BallName | None, radius: str | None, box: str | None, named: str | None
) -> Threat:
    """`named` is file.py:callable. Raises BadInput unless exactly one of the two ways is taken."""
    given = [
        option
        for option, value in (("--ball", ball), ("--radius", radius), ("--box", box))
        if value is not None
    ]
    if named is not None:
        if given:
            raise BadInput(
                f"--threat says ball, radius and box by itself, got {' and '.join(given)} beside it: "
                "leave out one or the other"
            )
        return _made(named)
    if ball is None or radius is None:
        got = " and ".join(given) or "none of them"
        raise BadInput(f"got {got}, expected --ball and --radius, or --threat file.py:callable")
    return arguments.threat(ball, radius, BOX if box is None else box)


def _made(named: str) -> Threat:
    found = made(named)
    if not isinstance(found, Threat):
        raise BadInput(f"{named} returned {type(found).__name__}, expected a gradwarden.Threat")
    return found
