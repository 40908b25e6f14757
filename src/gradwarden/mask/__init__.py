"""Defences that hide gradients, each with what it claims and what breaks it."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.mask.activation_pruning import (
        StochasticActivationPruning as StochasticActivationPruning,
    )
    from gradwarden.mask.binned_features import BinnedFeatures as BinnedFeatures
    from gradwarden.mask.bit_depth import BitDepth as BitDepth
    from gradwarden.mask.defended import Answered as Answered
    from gradwarden.mask.defended import Defended as Defended
    from gradwarden.mask.detached_path import DetachedPath as DetachedPath
    from gradwarden.mask.distillation import Distillation as Distillation
    from gradwarden.mask.embedded_categories import EmbeddedCategories as EmbeddedCategories
    from gradwarden.mask.ensemble_diversity import EnsembleDiversity as EnsembleDiversity
    from gradwarden.mask.fgsm_training import FGSMTraining as FGSMTraining
    from gradwarden.mask.front_end import DifferentiableFrontEnd as DifferentiableFrontEnd
    from gradwarden.mask.hard_vote import HardVote as HardVote
    from gradwarden.mask.inference_dropout import InferenceDropout as InferenceDropout
    from gradwarden.mask.input_noise import InputNoise as InputNoise
    from gradwarden.mask.iterated_map import IteratedMap as IteratedMap
    from gradwarden.mask.jpeg import JPEG as JPEG
    from gradwarden.mask.kwta import KWTA as KWTA
    from gradwarden.mask.logit_rounding import LogitRounding as LogitRounding
    from gradwarden.mask.logit_scaling import LogitScaling as LogitScaling
    from gradwarden.mask.lying_backward import LyingBackward as LyingBackward
    from gradwarden.mask.mean_sparse import MeanSparse as MeanSparse
    from gradwarden.mask.median_filter import MedianFilter as MedianFilter
    from gradwarden.mask.numpy_round_trip import NumpyRoundTrip as NumpyRoundTrip
    from gradwarden.mask.random_resize_pad import RandomResizePad as RandomResizePad
    from gradwarden.mask.saturating_activation import SaturatingActivation as SaturatingActivation
    from gradwarden.mask.surrogates import surrogates as surrogates
    from gradwarden.mask.thermometer import Thermometer as Thermometer
    from gradwarden.mask.tree_ensemble import TreeEnsemble as TreeEnsemble
    from gradwarden.mask.vector_quantisation import VectorQuantisation as VectorQuantisation

__all__, __getattr__, __dir__ = lazy(__name__)
