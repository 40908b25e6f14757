"""One defence under attack: trained, then met by noise, naive and adaptive attackers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gradwarden.attack.gradient import gradient_status
from gradwarden.attack.ledger import run_cascade
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.audit.budgets import BUDGETS, NAIVE
from gradwarden.audit.planner import Adapted, adapt
from gradwarden.audit.radii import resized
from gradwarden.clip.attach import attach
from gradwarden.clip.rule import Rule
from gradwarden.compare.job import written_in
from gradwarden.compare.results import Defended, as_result, both
from gradwarden.core.ledger_record import Ledger
from gradwarden.core.pictures import png
from gradwarden.core.threat import Threat
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.mask.distillation import Distillation
from gradwarden.tasks.nets import weights
from gradwarden.tasks.task import ACCURACY, SecurityTask, logits_of

ADAPTIVE = (PGD(restarts=2), PGD(restarts=2, loss="margin"))
FACTORS = (0.25, 0.5, 1.0, 2.0)  # of the task's radius, on the curve
CURVE_IMAGES = 100
PICTURES = 4


class Mask(Protocol):
    """A defence that is put before a trained model."""

    def defend(self, model: nn.Module) -> nn.Module: ...


Defence = Mask | Distillation | AdversarialTraining


@dataclass(frozen=True, kw_only=True)
class DefenceJob:
    """`name` is how the page calls the defence; every net starts from the same weights."""

    of: SecurityTask
    name: str
    purpose: str
    defence: Defence | None
    seed: int
    rule: Rule[Any] | None = None  # clips the training of the net
    expected: float = 20.0

    @property
    def task(self) -> str:
        return self.of.name

    @property
    def arm(self) -> str:
        return self.name or "no defence"

    def config(self) -> dict[str, Any]:
        return {
            "task": repr(self.of),
            "data": self.of.data,
            "name": self.name,
            "purpose": self.purpose,
            "defence": repr(self.defence),
            "rule": "" if self.rule is None else repr(self.rule),
            "attacks": [repr(a) for a in (*NAIVE, *ADAPTIVE)],
            "radii": list(_radii(self.of.threat)),
            **written_in(self.of),
        }

    def roots(self) -> tuple[str, ...]:
        used = (self.of, self.defence, self.rule)
        return (__name__, *(type(part).__module__ for part in used if part is not None))

    def run(self) -> dict[str, Any]:
        with weights(self.seed, self.task):  # a user's net may draw, in making and in dropout
            model = self._trained().eval()
        x, y = self.of.held_out()
        threat = self.of.threat_on(model)
        status = gradient_status(model, x, y, threat)
        adapted = adapt(model, x, y, threat, seed=self.seed, budget=BUDGETS["quick"])
        # Averages cost nine times as much: what they add is for the audit to find.
        adapted = adapted._replace(route=replace(adapted.route, sigma=0.0, double=False))
        noise, fgsm, pgd = (
            run_cascade(model, x, y, threat, [attack], seed=self.seed)[0]
            for attack in (Noise(), *NAIVE)
        )
        strong = [adapted.wrap(attack) for attack in ADAPTIVE]
        ledger, x_adv = run_cascade(model, x, y, threat, strong, seed=self.seed)
        naive = both(_right(fgsm), _right(pgd))
        radii = _radii(threat)
        curves = list(self._curves(model, x, y, threat, adapted)) if radii else []
        return as_result(
            Defended(
                defence=self.name,
                purpose=self.purpose,
                seed=self.seed,
                radius=threat.ball.radius if radii else 0.0,
                gradient={
                    "none": status.share_none,
                    "zero": status.share_zero,
                    "nonzero": status.share_nonzero,
                },
                clean="".join("1" if right else "0" for right in ledger.clean),
                noise=_right(noise),
                fgsm=_right(fgsm),
                pgd=_right(pgd),
                adaptive=both(naive, _right(ledger)),
                findings=tuple(f"{f.module or 'model'}: {f.check}" for f in adapted.findings),
                patches=tuple(repr(patch) for patch in adapted.patches),
                radii=radii,
                naive_curve=tuple(naive for naive, _ in curves),
                adaptive_curve=tuple(adaptive for _, adaptive in curves),
                curve_images=min(CURVE_IMAGES, len(y)),
                forwards=sum(found.forwards for found in (noise, fgsm, pgd, ledger)),
                backwards=sum(found.backwards for found in (noise, fgsm, pgd, ledger)),
                pictures=tuple(_pictures(model, x, y, x_adv, threat, naive, ledger)),
                metrics=self._metrics(model, x_adv, y, threat),
            )
        )

    def _trained(self) -> nn.Module:
        model, loader = self.of.model(self.seed), self.of.loader(self.seed)
        if isinstance(self.defence, Distillation):
            make = lambda parameters: torch.optim.Adam(parameters, self.of.rate)
            return self.defence.fit(model, loader, make)
        optimizer = self.of.optimizer(model)
        guard = None if self.rule is None else attach(optimizer, self.rule, model=model)
        if isinstance(self.defence, AdversarialTraining):
            self.defence.fit(model, loader, optimizer, seed=self.seed)
        else:
            for _ in range(self.of.epochs):
                for x, y in loader:
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(model(x), y).backward()
                    optimizer.step()
        if guard is not None:
            guard.detach()
        if self.defence is None or isinstance(self.defence, AdversarialTraining):
            return model
        return self.defence.defend(model.eval())

    def _curves(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, adapted: Adapted
    ) -> Iterator[tuple[float, float]]:
        """Accuracy of the first samples at each radius under the naive and under all attacks."""
        x, y = x[:CURVE_IMAGES], y[:CURVE_IMAGES]
        strong = [adapted.wrap(attack) for attack in ADAPTIVE]
        for sized in _sized(threat):
            naive = _right(run_cascade(model, x, y, sized, NAIVE, seed=self.seed)[0])
            adaptive = _right(run_cascade(model, x, y, sized, strong, seed=self.seed)[0])
            yield naive.count("1") / len(y), both(naive, adaptive).count("1") / len(y)

    def _metrics(
        self, model: nn.Module, x_adv: Tensor, y: Tensor, threat: Threat
    ) -> dict[str, dict[str, float]]:
        """On the test split, and with x_adv [N, ...] in place of the samples that are attacked.

        Samples of a label that nobody attacks stay as they are.
        """
        if self.of.metrics == (ACCURACY,):  # it follows from the samples one by one
            return {}
        test = self.of.split("test")
        spared = ~torch.isin(test.y, y)
        labels = torch.cat([y, test.y[spared]])
        logits = logits_of(model, torch.cat([x_adv, test.x[spared]]))
        return {
            "clean": self.of.scores(model, "test"),
            "adaptive": self.of.judge(logits, labels, threat),
        }


def _sized(threat: Threat) -> list[Threat]:
    """`threat` at the radii of the curve; none where the ball has no size of its own."""
    found = [resized(threat, factor) for factor in FACTORS]
    return [sized for sized in found if sized is not None]


def _radii(threat: Threat) -> tuple[float, ...]:
    return tuple(sized.ball.radius for sized in _sized(threat))


def _right(ledger: Ledger) -> str:
    return "".join("1" if broken is None else "0" for broken in ledger.broken)


def _pictures(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    x_adv: Tensor,
    threat: Threat,
    naive: str,
    ledger: Ledger,
) -> list[dict[str, Any]]:
    """Images that fell to the adaptive attack; those that the naive ones had missed come first."""
    if not _shows(x, threat):
        return []
    fell = [i for i, b in enumerate(ledger.broken) if b is not None and ledger.clean[i]]
    fell.sort(key=lambda i: naive[i] == "0")
    chosen = fell[:PICTURES]
    with torch.no_grad():
        predicted = [int(threat.goal.predicted(model(x_adv[i : i + 1]))) for i in chosen]
    return [
        {
            "original": png(x[i]),
            "adversarial": png(x_adv[i]),
            "label": int(y[i]),
            "predicted": label,
        }
        for i, label in zip(chosen, predicted, strict=True)
    ]


def _shows(x: Tensor, threat: Threat) -> bool:
    """Whether x [N, ...] are grey or RGB images in [0, 1]."""
    return x.ndim == 4 and x.shape[1] in (1, 3) and threat.box == (0.0, 1.0)
