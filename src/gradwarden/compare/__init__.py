"""Arms, seeds and tasks into runs, claims and a verdict."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.compare.clock import Progress as Progress
    from gradwarden.compare.comparison import run as run
    from gradwarden.compare.picks import Picks as Picks

__all__, __getattr__, __dir__ = lazy(__name__)
