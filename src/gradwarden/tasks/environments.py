"""Gymnasium's environments, many at a time, and what episodes are judged by."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor

from gradwarden.core.errors import MissingExtra
from gradwarden.tasks.metrics import worst_decile
from gradwarden.tasks.task import Metric

EPISODE_METRICS = (
    Metric("return", "reward an episode", True),
    Metric("worst decile", "reward an episode", True),
)
OWN_VECTORS = ("CartPole-v1",)  # those that Gymnasium simulates as arrays, far faster
PHYSICS = ("LunarLander-v3",)  # those that need Box2D


def environments(world: str) -> Callable[[int], Any]:
    """Of a number, that many environments `world` as one vector. Raises MissingExtra."""
    try:
        import gymnasium
    except ImportError:
        raise MissingExtra("gymnasium", "tasks") from None
    if world in PHYSICS:
        _physics()
    mode = "vector_entry_point" if world in OWN_VECTORS else "sync"
    return lambda number: gymnasium.make_vec(world, num_envs=number, vectorization_mode=mode)


def _physics() -> None:
    """Imports Box2D, whose bindings warn as they are loaded, and crash where warnings are errors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import Box2D  # noqa: F401
    except ImportError:
        raise MissingExtra("box2d", "tasks") from None


def episode_scores(returns: Tensor) -> dict[str, float]:
    """Of returns [episodes]."""
    figures = (float(returns.double().mean()), worst_decile(returns))
    return {metric.name: value for metric, value in zip(EPISODE_METRICS, figures, strict=True)}
