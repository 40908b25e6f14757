"""The attack made for a codebook: it chooses words, and goes where the threat lets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat
from gradwarden.mask.defended import Defended
from gradwarden.mask.vector_quantisation import Codebook, cut, put
from gradwarden.zoo.adaptive import scored

FAR = -1e9
ROWS = 20  # samples at a time: every word in reach of every patch of each is held


@dataclass(frozen=True, kw_only=True)
class WordByWord:
    """Of the words that a patch can be made to show, the one that the net's gradient asks for.

    For threats that bound each value by itself (Linf). Each of `steps` steps exchanges the words of a random share of the patches, from all to 1 in 20.
    """

    steps: int = 60

    def run(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
    ) -> Attacked:
        """The model must be a net behind a codebook, as `VectorQuantisation.fit` returns it."""
        if not (isinstance(model, Defended) and isinstance(model.mask, Codebook)):
            raise BadInput(f"WordByWord attacks a codebook before a net, got {model!r:.80}")
        names = list(range(len(x)) if ids is None else ids)
        found = []
        for rows in torch.arange(len(x)).split(ROWS):
            own = Draws(seed, [names[row] for row in rows.tolist()], "WordByWord")
            found.append(self._search(model, model.mask, x[rows], y[rows], threat, own))
        return scored(model, torch.cat(found), x, y, threat, ids)

    def _search(
        self, model: Defended, mask: Codebook, x: Tensor, y: Tensor, threat: Threat, draws: Draws
    ) -> Tensor:
        side, words = mask.options.patch, mask.words.to(x.dtype)
        nearest, within = in_reach(x, threat, words, side)
        chosen = torch.cdist(cut(x, side), words[None]).argmin(-1)
        best, top = chosen, x.new_full((len(x),), FAR)
        lots = draws.uniform(x, self.steps, chosen.shape[1])
        for step in range(self.steps + 1):
            image = put(words[chosen], tuple(x.shape), side).requires_grad_()
            margin = threat.goal.margin(model.model(image), y)
            better = margin > top
            best = torch.where(better[:, None], chosen, best)
            top = torch.where(better, margin.detach(), top)
            if step == self.steps:
                break
            (grad,) = torch.autograd.grad(margin.sum(), image)
            gain = (cut(grad, side) @ words.T).masked_fill(~within, FAR)
            share = 1.0 - 0.95 * step / self.steps
            chosen = torch.where(lots[:, step] < share, gain.argmax(-1), chosen)
        at = best[..., None, None].expand(-1, -1, 1, nearest.shape[-1])
        return put(nearest.gather(2, at)[:, :, 0], tuple(x.shape), side)


def in_reach(x: Tensor, threat: Threat, words: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Allowed patches nearest to each word [N, patches, words, D], and whether they show it."""
    reach = 2 * threat.ball.radius  # the ball cuts it to where each value may go
    low, high = (
        cut(threat.project(x + sign * reach, x), side).unsqueeze(2) for sign in (-1.0, 1.0)
    )
    nearest = torch.minimum(torch.maximum(words, low), high)
    shown = torch.cdist(nearest.flatten(0, 1), words[None]).argmin(-1).view(nearest.shape[:3])
    within = shown == torch.arange(len(words))
    patches = cut(x, side)
    own = torch.cdist(patches, words[None]).argmin(-1, keepdim=True) == torch.arange(len(words))
    nearest = torch.where(own[..., None], patches.unsqueeze(2), nearest)  # a word needs no step
    return nearest, within | own
