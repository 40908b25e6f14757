"""Adversarial training: an honest defence, which hides nothing.

Source: Madry et al. 2018, arXiv:1706.06083.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gradwarden.attack.pgd import PGD
from gradwarden.compare.contenders.contender import Protected, Protection
from gradwarden.core.goal import Untargeted
from gradwarden.core.threat import Threat
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.tasks.task import SecurityTask

HARDENED = "AdversarialTraining"
INNER = PGD(steps=5, step_size=0.5)


@dataclass(frozen=True, kw_only=True)
class Adversarial(Protection):
    """On the strongest points that a short PGD finds within the task's threat."""

    name = "adversarial-training"
    noun = "adversarial training"
    what = "Trains on the strongest perturbations that an attack finds, and hides no gradient."

    def defences(self, task: SecurityTask) -> tuple[Protected, ...]:
        return (Protected(HARDENED, (hardening(task),)),)


def hardening(task: SecurityTask) -> AdversarialTraining:
    """Every sample is moved away from its label, whatever the attacker's goal.

    A goal that only one class has leaves the other where it is or moves it nearer to safety: on
    breast-cancer that training saved nobody (70 % stood with it and without, 85 % this way).
    """
    moved: Threat = replace(task.threat, goal=Untargeted())
    return AdversarialTraining(threat=moved, attack=INNER, epochs=max(1, task.epochs))
