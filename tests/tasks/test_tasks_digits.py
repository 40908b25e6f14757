"""The digits task: its data, its splits, its order."""

import pytest
import torch

from gradwarden.core.errors import BadInput
from gradwarden.tasks.digits import digits
from gradwarden.tasks.digits_cnn import DigitsCNN


def test_splits() -> None:
    data = digits()
    assert [len(part.y) for part in data] == [3500, 500, 1000]
    whole = torch.cat([part.y for part in data])
    assert whole.bincount().tolist() == [500] * 10  # the file holds 500 of each
    for part in data:
        assert part.x.shape[1:] == (1, 28, 28)
        assert part.x.dtype == torch.float32
        assert (float(part.x.min()), float(part.x.max())) == (0.0, 1.0)
        assert part.y.bincount().min() > 0.05 * len(part.y)  # shuffled: the file is sorted


def test_no_image_is_in_two_splits() -> None:
    rows = [tuple(image.flatten().tolist()) for part in digits() for image in part.x]
    assert len(set(rows)) == len(rows)


def test_held_out_is_the_test_split() -> None:
    x, y = DigitsCNN(images=600).held_out()
    assert torch.equal(x, digits().test.x[:600])
    assert torch.equal(y, digits().test.y[:600])


def test_each_pass_is_another_order_of_all_images_and_repeats_with_the_seed() -> None:
    task = DigitsCNN()
    loader, again = task.loader(1), task.loader(1)
    first, second = ([y for _, y in loader] for _ in range(2))
    assert len(first) == len(loader)
    assert sum(map(len, first)) == 3500
    assert not torch.equal(torch.cat(first), torch.cat(second))
    assert torch.equal(torch.cat(first), torch.cat([y for _, y in again]))


def test_model_fits_the_images_and_the_seed() -> None:
    task = DigitsCNN()
    x, _ = task.held_out()
    assert task.model(0)(x[:2]).shape == (2, 10)
    a, b, c = (task.model(seed) for seed in (0, 0, 1))
    assert torch.equal(a(x[:1]), b(x[:1]))
    assert not torch.equal(a(x[:1]), c(x[:1]))


@pytest.mark.parametrize("images", [0, 1001])
def test_bad_options(images: int) -> None:
    with pytest.raises(BadInput, match="images must be in 1 to 1000"):
        DigitsCNN(images=images)
