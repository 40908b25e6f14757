"""The held-out half's own attacks, on models whose answer is known by hand."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat
from gradwarden.mask.defended import Defended
from gradwarden.mask.lying_backward import LyingBackward
from gradwarden.mask.vector_quantisation import Codebook, VectorQuantisation
from gradwarden.zoo.held_out.attacks import Without, bare
from gradwarden.zoo.held_out.shattered import Smooth, smooth
from gradwarden.zoo.held_out.words import WordByWord, in_reach

WORDS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
THREAT = Threat(ball=Linf(0.2), box=(0.0, 1.0))


class Sum(nn.Module):
    """x [N, 1, T] -> class 1 where the values add up to more than 1.5."""

    def forward(self, x: Tensor) -> Tensor:
        total = x.flatten(1).sum(1) - 1.5
        return torch.stack([-total, total], 1)


def coded() -> Defended:
    mask = Codebook(VectorQuantisation(codes=4, patch=2), WORDS, torch.tensor(0.1))
    return Defended(mask, Sum())


def test_the_points_found_without_a_mask_count_as_the_model_answers_them() -> None:
    model = LyingBackward(kind="reversed").defend(Sum())
    x, y = torch.tensor([[[0.7, 0.7]], [[0.1, 0.1]]]), torch.tensor([0, 0])
    own = PGD(loss="margin", start="clean").run(model, x, y, THREAT)
    assert not own.success.any()
    found = Without(attack=PGD(loss="margin"), bare=bare(model)).run(model, x, y, THREAT)
    assert found.success.tolist() == [True, False]
    assert THREAT.allows(found.x_adv, x).all()


def test_words_in_reach_are_those_of_a_fine_grid() -> None:
    x = torch.tensor([[[0.4, 0.1]], [[0.45, 0.65]], [[0.05, 0.95]]])
    _, within = in_reach(x, THREAT, WORDS, 2)
    steps = torch.linspace(-0.2, 0.2, 21)
    moves = torch.tensor(list(itertools.product(steps.tolist(), repeat=2)))
    for row in range(len(x)):
        points = (x[row] + moves).clamp(0.0, 1.0)
        shown = set(torch.cdist(points, WORDS).argmin(1).tolist())
        assert set(within[row, 0].nonzero().flatten().tolist()) == shown


def test_word_by_word_reaches_the_best_choice_of_words_and_no_further() -> None:
    """The first sample can show (1, 1) and (1, 0); the second only two words of one."""
    x = torch.tensor([[[0.4, 0.4, 0.9, 0.1]], [[0.4, 0.1, 0.1, 0.1]]])
    y = torch.tensor([0, 0])
    found = WordByWord(steps=20).run(coded(), x, y, THREAT)
    assert found.success.tolist() == [True, False]
    assert THREAT.allows(found.x_adv, x).all()
    assert found.margin.tolist() == pytest.approx([3.0, -1.0])  # of sums 3 and 1


def test_word_by_word_wants_a_codebook() -> None:
    with pytest.raises(BadInput, match="a codebook before a net"):
        WordByWord().run(Sum(), torch.zeros(1, 1, 2), torch.tensor([0]), THREAT)


def test_the_moving_average_written_again_is_the_same() -> None:
    x = torch.rand(3, 6, 100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Smooth()(x), torch.from_numpy(smooth(x.numpy())))
