"""Diagnostics, one a file: what hides, bends or blurs a model's gradient. Each line is run."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.audit.checks.batch_coupled import BatchCoupled as BatchCoupled
    from gradwarden.audit.checks.exploding_gradient import ExplodingGradient as ExplodingGradient
    from gradwarden.audit.checks.flat_gradient import FlatGradient as FlatGradient
    from gradwarden.audit.checks.inner_gradient import InnerGradient as InnerGradient
    from gradwarden.audit.checks.jumps import Jumps as Jumps
    from gradwarden.audit.checks.lost_precision import LostPrecision as LostPrecision
    from gradwarden.audit.checks.no_gradient import NoGradient as NoGradient
    from gradwarden.audit.checks.quantiser import Quantiser as Quantiser
    from gradwarden.audit.checks.remembers import Remembers as Remembers
    from gradwarden.audit.checks.rounded_logits import RoundedLogits as RoundedLogits
    from gradwarden.audit.checks.saturated_loss import SaturatedLoss as SaturatedLoss
    from gradwarden.audit.checks.softmax_tail import SoftmaxTail as SoftmaxTail
    from gradwarden.audit.checks.stochastic import Stochastic as Stochastic
    from gradwarden.audit.checks.straight_through import StraightThrough as StraightThrough
    from gradwarden.audit.checks.train_mode import TrainMode as TrainMode
    from gradwarden.audit.checks.vanishing_gradient import VanishingGradient as VanishingGradient
    from gradwarden.audit.checks.wrong_backward import WrongBackward as WrongBackward
    from gradwarden.audit.checks.zero_gradient import ZeroGradient as ZeroGradient

__all__, __getattr__, __dir__ = lazy(__name__)
