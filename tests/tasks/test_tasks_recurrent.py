"""The temporal order, demand and transformer tasks against rules, closed forms and slow twins."""

import csv
import math
from itertools import islice

import pytest
import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.tasks.demand import demand
from gradwarden.tasks.demand_forecast import HORIZONS, DemandForecast, stretches
from gradwarden.tasks.gpt_text import GPTText
from gradwarden.tasks.metrics import scaled_error
from gradwarden.tasks.packages import folder
from gradwarden.tasks.rnn_temporal_order import RNNTemporalOrder, sequences


class Reader(nn.Module):
    """Looks for the two signs and says their order: the rule itself."""

    def forward(self, x: Tensor) -> Tensor:
        kinds = [[int(s) for s in row.argmax(1) if s < 2] for row in x]
        return nn.functional.one_hot(torch.tensor([2 * a + b for a, b in kinds]), 4).float()


def test_sequences_follow_the_rule() -> None:
    x, y = sequences(500, 100, torch.Generator().manual_seed(0))
    assert x.shape == (500, 100, 6)
    assert (x.sum(2) == 1).all()
    signs = x[:, :, :2].sum(2)
    assert (signs.sum(1) == 2).all()
    assert (signs[:, 10:21].sum(1) == 1).all()
    assert (signs[:, 40:51].sum(1) == 1).all()
    assert y.bincount().min() > 90  # of four classes with 125 each
    assert torch.equal(Reader()(x).argmax(1), y)


def test_the_rule_succeeds_at_every_length_and_a_guess_at_a_quarter() -> None:
    task = RNNTemporalOrder(length=20, held_out=400)
    scores = task.scores(Reader(), "test")
    assert scores == {f"success rate, length {length}": 1.0 for length in (20, 40, 60)}
    guess = task.model(0)
    nn.init.zeros_(guess.get_parameter("head.weight"))
    assert task.score(guess, "test") == pytest.approx(0.25, abs=0.07)


def test_held_out_sequences_are_others() -> None:
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x[:, 0, :4]

    for split in ("validation", "test", "test"):
        RNNTemporalOrder(length=20, held_out=10).scores(Spy(), split)
    assert not torch.equal(seen[0], seen[3])
    assert torch.equal(seen[3], seen[6])


def test_demand_is_the_file_in_order() -> None:
    with (folder("tsdata") / "fpp3" / "vic_elec.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = demand()
    assert [len(part) for part in found] == [35088, 8760, 8760]
    assert [row["Date"][:4] for row in (rows[35087], rows[35088])] == ["2013", "2014"]
    whole = torch.cat(found)
    truth = torch.tensor([float(row["Demand"]) for row in rows])
    assert torch.corrcoef(torch.stack([whole[:, 0], truth]))[0, 1] > 1 - 1e-5
    torch.testing.assert_close(found.train[:, :2].mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.train[:, :2].std(0), torch.ones(2), atol=1e-4, rtol=0)
    assert whole[:, 2].sum() == sum(row["Holiday"] == "True" for row in rows)
    for column in (3, 5):  # sine and cosine of one angle, which comes back after a day or a week
        assert whole[:, column : column + 2].square().sum(1).sub(1).abs().max() < 1e-5
    for start, turns in ((3, 48), (5, 336)):  # both clocks go on evenly, midnights included
        step = (whole[1:, start : start + 2] - whole[:-1, start : start + 2]).norm(dim=1)
        torch.testing.assert_close(step, torch.full_like(step, 2 * math.sin(math.pi / turns)))


def test_stretches_go_on_where_the_past_ends() -> None:
    data = torch.arange(200.0)[:, None].expand(200, 7)
    x, y = stretches(data, torch.tensor([0, 100]), 10)
    assert x[:, :, 0].tolist() == [list(range(10)), list(range(100, 110))]
    assert y.tolist() == [list(range(10, 58)), list(range(110, 158))]


def test_scaled_error_against_a_slow_twin() -> None:
    rng = torch.Generator().manual_seed(0)
    forecast, truth = (torch.randn(30, 4, generator=rng) for _ in range(2))
    last = torch.randn(30, generator=rng)
    for column, found in enumerate(scaled_error(forecast, truth, last).tolist()):
        own = sum(abs(float(forecast[i, column] - truth[i, column])) for i in range(30))
        naive = sum(abs(float(last[i] - truth[i, column])) for i in range(30))
        assert found == pytest.approx(own / naive, rel=1e-5)


def test_repeating_the_last_value_scores_one_and_the_truth_zero() -> None:
    task = DemandForecast(held_out=50)
    model = task.model(0)
    for p in model.get_submodule("head").parameters():
        nn.init.zeros_(p)
    scores = task.scores(model, "validation")
    assert list(scores.values()) == pytest.approx([1.0] * len(HORIZONS))
    assert next(iter(scores)) == "scaled error, 24 h ahead"

    class Oracle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            starts = torch.linspace(0, 8760 - 96, 50).long()
            return stretches(demand().test, starts, 48)[1]

    assert set(task.scores(Oracle(), "test").values()) == {0.0}


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_transformer_sees_the_past_alone_and_the_place(norm: str) -> None:
    model = GPTText(norm=norm, length=12).model(0)
    x = torch.randint(80, (1, 12), generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[:, 6] += 1
    change = (model(x) - model(other)).abs().amax((0, 2))
    assert (change[:6] == 0).all()
    assert (change[6:] > 0).all()
    same = model(torch.zeros(1, 12, dtype=torch.long))
    assert not torch.allclose(same[0, 0], same[0, 1])


def test_attention_against_torchs_own() -> None:
    block = GPTText(width=16, heads=4, length=8).model(0).get_submodule("blocks.0")
    own = nn.MultiheadAttention(16, 4, batch_first=True)
    own.in_proj_weight, own.in_proj_bias = block.qkv.weight, block.qkv.bias  # type: ignore[assignment, union-attr]
    own.out_proj = block.out  # type: ignore[assignment]
    x = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    mask = nn.Transformer.generate_square_subsequent_mask(8)
    want, _ = own(x, x, x, attn_mask=mask, need_weights=False)
    torch.testing.assert_close(block._attend(x), want)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "none"}, "norm must be one of pre, post, got 'none'"),
        ({"warmup": -1}, "warmup must be at least 0"),
        ({"heads": 5}, "width must be a multiple of heads 5, got 64"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        GPTText(**options)  # type: ignore[arg-type]


def test_warm_up_is_another_net_and_the_same_weights() -> None:
    cold, warm = GPTText(), GPTText(warmup=50)
    assert (cold.net, warm.net) == ("gpt, pre-norm", "gpt, pre-norm, warm-up 50")
    pairs = zip(cold.model(0).parameters(), warm.model(0).parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    a, b = (next(islice(task.batches(0), 1)) for task in (cold, warm))
    assert torch.equal(a[0], b[0])
