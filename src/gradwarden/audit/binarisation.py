"""Would the attack find an adversarial point where there is one for certain?

For each sample the last linear layer is replaced by one that tells a point on the edge of the ball
from many inside it: that point is adversarial by construction. The network in front of the layer
stays as it is, with whatever it hides. An attack that misses such points proves nothing of others.

Source: Zimmermann et al. 2022, arXiv:2206.13991, sec. 3.
Differs: the layer is found by itself; the widest margin stands for logistic regression; logits are
scaled to a median margin of 1; all samples are attacked at once. Of a model that draws, the
features are means over draws, and success is what most draws say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.attack.chance import draws_by_itself
from gradwarden.attack.noise import Noise
from gradwarden.attack.referee import most
from gradwarden.audit.case import quiet
from gradwarden.audit.head import find_head, pair, replaced
from gradwarden.audit.radii import resized
from gradwarden.audit.separation import Separated, separate
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Untargeted
from gradwarden.core.protocols import Attack
from gradwarden.core.search import Model, keyed
from gradwarden.core.threat import Threat

INSIDE = 0.95  # of the radius: where the inner points lie
DRAWS = 11  # of a model that draws by itself
CLIMBS = 30  # steps to the edge; more than one where the box cuts the first short
AT_ONCE = 2**24  # numbers of the problems that are solved together


class Binarised(NamedTuple):
    """Shares of `n` samples with a sure adversarial point; NaN where there is none to test."""

    asr: float  # the attack reaches one
    random_asr: float  # random points do, as many as the attack asks at most
    n: int
    note: str  # what was left out and why, full sentences; "" where nothing was


def binarise(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    attack: Attack,
    *,
    seed: int = 0,
    samples: int = 64,
    inner: int = 999,
    batch_size: int = 256,
) -> Binarised:
    """`attack` on the first `samples` of x [N, ...] that `model`, in eval mode, gets right (y [N]).

    `inner` points of each are told from the one on the edge. Every success is judged once more,
    alone in its batch. Raises BadInput for options, never for a model that cannot be tested.
    """
    if samples < 1 or inner < 1:
        raise BadInput(f"samples and inner must be at least 1, got {samples} and {inner}")
    small = resized(threat, INSIDE)
    if small is None:
        return _not_run(f"{threat.ball!r} holds no smaller ball")
    head = find_head(model, x[:16], seed=seed)
    if head.path is None:
        return _not_run(head.why)
    with quiet(x, seed):
        chosen = x[_right(model, x, y, threat, batch_size)[:samples]]
        if not len(chosen):
            return _not_run("the model gets no sample right")
        draws = DRAWS if draws_by_itself(model, chosen, seed) else 1
        points = _Points(
            model, head.path, head.features, chosen, threat, small, seed, draws, batch_size
        )
        return _tested(points, attack, inner)


def _not_run(why: str) -> Binarised:
    return Binarised(float("nan"), float("nan"), 0, f"Not run: {why}.")


def _right(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, batch_size: int) -> Tensor:
    with torch.no_grad():
        logits = torch.cat([model(some.clone()) for some in x.split(batch_size)])
    return (threat.goal.predicted(logits) == y).nonzero()[:, 0]


class _Points(NamedTuple):
    """The samples x [S, ...] and how to ask the model about points around them."""

    model: nn.Module
    path: str  # of the head
    width: int  # its features
    x: Tensor
    threat: Threat
    small: Threat  # where the inner points lie
    seed: int
    draws: int
    batch_size: int

    def edge(self) -> Tensor:
        """A random point [S, ...] on the surface of each ball; a corner of Linf."""
        along = Draws(self.seed, range(len(self.x)), "binarise", "edge").normal(self.x)
        point = self.x
        for _ in range(CLIMBS):
            point = self.threat.step(point, along, 1.0, self.x)
        return self.threat.repair(point, self.x)

    def inside(self, rows: Sequence[int], inner: int) -> Tensor:
        """The samples `rows` and `inner` random points around each [K * (1 + inner), ...]."""
        draws = Draws(self.seed, rows, "binarise", "inner")
        each = [row for row in range(len(rows)) for _ in range(inner)]
        here = self.x[list(rows)]
        around = here.repeat_interleave(inner, 0)
        near = self.small.repair(self.small.sample(around, draws.only(each)), around)
        grouped = near.view(len(rows), inner, *self.x.shape[1:])
        return torch.cat([here[:, None], grouped], 1).flatten(0, 1)

    def features(self, points: Tensor) -> Tensor:
        """[K, F] in float64, at the head's input; the mean over the draws."""
        seen: list[Tensor] = []

        def keep(features: Tensor, out: Tensor) -> Tensor:
            seen.append(features.double())
            return out

        with torch.no_grad(), replaced(self.model, self.path, keep):
            for _ in range(self.draws):
                for some in points.split(self.batch_size):
                    self.model(some.clone())
        return torch.cat(seen).view(self.draws, len(points), -1).mean(0)

    def separated(self, edge: Tensor, inner: int) -> Separated:
        """The binary head of every sample."""
        one = self.features(edge)
        widest = max(1 + inner, self.width, self.x[0].numel())
        together = max(1, AT_ONCE // ((1 + inner) * widest))
        parts = []
        for rows in torch.arange(len(self.x)).split(together):
            many = self.features(self.inside(rows.tolist(), inner))
            parts.append(separate(many.view(len(rows), 1 + inner, -1), one[rows]))
        return Separated(*(torch.cat(column) for column in zip(*parts, strict=True)))


class Binary(nn.Module):
    """`model` while a binary head of each sample's own is in place: Keyed by the head's number.

    Asked without ids, it takes the first heads. Its modules go by the paths of `model`, so that
    patches find them.
    """

    def __init__(self, model: nn.Module, heads: Separated) -> None:
        super().__init__()
        self.model, self.heads = model, heads
        self.rows: list[int] = []
        self.training = model.training

    def get_submodule(self, target: str) -> nn.Module:
        return self.model.get_submodule(target)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, ...] -> logits [N, 2]: inside, on the edge."""
        return self.keyed(range(len(x)))(x)

    def keyed(self, ids: Sequence[int]) -> Model:
        inner = keyed(self.model, ids)

        def model(x: Tensor) -> Tensor:
            self.rows = list(ids)
            return inner(x)

        return model

    def logits(self, features: Tensor, out: Tensor) -> Tensor:
        """The binary logits of features [N, F], in the form of the layer's output."""
        weight, bias = self.heads.weight[self.rows], self.heads.bias[self.rows]
        return pair((features.to(weight.dtype) * weight).sum(1) + bias, out)

    def falls(self, points: Tensor, draws: int) -> Tensor:
        """[N] bool: each point alone is called one on the edge, in most of the draws."""
        with torch.no_grad():
            votes = [
                torch.cat([self.keyed([row])(x[None].clone()) for row, x in enumerate(points)])
                for _ in range(draws)
            ]
        return most(torch.stack([logits.argmax(1) == 1 for logits in votes]))


@contextmanager
def _binary(points: _Points, heads: Separated) -> Iterator[Binary]:
    binary = Binary(points.model, heads)
    with replaced(points.model, points.path, binary.logits):
        yield binary


def _tested(points: _Points, attack: Attack, inner: int) -> Binarised:
    edge = points.edge()
    heads = points.separated(edge, inner)
    sure = _sure(points, heads, edge)
    rows = sure.nonzero()[:, 0]
    note = _note(points, heads, sure, inner)
    if not len(rows):
        return Binarised(float("nan"), float("nan"), 0, note)
    x, threat = points.x[rows], replace(points.threat, goal=Untargeted())
    label = torch.zeros_like(rows)
    with _binary(points, Separated(*(part[rows] for part in heads))) as binary:

        def share(attack: Attack) -> tuple[float, int]:
            found = attack.run(binary, x, label, threat, seed=points.seed)
            won = binary.falls(found.x_adv, points.draws) & threat.allows(found.x_adv, x)
            return float(won.double().mean()), int((found.forwards + found.backwards).max())

        try:
            asr, passes = share(attack)
        except BadInput as why:
            return _not_run(f"the attack refuses the model of two classes ({why})")
        return Binarised(asr, share(Noise(draws=passes))[0], len(rows), note)


def _sure(points: _Points, heads: Separated, edge: Tensor) -> Tensor:
    """[S] bool: the network as it is calls the point on the edge adversarial, and x not."""
    with _binary(points, heads) as binary:
        told = binary.falls(edge, points.draws) & ~binary.falls(points.x, points.draws)
    return told & heads.apart & points.threat.allows(edge, points.x)


def _note(points: _Points, heads: Separated, sure: Tensor, inner: int) -> str:
    mixed, lost = int((~heads.apart).sum()), int((heads.apart & ~sure).sum())
    parts = []
    if mixed:
        parts.append(
            f"{mixed} of {len(sure)} samples are left out: in {points.width} features no "
            f"linear layer tells the edge from {inner} points inside."
        )
    if lost:
        parts.append(
            f"{lost} of {len(sure)} samples are left out: the network's answer to the point on the "
            "edge is not the one its layer was made for."
        )
    if points.draws > 1:
        parts.append(f"The model draws by itself: most of {points.draws} draws decide.")
    return " ".join(parts)
