"""A substitute for the whole model, trained on its answers near the data: black-box questions only.

Source: Papernot et al. 2017, arXiv:1602.02697, sec. 4 (substitutes trained on the target's
answers, with new points where the substitute's gradient leads).
Differs: new points stay in the threat's ball; scores are learned beside decisions where there are any.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, smooth_l1_loss

from gradwarden.attack.apgd import APGD
from gradwarden.attack.bpda import Surrogate
from gradwarden.audit.case import Case, quiet
from gradwarden.audit.stand_ins.near import StandIn, points
from gradwarden.audit.stand_ins.nets import Scaled, net_for
from gradwarden.core.draws import Draws, seed_of
from gradwarden.core.goal import Strongest

COPIES = 9  # points nearby for each sample
BETWEEN = 3  # ... and points on the way to another sample, beyond the ball
ROUNDS = 2  # of new points where the student's own gradient leads
HELD_OUT = 3
DRAWS = 8  # that the answers of a model which draws are averaged over
ENDS = 6.0  # scores further out, in typical deviations, say no more than that the model is sure
FEW = 2  # answers for each class: fewer different rows are decisions, not scores
BATCH = 32
AHEAD = APGD(loss="margin", steps=20, start="clean")


class _Teacher:
    """The model's answers, averaged over its draws where it has any, and counted."""

    def __init__(self, case: Case) -> None:
        self.case, self.queries = case, 0
        first = [self.draw(case.x, number) for number in range(2)]
        self.draws = 1 if torch.equal(*first) else DRAWS

    def draw(self, x: Tensor, number: int) -> Tensor:
        self.queries += len(x)
        with quiet(x, seed_of(self.case.seed, "student", number)), torch.no_grad():
            answers: Tensor = self.case.model(x.clone())
        return answers.detach().nan_to_num()

    def __call__(self, x: Tensor) -> Tensor:
        """x [N, ...] -> [N, classes], in blocks of the case's size."""
        blocks = x.split(len(self.case.x))
        return torch.cat(
            [torch.stack([self.draw(b, n) for n in range(self.draws)]).mean(0) for b in blocks]
        )


def student(case: Case, *, steps: int = 150) -> StandIn | None:
    """The patch that keeps the model's values and sends its gradient through a student of it.

    For x of images [N, C, H, W], series [N, C, T] or vectors [N, F] and answers [N, classes], be
    they logits, probabilities or decisions. Fidelity is the share of points nearby where student
    and model decide alike. `patch.module` alone is a model for transfer attacks.
    """
    teacher = _Teacher(case)
    surest = replace(case.threat, goal=Strongest(case.threat.goal))
    x = torch.cat([case.x, *(points(case, n) for n in range(COPIES)), *_between(case)])
    answers = teacher(x)
    if answers.ndim != 2 or not answers.dtype.is_floating_point:
        return None
    with quiet(case.x, seed_of(case.seed, "student")):
        net = net_for(case.x.shape[1:], answers.shape[1:])
        if net is None:
            return None
        pupil = Scaled(net, x, scores(answers), "Student()")
        for number in range(ROUNDS + 1):
            _learn(pupil, x, answers, steps)
            if number < ROUNDS:
                ahead = AHEAD.run(pupil, case.x, case.y, surest, seed=case.seed).x_adv
                x, answers = torch.cat([x, ahead]), torch.cat([answers, teacher(ahead)])
    test = torch.cat([points(case, COPIES + 1 + number) for number in range(HELD_OUT)])
    with torch.no_grad():
        alike = pupil(test).argmax(1) == teacher(test).argmax(1)
    fidelity = float(alike.float().mean())
    pupil.label = f"Student(agreement={fidelity:.3f})"
    return StandIn(Surrogate("", pupil), fidelity, teacher.queries)


def scores(answers: Tensor) -> Tensor:
    """[N, classes]: each row about its mean, outliers drawn in, so that no answer outweighs all."""
    centred = answers - answers.mean(1, keepdim=True)
    typical = centred.abs().median().clamp(min=1e-6)
    return centred.clamp(-ENDS * typical, ENDS * typical)


def _between(case: Case) -> list[Tensor]:
    """Points [N, ...] on the line from each sample to another."""
    found = []
    for number in range(BETWEEN):
        share = Draws(case.seed, range(len(case.x)), "between", number).uniform(case.x, 1)
        share = share.view(-1, *[1] * (case.x.ndim - 1))
        found.append(case.x + share * (case.x.roll(1 + number, 0) - case.x))
    return found


def _learn(pupil: Scaled, x: Tensor, answers: Tensor, steps: int) -> None:
    pupil.requires_grad_(True)
    decided = answers.argmax(1)
    graded = len(answers.unique(dim=0)) > FEW * answers.shape[1]
    target = pupil.standard(scores(answers))
    optimizer = torch.optim.Adam(pupil.parameters(), lr=3e-3)
    with torch.enable_grad():
        for _ in range(steps):
            rows = torch.randint(len(x), (BATCH,)).to(x.device)
            optimizer.zero_grad()
            told = pupil.told(x[rows])
            loss = cross_entropy(told, decided[rows])
            if graded:
                loss = loss + smooth_l1_loss(told, target[rows])
            loss.backward()
            optimizer.step()
    pupil.requires_grad_(False)
