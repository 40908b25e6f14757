"""Defences that leave the gradient where it is: training, smoothing, certificates."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.harden.adversarial_training import AdversarialTraining as AdversarialTraining

__all__, __getattr__, __dir__ = lazy(__name__)
