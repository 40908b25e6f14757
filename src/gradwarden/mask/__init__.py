"""Defences that hide gradients, each with what it claims and what breaks it."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.mask.bit_depth import BitDepth as BitDepth
    from gradwarden.mask.defended import Defended as Defended
    from gradwarden.mask.distillation import Distillation as Distillation
    from gradwarden.mask.jpeg import JPEG as JPEG

__all__, __getattr__, __dir__ = lazy(__name__)
