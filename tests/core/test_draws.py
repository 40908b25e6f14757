"""Draws depend on (seed, sample, purpose) alone: not on batch, order, rank or dtype."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from gradwarden.core.draws import Draws, seed_of


def two_draws(seed: int, ids: list[int], *purpose: object) -> Tensor:
    """[2, N, 3]: the second draw shows that the generators have moved alike."""
    draws, like = Draws(seed, ids, *purpose), torch.zeros(len(ids), 3)
    return torch.stack([draws.uniform(like), draws.normal(like)])


@settings(max_examples=30, deadline=None)
@given(ids=st.lists(st.integers(0, 10**9), min_size=1, max_size=9, unique=True), data=st.data())
def test_a_sample_draws_the_same_in_any_company(ids: list[int], data: st.DataObject) -> None:
    everyone = two_draws(7, ids, "PGD", 0)
    order = data.draw(st.permutations(range(len(ids))))
    assert torch.equal(two_draws(7, [ids[i] for i in order], "PGD", 0), everyone[:, order])
    for i, name in enumerate(ids):
        assert torch.equal(two_draws(7, [name], "PGD", 0)[:, 0], everyone[:, i])


def test_leaving_samples_out_on_the_way_changes_no_other() -> None:
    draws, like = Draws(0, range(5)), torch.zeros(5, 2)
    whole = Draws(0, range(5))
    draws.uniform(like), whole.uniform(like)
    assert torch.equal(draws.only([1, 4]).uniform(like[[1, 4]]), whole.uniform(like)[[1, 4]])


def test_every_part_of_the_key_counts() -> None:
    keys = [(0, 0, "PGD", 0), (1, 0, "PGD", 0), (0, 1, "PGD", 0), (0, 0, "FGSM", 0)]
    keys.append((0, 0, "PGD", 1))
    drawn = [two_draws(seed, [name], *purpose) for seed, name, *purpose in keys]
    assert len({tuple(d.flatten().tolist()) for d in drawn}) == len(keys)


def test_seeds_are_stable_across_versions_and_machines() -> None:
    """Written down once: stored records name their seeds, so the mapping must never move."""
    assert seed_of(0, 1, "PGD", 0) == 4_028_252_256_428_672_695
    assert 0 <= seed_of("anything") < 2**63


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_every_dtype_sees_the_same_draw(dtype: torch.dtype) -> None:
    like = torch.zeros(4, 2, 2)
    single = Draws(3, range(4)).uniform(like)
    assert torch.equal(Draws(3, range(4)).uniform(like.to(dtype)), single.to(dtype))


def test_shapes_follow_the_samples_or_the_arguments() -> None:
    draws = Draws(0, range(4))
    assert draws.uniform(torch.zeros(4, 3, 2)).shape == (4, 3, 2)
    assert draws.normal(torch.zeros(4, 3, 2), 5).shape == (4, 5)
    assert draws.uniform(torch.zeros(4)).shape == (4,)
    assert Draws(0, []).uniform(torch.zeros(0, 3)).shape == (0, 3)


def test_distributions() -> None:
    draws, like = Draws(0, range(4000)), torch.zeros(4000, 1)
    assert stats.kstest(draws.uniform(like).flatten().numpy(), "uniform").pvalue > 0.001
    assert stats.kstest(draws.normal(like).flatten().numpy(), "norm").pvalue > 0.001


def test_a_batch_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 samples have ids, got 3 samples"):
        Draws(0, [0, 1]).uniform(torch.zeros(3, 1))
