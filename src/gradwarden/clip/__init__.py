"""Gradient clipping: measure, decide, apply, record."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.clip.advice import Advice as Advice
    from gradwarden.clip.advice import advise as advise
    from gradwarden.clip.attach import attach as attach
    from gradwarden.clip.clipped import Clipped as Clipped
    from gradwarden.clip.clipper import Clipper as Clipper
    from gradwarden.clip.clipper import clip_grad_norm_ as clip_grad_norm_
    from gradwarden.clip.guard import Guard as Guard
    from gradwarden.clip.record import Event as Event
    from gradwarden.clip.record import Header as Header
    from gradwarden.clip.record import Record as Record
    from gradwarden.clip.record import Row as Row
    from gradwarden.clip.record import Window as Window
    from gradwarden.clip.record import read_record as read_record
    from gradwarden.clip.replay import Replayed as Replayed
    from gradwarden.clip.replay import replay as replay
    from gradwarden.clip.rule import Measured as Measured
    from gradwarden.clip.rule import Needs as Needs
    from gradwarden.clip.rule import Rule as Rule
    from gradwarden.clip.rules.adagc import AdaGC as AdaGC
    from gradwarden.clip.rules.adaptive import Adaptive as Adaptive
    from gradwarden.clip.rules.agc import AGC as AGC
    from gradwarden.clip.rules.max_norm import MaxNorm as MaxNorm
    from gradwarden.clip.rules.max_value import MaxValue as MaxValue
    from gradwarden.clip.rules.median_multiple import MedianMultiple as MedianMultiple
    from gradwarden.clip.rules.quantile import Quantile as Quantile
    from gradwarden.clip.rules.skip_spikes import SkipSpikes as SkipSpikes
    from gradwarden.clip.rules.zscore import ZScore as ZScore
    from gradwarden.clip.transform import Transform as Transform
    from gradwarden.clip.transforms.stable_spam import StableSPAM as StableSPAM
    from gradwarden.clip.transforms.u_clip import UClip as UClip

__all__, __getattr__, __dir__ = lazy(__name__)
