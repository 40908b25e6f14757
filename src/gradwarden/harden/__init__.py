"""Defences that leave the gradient where it is: training, smoothing, certificates."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.harden.adversarial_training import AdversarialTraining as AdversarialTraining
    from gradwarden.harden.crown import CROWN as CROWN
    from gradwarden.harden.fast_training import FastTraining as FastTraining
    from gradwarden.harden.grad_align import GradAlign as GradAlign
    from gradwarden.harden.interval_bounds import IntervalBounds as IntervalBounds
    from gradwarden.harden.noise_training import NoiseTraining as NoiseTraining
    from gradwarden.harden.randomised_smoothing import RandomisedSmoothing as RandomisedSmoothing
    from gradwarden.harden.smoothed import Smoothed as Smoothed
    from gradwarden.harden.trades import TRADES as TRADES
    from gradwarden.harden.watch import Watch as Watch
    from gradwarden.harden.zero_grad import ZeroGrad as ZeroGrad

__all__, __getattr__, __dir__ = lazy(__name__)
