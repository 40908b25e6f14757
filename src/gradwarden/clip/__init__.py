"""Gradient clipping: measure, decide, apply, record."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.clip.attach import Guard as Guard
    from gradwarden.clip.attach import attach as attach
    from gradwarden.clip.clipper import Clipper as Clipper
    from gradwarden.clip.clipper import clip_grad_norm_ as clip_grad_norm_
    from gradwarden.clip.engine import Clipped as Clipped
    from gradwarden.clip.recorder import read_record as read_record
    from gradwarden.clip.rule import Measured as Measured
    from gradwarden.clip.rule import Needs as Needs
    from gradwarden.clip.rule import Rule as Rule
    from gradwarden.clip.rules.max_norm import MaxNorm as MaxNorm
    from gradwarden.clip.rules.max_value import MaxValue as MaxValue
    from gradwarden.clip.rules.quantile import Quantile as Quantile
    from gradwarden.clip.rules.zscore import ZScore as ZScore

__all__, __getattr__, __dir__ = lazy(__name__)
