"""Published signs of masked gradients, one a file, formulas repaired. Each line is run."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.audit.indicators.black_box_beats_white_box import (
        BlackBoxBeatsWhiteBox as BlackBoxBeatsWhiteBox,
    )
    from gradwarden.audit.indicators.few_classes import FewClasses as FewClasses
    from gradwarden.audit.indicators.first_order_stationarity import (
        FirstOrderStationarity as FirstOrderStationarity,
    )
    from gradwarden.audit.indicators.gradient_alignment import (
        GradientAlignment as GradientAlignment,
    )
    from gradwarden.audit.indicators.gradient_information import (
        GradientInformation as GradientInformation,
    )
    from gradwarden.audit.indicators.gradient_norm import GradientNorm as GradientNorm
    from gradwarden.audit.indicators.incomplete_optimisation import (
        IncompleteOptimisation as IncompleteOptimisation,
    )
    from gradwarden.audit.indicators.inner_optimisation import (
        InnerOptimisation as InnerOptimisation,
    )
    from gradwarden.audit.indicators.linearisation_error import (
        LinearisationError as LinearisationError,
    )
    from gradwarden.audit.indicators.noise_beats_white_box import (
        NoiseBeatsWhiteBox as NoiseBeatsWhiteBox,
    )
    from gradwarden.audit.indicators.one_step_beats_many import OneStepBeatsMany as OneStepBeatsMany
    from gradwarden.audit.indicators.one_step_direction import OneStepDirection as OneStepDirection
    from gradwarden.audit.indicators.probability_output import (
        ProbabilityOutput as ProbabilityOutput,
    )
    from gradwarden.audit.indicators.radius_does_not_help import (
        RadiusDoesNotHelp as RadiusDoesNotHelp,
    )
    from gradwarden.audit.indicators.randomised import Randomised as Randomised
    from gradwarden.audit.indicators.silent_success import SilentSuccess as SilentSuccess
    from gradwarden.audit.indicators.square_improves import SquareImproves as SquareImproves
    from gradwarden.audit.indicators.step_collinearity import StepCollinearity as StepCollinearity
    from gradwarden.audit.indicators.transfer_failure import TransferFailure as TransferFailure
    from gradwarden.audit.indicators.unavailable_gradients import (
        UnavailableGradients as UnavailableGradients,
    )
    from gradwarden.audit.indicators.unbounded_fails import UnboundedFails as UnboundedFails
    from gradwarden.audit.indicators.unconstrained_failure import (
        UnconstrainedFailure as UnconstrainedFailure,
    )
    from gradwarden.audit.indicators.unstable_predictions import (
        UnstablePredictions as UnstablePredictions,
    )
    from gradwarden.audit.indicators.zero_gradients import ZeroGradients as ZeroGradients

__all__, __getattr__, __dir__ = lazy(__name__)
