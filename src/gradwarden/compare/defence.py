"""One defence under attack: trained, then met by noise, naive and adaptive attackers."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gradwarden.attack.gradient import gradient_status
from gradwarden.attack.ledger import run_cascade
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.audit.budgets import NAIVE
from gradwarden.compare.attackers import ADAPTIVE, CURVE_IMAGES, Met, curve, met, right, sizes
from gradwarden.compare.contenders.contender import Treatment
from gradwarden.compare.job import written_in
from gradwarden.compare.results import Defended, as_result, both
from gradwarden.compare.treated import treated
from gradwarden.core.pictures import png
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat
from gradwarden.harden.training import Batches
from gradwarden.mask.distillation import Distillation
from gradwarden.tasks.loader import Loader
from gradwarden.tasks.nets import weights
from gradwarden.tasks.task import ACCURACY, SecurityTask, logits_of

EPISODE = PGD(steps=10, step_size=0.3)  # met at every step of an episode
PICTURES = 4
CHECKED = 5  # steps between two looks at the accuracy that training ends at


class Mask(Protocol):
    """A defence that is put before a trained model."""

    def defend(self, model: nn.Module) -> nn.Module: ...


class Training(Protocol):
    """A defence that is a way of training, given the optimizer."""

    @property
    def epochs(self) -> int: ...

    def fit(
        self, model: nn.Module, loader: Batches, optimizer: torch.optim.Optimizer, *, seed: int
    ) -> nn.Module: ...


Defence = Mask | Distillation | Training


@dataclass(frozen=True, kw_only=True)
class DefenceJob:
    """`name` is how the page calls the defence; every net starts from the same weights.

    The net is trained by those of `defences` that train, one after another, or as it is, and the
    others are put before it, the first one next to it.
    """

    of: SecurityTask
    name: str
    purpose: str
    defences: tuple[Defence, ...] = ()
    seed: int
    treatments: tuple[Treatment, ...] = ()  # of the net's training
    until: float | None = None  # accuracy on the validation split at which training ends
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
            "defences": [repr(defence) for defence in self.defences],
            "treatments": [repr(treatment) for treatment in self.treatments],
            "until": self.until,
            "attacks": [repr(a) for a in (*NAIVE, *ADAPTIVE, EPISODE)],
            "radii": list(_radii(self.of.threat)),
            **written_in(self.of),
        }

    def roots(self) -> tuple[str, ...]:
        rules = [one.rule for one in self.treatments if one.rule is not None]
        used = (self.of, *self.defences, *self.treatments, *rules)
        return (__name__, *(type(part).__module__ for part in used))

    def run(self) -> dict[str, Any]:
        with weights(self.seed, self.task):  # a user's net may draw, in making and in dropout
            model = self._trained().eval()
        x, y = self.of.held_out()
        threat = self.of.threat_on(model)
        status = gradient_status(model, x, y, threat)
        noise, _ = run_cascade(model, x, y, threat, [Noise()], seed=self.seed)
        found = met(model, x, y, threat, seed=self.seed)
        radii = _radii(threat)
        curves = list(curve(model, x, y, threat, found, seed=self.seed)) if radii else []
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
                clean="".join("1" if fine else "0" for fine in found.all.clean),
                noise=right(noise),
                fgsm=found.fgsm,
                pgd=found.pgd,
                adaptive=found.adaptive,
                findings=tuple(f"{f.module or 'model'}: {f.check}" for f in found.adapted.findings),
                patches=tuple(repr(patch) for patch in found.adapted.patches),
                radii=radii,
                naive_curve=tuple(naive for naive, _ in curves),
                adaptive_curve=tuple(adaptive for _, adaptive in curves),
                curve_images=min(CURVE_IMAGES, len(y)),
                forwards=noise.forwards + found.all.forwards,
                backwards=found.all.backwards,
                pictures=tuple(_pictures(model, x, y, threat, found)),
                metrics=self._metrics(model, found.x_adv, y, threat, found.adapted.wrap(EPISODE)),
                validation=self._accuracy(model),
            )
        )

    def _trained(self) -> nn.Module:
        model = self.of.model(self.seed)
        for treatment in self.treatments:
            model = treatment.applied(model)
        trainings = [d for d in self.defences if not hasattr(d, "defend")]
        for training in trainings:
            model = self._fitted(model, training)
        if not trainings:
            model = self._fitted(model, None)
        for defence in self.defences:
            if hasattr(defence, "defend"):
                model = defence.defend(model.eval())
        return model

    def _fitted(self, model: nn.Module, training: Distillation | Training | None) -> nn.Module:
        loader = self.of.loader(self.seed)
        epochs = self.of.epochs if training is None else training.epochs
        with ExitStack() as stack:

            def on(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
                if self.treatments and epochs:
                    steps = epochs * len(loader)
                    stack.enter_context(treated(optimizer, self.treatments, steps=steps))
                return optimizer

            if isinstance(training, Distillation):
                return training.fit(model, loader, lambda p: on(torch.optim.Adam(p, self.of.rate)))
            optimizer = on(self.of.optimizer(model))
            if training is not None:
                return training.fit(model, loader, optimizer, seed=self.seed)
            self._plain(model, loader, optimizer)
        return model

    def _plain(self, model: nn.Module, loader: Loader, optimizer: torch.optim.Optimizer) -> None:
        """As many epochs as the task says, or until it is as accurate as it shall be."""
        for _ in range(self.of.epochs):
            for step, (x, y) in enumerate(loader):
                if self.until is not None and not step % CHECKED and self._reached(model):
                    return
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()

    def _reached(self, model: nn.Module) -> bool:
        return self.until is not None and self._accuracy(model) >= self.until

    def _accuracy(self, model: nn.Module) -> float:
        """On the validation split, the largest logit deciding."""
        x, y = self.of.split("validation")
        return float((logits_of(model, x).argmax(1) == y).double().mean())

    def _metrics(
        self, model: nn.Module, x_adv: Tensor, y: Tensor, threat: Threat, attack: Attack
    ) -> dict[str, dict[str, float]]:
        """On the test split, and with x_adv [N, ...] in place of the samples that are attacked.

        Samples of a label that nobody attacks stay as they are; `attack` is for figures of whole
        episodes.
        """
        if self.of.metrics == (ACCURACY,):  # it follows from the samples one by one
            return {}
        test = self.of.split("test")
        spared = ~torch.isin(test.y, y)
        labels = torch.cat([y, test.y[spared]])
        logits = logits_of(model, torch.cat([x_adv, test.x[spared]]))
        return {
            "clean": self.of.scores(model, "test"),
            "adaptive": self.of.judge(logits, labels, threat) | self.of.under(model, attack),
        }


def _radii(threat: Threat) -> tuple[float, ...]:
    return tuple(sized.ball.radius for sized in sizes(threat))


def _pictures(
    model: nn.Module, x: Tensor, y: Tensor, threat: Threat, found: Met
) -> list[dict[str, Any]]:
    """Images that fell to the adaptive attack; those that the naive ones had missed come first."""
    if not _shows(x, threat):
        return []
    naive, x_adv = both(found.fgsm, found.pgd), found.x_adv
    fell = [i for i, stands in enumerate(found.adaptive) if stands == "0" and found.all.clean[i]]
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
