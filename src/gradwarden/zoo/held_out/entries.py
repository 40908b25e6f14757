"""All entries of this half; one line an entry."""

from __future__ import annotations

from gradwarden.zoo.definition import Entry
from gradwarden.zoo.held_out import (
    by_training,
    honest,
    lying,
    shattered,
    stochastic,
    tabular,
    vanishing,
)

HELD_OUT: tuple[Entry, ...] = (
    shattered.CODEBOOK,
    shattered.MEAN_SPARSE,
    shattered.VOTE,
    shattered.NUMPY,
    shattered.MEDIAN_LEVELS,
    shattered.LOGIT_ROUNDING,
    stochastic.PRUNING,
    stochastic.FRONTS,
    stochastic.LEVELS_DROPOUT,
    vanishing.SATURATING,
    vanishing.CHAOTIC,
    lying.REVERSED,
    lying.RANDOM,
    by_training.DIVERSE,
    tabular.NEIGHBOURS,
    honest.BY_TRADES,
    honest.BY_NOISY_STEP,
    honest.ALIGNED,
    honest.ATTENTION,
    honest.LAYER_NORM,
)
