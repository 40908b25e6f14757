"""What can be compared with `--between`: one contender a file."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.compare.contenders.adversarial_training import Adversarial as Adversarial
    from gradwarden.compare.contenders.clipping import Clipping as Clipping
    from gradwarden.compare.contenders.layer_norm import LayerNorm as LayerNorm
    from gradwarden.compare.contenders.lower_learning_rate import (
        LowerLearningRate as LowerLearningRate,
    )
    from gradwarden.compare.contenders.masking import Masking as Masking
    from gradwarden.compare.contenders.nothing import Nothing as Nothing
    from gradwarden.compare.contenders.randomised_smoothing import (
        RandomisedSmoothing as RandomisedSmoothing,
    )
    from gradwarden.compare.contenders.warm_up import WarmUp as WarmUp
    from gradwarden.compare.contenders.weight_decay import WeightDecay as WeightDecay

__all__, __getattr__, __dir__ = lazy(__name__)
