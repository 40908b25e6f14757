"""The columns beside `accuracy`: float64, and three ways to count success against a drawing model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.chance import draws_by_itself
from gradwarden.attack.eot import EOT
from gradwarden.attack.evaluate import evaluate
from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.ledger import run_cascade
from gradwarden.attack.memory import Pieces, out_of_memory
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.ledger_record import Ledger
from gradwarden.core.protocols import Attack
from gradwarden.core.records import from_json, to_json
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.1))


class Line(nn.Module):
    """Class 1 where feature 0 exceeds one half, by `gain` and with noise of size `sigma`."""

    def __init__(self, sigma: float = 0.0, gain: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.sigma, self.offset = sigma, offset
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        z = self.gain * (x[:, 0] - 0.5)
        if self.sigma:
            z = z + self.sigma * torch.randn(len(x), dtype=x.dtype)
        return torch.stack([-z, z], 1) + self.offset


def data(n: int = 60) -> tuple[Tensor, Tensor]:
    x = torch.rand(n, 3, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0.5).long()


def test_of_a_deterministic_model_all_columns_agree_and_cost_nothing() -> None:
    x, y = data()
    ledger = evaluate(Line(), x, y, THREAT, [PGD()])
    assert 0.0 < ledger.accuracy.value < 1.0
    assert ledger.draws == 1
    assert ledger.lost == ()
    assert ledger.accuracy_over_draws == ledger.accuracy_while_optimising == ledger.accuracy
    assert ledger.accuracy_in_double == ledger.accuracy
    assert (ledger.double_note, ledger.findings, ledger.notes) == ("", (), ())
    plain = run_cascade(Line(), x, y, THREAT, [PGD()])[0]
    assert plain.broken == ledger.broken
    # two samples to see the classes, 3 x 16 to see whether it draws, and the float64 column
    assert ledger.forwards == plain.forwards + 2 + 48 + len(x)
    assert ledger.backwards == plain.backwards


def test_the_record_says_where_it_came_from() -> None:
    x, y = data()
    ledger = evaluate(Line(), x, y, THREAT, [PGD()], seed=3)
    assert (ledger.model, ledger.threat, ledger.schema) == ("Line", repr(THREAT), 1)
    assert ledger.origin is not None
    assert ledger.origin.seeds == (3,)
    assert {"attack/pgd.py", "attack/evaluate.py"} <= ledger.origin.sources.keys()
    assert from_json(to_json(ledger), Ledger) == ledger


def test_a_float64_disagreement_is_a_finding_and_no_veto() -> None:
    """2**24 + 1 is no float32: there the logits are equal and class 0 is predicted."""
    x = torch.tensor([[0.5 + 0.3, 0.0], [0.9, 0.0]])
    y = torch.tensor([1, 1])

    class Swallows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            high = (x[:, 0] > 0.85).to(x.dtype)
            z = torch.stack([torch.zeros_like(high), 1.0 + high * 2.0**24], 1)
            return z + 2.0**25 * (x[:, :1] != 0.8)  # swallows the 1 once x moves

    ledger = evaluate(Swallows().eval(), x, y, THREAT, [Noise(draws=2)])
    assert [b is not None for b in ledger.broken] == [True, False]
    assert ledger.double == (False, False)
    assert ledger.accuracy.value == 0.5
    assert ledger.accuracy_in_double is not None
    assert ledger.accuracy_in_double.value == 1.0
    (finding,) = ledger.findings
    assert (finding.check, finding.share) == ("float64", 0.5)


class Single(nn.Module):
    """Holds float32 numbers where no conversion sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = [torch.eye(3, 2)]

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.numbers[0]


class Uncopied(Line):
    def __deepcopy__(self, memo: object) -> None:
        raise TypeError("one of its kind")


class Casts(Line):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float()


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (lambda x: Line()(x), "the model is no nn.Module, so it cannot be copied"),
        (Single().eval(), "a copy in float64 raised RuntimeError"),
        (Uncopied(), "a copy in float64 raised TypeError: one of its kind"),
        (Casts(), "the model answers in torch.float32 even as a copy in float64"),
        (Line(sigma=0.1), "the model draws by itself"),
    ],
    ids=["callable", "hidden float32", "no copy", "casts", "draws"],
)
def test_float64_says_why_it_was_not_run(model: nn.Module, why: str) -> None:
    x, y = data(8)
    ledger = evaluate(model, x, y, THREAT, [FGSM()])
    assert ledger.double == ()
    assert ledger.accuracy_in_double is None
    assert ledger.double_note.startswith(f"not run: {why}")


def test_float64_data_need_no_second_column() -> None:
    x, y = data(8)
    ledger = evaluate(Line().double(), x.double(), y, THREAT, [FGSM()])
    assert ledger.double_note == "not run: the model computes in float64 already"


def test_the_float64_copy_leaves_the_model_alone() -> None:
    x, y = data(8)
    model = Line()
    evaluate(model, x, y, THREAT, [FGSM()])
    assert model.gain.dtype == torch.float32
    assert model.gain.requires_grad


@pytest.mark.parametrize(
    ("model", "draws"),
    [
        (Line(), False),
        (Line(sigma=0.1), True),
        (Line(gain=0.0), False),
        (Line(offset=float("nan")), False),
        (nn.Sequential(nn.Dropout(0.5), Line()).eval(), False),
    ],
    ids=["plain", "noisy", "constant", "nan", "dropout is off"],
)
def test_a_model_that_draws_is_found_out(model: nn.Module, draws: bool) -> None:
    state = torch.get_rng_state()
    assert draws_by_itself(model, data()[0], 0) is draws
    assert torch.equal(torch.get_rng_state(), state)


def test_three_columns_of_a_model_that_draws() -> None:
    """By luck alone, nearly all samples within .3 of the border fall once in many passes."""
    x, y = data(200)
    attacks: list[Attack] = [EOT(attack=PGD(steps=10, loss="margin"), draws=20), Noise(draws=30)]
    ledger = evaluate(Line(sigma=0.2), x, y, THREAT, attacks, draws=41)
    optimising, fresh = ledger.accuracy_while_optimising, ledger.accuracy_over_draws
    assert ledger.draws == 41
    assert optimising.value < ledger.accuracy.value <= ledger.clean_accuracy.value
    # Closed form: at its worst point a sample at distance d is lost with Phi((.1 - d) / .2).
    distance = (x[:, 0] - 0.5).abs()
    share = torch.distributions.Normal(0.0, 1.0).cdf((0.1 - distance) / 0.2).mean()
    assert fresh.value == pytest.approx(1.0 - float(share), abs=0.06)
    vote = (distance > 0.1).double().mean()
    assert ledger.accuracy.value == pytest.approx(float(vote), abs=0.06)
    assert fresh.low < fresh.value < fresh.high


def test_a_search_that_ended_by_luck_is_repeated_for_the_strongest_point() -> None:
    """The first point that wins a majority of 20 draws lies short of the ball's edge."""
    x, y = data(200)
    attack = EOT(attack=PGD(steps=10, loss="margin"), draws=20)
    ledger = evaluate(Line(sigma=0.2), x, y, THREAT, [attack], draws=41)
    vote = ((x[:, 0] - 0.5).abs() > 0.1).double().mean()
    assert ledger.accuracy.value == pytest.approx(float(vote), abs=0.04)


def test_clean_accuracy_of_a_model_that_draws_is_by_vote_too() -> None:
    x, y = data(200)
    ledger = evaluate(Line(sigma=0.05), x, y, THREAT, [Noise(draws=0)])
    assert 0.95 < ledger.accuracy.value <= ledger.clean_accuracy.value


def test_draws_come_from_the_seed_alone() -> None:
    x, y = data(40)
    torch.manual_seed(1)
    one = evaluate(Line(sigma=0.2), x, y, THREAT, [PGD(steps=3)], seed=5)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    two = evaluate(Line(sigma=0.2), x, y, THREAT, [PGD(steps=3)], seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    assert (one.broken, one.lost, one.claimed) == (two.broken, two.lost, two.claimed)
    three = evaluate(Line(sigma=0.2), x, y, THREAT, [PGD(steps=3)], seed=6)
    assert three.lost != one.lost


def test_what_the_user_says_of_a_model_is_believed() -> None:
    x, y = data(20)
    assert evaluate(Line(), x, y, THREAT, [FGSM()], stochastic=True, draws=3).draws == 3
    ledger = evaluate(Line(sigma=0.2), x, y, THREAT, [FGSM()], stochastic=False)
    assert ledger.draws == 1


MESSAGES = {
    "cpu": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    "cuda": torch.OutOfMemoryError("CUDA out of memory."),
    "python": MemoryError(),
}


class Small(Line):
    """Has memory for 5 samples in one pass."""

    def __init__(self, why: Exception, room: int = 5) -> None:
        super().__init__()
        self.why, self.room = why, room

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.room:
            raise self.why
        return super().forward(x)


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_batch_that_does_not_fit_is_halved(kind: str) -> None:
    x, y = data(30)
    attacks: list[Attack] = [Noise(draws=2), PGD(steps=5)]
    whole = evaluate(Line(), x, y, THREAT, attacks, stochastic=False, batch_size=16)
    small = Small(MESSAGES[kind])
    halved = evaluate(small, x, y, THREAT, attacks, stochastic=False, batch_size=16)
    assert halved.broken == whole.broken
    assert halved.notes == ("out of memory with 16 samples in one pass: went on with 4",)
    assert whole.notes == ()


def test_one_sample_that_does_not_fit_is_an_error() -> None:
    x, y = data(4)
    with pytest.raises(torch.OutOfMemoryError):
        run_cascade(Small(MESSAGES["cuda"], room=0), x, y, THREAT, [FGSM()])


def test_an_error_of_another_kind_is_not_taken_for_it() -> None:
    assert not out_of_memory(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        Pieces(4).run(torch.arange(8), lambda rows: _raise())


def _raise() -> None:
    raise RuntimeError("shapes differ")


def test_pieces_keep_their_order_and_remember_what_fitted() -> None:
    def work(rows: Tensor) -> list[int]:
        if len(rows) > 3:
            raise MemoryError
        found: list[int] = rows.tolist()
        return found

    pieces = Pieces(8)
    assert [row for rows in pieces.run(torch.arange(20), work) for row in rows] == list(range(20))
    assert pieces.size == 2
    assert max(map(len, pieces.run(torch.arange(9), work))) == 2
    assert pieces.run(torch.arange(0), work) == []
    with pytest.raises(BadInput, match="batch_size must be at least 1, got 0"):
        Pieces(0)
