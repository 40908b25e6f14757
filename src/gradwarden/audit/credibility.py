"""How far the attack itself can be believed: at growing radii, and where a success surely exists.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 4.3; Zimmermann et al. 2022, arXiv:2206.13991.
"""

from __future__ import annotations

from typing import NamedTuple

from gradwarden.attack.apgd import APGD
from gradwarden.attack.capgd import CAPGD
from gradwarden.attack.eot import EOT
from gradwarden.attack.evolution import Evolution
from gradwarden.attack.pgd import PGD
from gradwarden.attack.square import Square
from gradwarden.attack.to_the_end import ToTheEnd
from gradwarden.audit import gates
from gradwarden.audit.binarisation import binarise
from gradwarden.audit.budgets import Budget
from gradwarden.audit.curve import Curve, curve
from gradwarden.audit.planner import Adapted
from gradwarden.audit.trail import Subject
from gradwarden.core.display import Figure, Series
from gradwarden.core.estimate import Estimate
from gradwarden.core.examination import Gate
from gradwarden.core.protocols import Attack

DRAWS = 16  # that a query of a model that draws is averaged over


class Credibility(NamedTuple):
    """Curves of accuracy against radius: naive, adaptive and without a gradient; and two gates."""

    naive: Curve
    adaptive: Curve
    black_box: Curve
    sweep: Gate
    binarisation: Gate

    @property
    def alone(self) -> Estimate | None:
        """Accuracy under queries alone, at the threat's radius."""
        return self.black_box.here

    def figure(self, command: str, certified: Estimate | None, radius: float) -> Figure | None:
        """Accuracy against radius, with the certificate at the radius that it is for."""
        curves = (self.naive, self.adaptive, self.black_box)
        series = [one.series for one in curves if one.series is not None]
        if not series:
            return None
        if certified is not None:
            series.append(Series(name="certified", x=(radius,), y=(certified.value,)))
        return Figure(
            id="radius",
            title="Accuracy against radius",
            x_title="radius of the ball",
            y_title="accuracy",
            series=tuple(series),
            log_x=True,
            percent_y=True,
            says=self.sweep.says,
            command=command,
        )


def credibility(subject: Subject, adapted: Adapted, budget: Budget) -> Credibility:
    """Each attack on the first samples, whatever fell to others before."""
    table = subject.threat.constraints is not None
    steps, asked = budget.steps, budget.queries
    strong: Attack = (
        CAPGD(loss="margin", steps=steps) if table else APGD(loss="margin", steps=steps)
    )
    queries: Attack = Evolution(queries=asked) if table else Square(queries=asked)
    strong = adapted.wrap(strong)
    if subject.random:
        queries = EOT(attack=queries, draws=DRAWS)
    naive = _curve(subject, PGD(steps=steps), budget, "naive")
    adaptive = _curve(subject, strong, budget, "adaptive")
    black_box = _curve(subject, queries, budget, "without a gradient")
    return Credibility(
        naive=naive,
        adaptive=adaptive,
        black_box=black_box,
        sweep=gates.sweep(adaptive),
        binarisation=_binarisation(subject, _surest(subject, strong), budget),
    )


def _surest(subject: Subject, attack: Attack) -> Attack:
    """To the end, where the model draws: as every search of the audit."""
    return ToTheEnd(attack=attack) if subject.random else attack


def _curve(subject: Subject, attack: Attack, budget: Budget, name: str) -> Curve:
    found = curve(
        subject.model,
        subject.x,
        subject.y,
        subject.threat,
        _surest(subject, attack),
        seed=subject.seed,
        ids=subject.ids,
        samples=budget.curved,
        batch_size=subject.batch_size,
        draws=subject.draws,
        name=name,
    )
    subject.pace.skip(f"{name} curve")
    return found


def _binarisation(subject: Subject, attack: Attack, budget: Budget) -> Gate:
    if not budget.binarised:
        return gates.not_binarised("it is no part of this budget")
    found = binarise(
        subject.model,
        subject.x,
        subject.y,
        subject.threat,
        attack,
        seed=subject.seed,
        samples=budget.binarised,
        inner=budget.inner,
        batch_size=subject.batch_size,
    )
    subject.pace.skip("binarisation")
    return gates.binarisation(found)
