"""The audit on models that it has never heard of, trained on real digits."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradwarden.audit.examine import examine
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.examination import Examination
from gradwarden.core.records import from_json, to_json
from gradwarden.core.threat import Threat
from gradwarden.harden.adversarial_training import AdversarialTraining

THREAT = Threat(ball=Linf(0.15))


@cache
def digits() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return torch.tensor(images, dtype=torch.float32)[order] / 16, torch.tensor(labels)[order]


def batches() -> list[tuple[Tensor, Tensor]]:
    x, y = digits()
    return list(zip(x[:1400].split(100), y[:1400].split(100), strict=True))


def held_out(n: int = 250) -> tuple[Tensor, Tensor]:
    x, y = digits()
    return x[1400 : 1400 + n], y[1400 : 1400 + n]


def body() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


class Walled(nn.Module):
    """Looks trained for robustness to whoever follows its gradient: there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.body = body()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = (x * 7).round() / 7
        out: Tensor = self.body(x)
        return out


@cache
def trained(kind: str) -> nn.Module:
    model: nn.Module = Walled() if kind == "walled" else body()
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    if kind == "adversarial":
        return AdversarialTraining(threat=THREAT, epochs=12).fit(model, batches(), optimizer)
    for _ in range(15):
        for x, y in batches():
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
    return model.eval()


@cache
def examined(kind: str) -> Examination:
    claim = 0.85 if kind == "walled" else None
    return examine(trained(kind), *held_out(), THREAT, claim=claim, budget="quick")


def test_a_no_grad_block_in_a_users_own_forward_is_masked() -> None:
    found = examined("walled")
    assert found.verdict == "masked"
    assert found.clean.value > 0.9
    assert found.naive.value > 0.8
    assert found.adaptive.value < 0.3
    assert found.p_value < 1e-10
    assert ("no-gradient", "") in [(f.check, f.module) for f in found.findings]
    assert any("the model's own code" in patch for patch in found.patches)
    assert any("claim" in reason for reason in found.reasons)
    largest = max(found.removed, key=lambda line: line.points)
    assert largest.module == ""


def test_the_same_net_without_the_wall_is_not_masked() -> None:
    found = examined("plain")
    assert found.verdict == "consistent"
    assert found.naive.value < 0.3
    assert found.findings == ()
    assert found.patches == ()


def test_adversarial_training_is_not_masked() -> None:
    found = examined("adversarial")
    assert found.verdict == "consistent"
    assert found.adaptive.value > 0.35
    assert found.findings == ()
    assert found.adaptive.value > examined("plain").adaptive.value + 0.2


def test_witnesses_are_what_the_ledger_says_fell() -> None:
    _, y = held_out()
    record = examined("walled")
    rows = [witness.sample for witness in record.witnesses]
    assert all(w.predicted != w.label == int(y[w.sample]) for w in record.witnesses)
    assert all(w.size <= 0.15 * 1.0001 for w in record.witnesses)
    fallen = {i for i, b in enumerate(record.adaptive_ledger.broken) if b and b.forwards}
    assert set(rows) == fallen
    naive = record.naive_ledger.broken
    beyond = [naive[row] is None for row in rows]
    assert beyond == sorted(beyond, reverse=True)  # those that tell most come first
    assert round(record.naive.value * 250 - record.adaptive.value * 250) == sum(beyond)


def test_a_standard_audit_holds_every_part_of_the_record() -> None:
    x, y = held_out(100)
    found = examine(trained("walled"), x, y, THREAT)
    assert found.verdict == "masked"
    states = {gate.name: gate.state for gate in found.gates}
    assert set(states) == {
        "converged",
        "black box",
        "sweep",
        "binarisation",
        "findings",
        "constraints",
    }
    assert set(states.values()) == {"green"}
    assert found.black_box is not None
    assert found.black_box.value < found.naive.value
    assert {"naive", "adaptive", "without a gradient"} <= {s.name for s in found.figures[0].series}
    assert any(figure.id.startswith("slice") for figure in found.figures)
    assert len(found.indicators) > 15
    assert sum(item.measured for item in found.checklist) >= 11
    assert any("no-gradient" in link.checks and link.patched for link in found.chain)
    assert found.tables  # vectors of features
    assert sum(line.points for line in found.removed) == pytest.approx(
        found.clean.value - found.adaptive.value
    )


def test_the_adaptive_attack_never_breaks_less() -> None:
    for kind in ("walled", "plain", "adversarial"):
        record = examined(kind)
        pairs = zip(record.naive_ledger.broken, record.adaptive_ledger.broken, strict=True)
        assert all(strong is not None for weak, strong in pairs if weak is not None)
        assert record.adaptive.value <= record.naive.value <= record.clean.value


def test_the_record_survives_json_and_is_the_same_twice() -> None:
    x, y = held_out(60)
    first, second = (
        examine(trained("walled"), x, y, THREAT, seed=3, budget="quick") for _ in range(2)
    )
    assert from_json(to_json(first), Examination) == first
    plain = to_json(first).splitlines()
    assert [line for line in plain if "seconds" not in line] == [
        line for line in to_json(second).splitlines() if "seconds" not in line
    ]
    assert first.origin.seeds == (3,)
    assert "audit/checks/no_gradient.py" in first.origin.sources


def test_what_was_not_run_is_named() -> None:
    found = examined("plain")
    assert [gate.name for gate in found.gates if gate.state == "not run"] == ["binarisation"]
    assert any("Not run in this budget: binarisation." in reason for reason in found.reasons)


def test_other_threats_ids_and_balls() -> None:
    x, y = held_out(60)
    found = examine(
        trained("plain"), x, y, Threat(ball=L2(0.5)), ids=list(range(60, 120)), budget="quick"
    )
    assert found.naive_ledger.ids == found.adaptive_ledger.ids == tuple(range(60, 120))
    assert all(w.sample >= 60 for w in found.witnesses)


def test_progress_never_falls_and_reaches_its_total() -> None:
    seen: list[tuple[int, int]] = []
    x, y = held_out(20)
    examine(
        trained("walled"), x, y, THREAT, budget="quick", on_progress=lambda *at: seen.append(at)
    )
    assert seen[-1][0] == seen[-1][1]
    assert seen == sorted(seen)
    assert len({total for _, total in seen}) == 1


def test_an_interrupted_audit_goes_on(tmp_path: Path) -> None:
    x, y = held_out(40)

    def told(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    run = partial(examine, trained("walled"), x, y, THREAT, budget="quick")
    with pytest.raises(KeyboardInterrupt):
        run(resume=tmp_path, on_progress=told)
    kept = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert kept
    whole, alone = run(resume=tmp_path), run()
    assert whole.verdict == alone.verdict
    assert whole.adaptive_ledger.broken == alone.adaptive_ledger.broken
    assert kept < {path for path in tmp_path.rglob("*") if path.is_file()}


def test_a_certificate_bounds_from_below_and_is_checked() -> None:
    x, y = held_out(60)
    plain = examine(trained("plain"), x, y, THREAT, budget="quick")
    stands = torch.tensor([b is None for b in plain.adaptive_ledger.broken])
    found = examine(trained("plain"), x, y, THREAT, budget="quick", certified=stands)
    assert found.verdict == "certified"
    assert found.certified == found.adaptive
    with pytest.raises(BadInput, match="the certificate is wrong: an attack breaks"):
        examine(trained("plain"), x, y, THREAT, budget="quick", certified=stands | ~stands)


def test_an_overstated_claim_on_an_honest_model() -> None:
    x, y = held_out(100)
    found = examine(trained("plain"), x, y, THREAT, claim=0.9, budget="quick")
    assert found.verdict == "overstated"
    assert "90.0 %" in found.reasons[0]
    low = examine(trained("plain"), x, y, THREAT, claim=0.05, budget="quick")
    assert low.verdict == "consistent"


def test_a_model_that_draws_is_judged_by_most_draws_and_repeatable() -> None:
    class Shaky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = trained("adversarial")

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.net(x + 0.05 * torch.randn_like(x))
            return out

    x, y = held_out(24)
    state = torch.get_rng_state()
    first, second = (examine(Shaky().eval(), x, y, THREAT, budget="quick") for _ in range(2))
    assert "stochastic" in {finding.check for finding in first.findings}
    assert first.adaptive_ledger.draws == 21
    assert any("draws of the model" in patch for patch in first.patches)
    assert first.adaptive == second.adaptive
    assert first.verdict != "masked"
    assert torch.equal(state, torch.get_rng_state())


def test_a_model_that_gets_nothing_right_is_inconclusive() -> None:
    x, _ = held_out(30)
    wrong = (trained("plain")(x).argmax(1) + 1) % 10
    found = examine(trained("plain"), x, wrong, THREAT, budget="quick")
    assert found.verdict == "inconclusive"
    assert "no sample right" in found.reasons[0]
    assert found.witnesses == ()


def _bad() -> list[tuple[dict[str, Any], str]]:
    x, y = held_out(10)
    nan = x.clone()
    nan[4, 0] = float("nan")
    return [
        ({"x": x * 16}, "outside the box"),
        ({"x": nan}, "first in sample 4"),
        ({"x": x[:0], "y": y[:0]}, "the data are empty"),
        ({"y": y + 10}, "labels lie in"),
        ({"y": y.double()}, "class indices"),
        ({"model": body()}, "the model is in train mode"),
        ({"model": nn.Unflatten(1, (8, 8)).eval()}, "floating-point logits"),
        ({"model": lambda x: x}, r"must be an nn\.Module, got function"),
        ({"claim": 1.5}, r"claim must be an accuracy in \[0, 1\], got 1.5"),
        ({"claim": float("nan")}, "claim must be"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"budget": "cheap"}, "budget must be one of quick, standard, thorough, got 'cheap'"),
        (
            {"certified": torch.ones(3, dtype=torch.bool)},
            "certified must be a tensor that says True or False",
        ),
    ]


@pytest.mark.parametrize(("change", "says"), _bad())
def test_bad_input_is_one_sentence(change: dict[str, Any], says: str) -> None:
    x, y = held_out(10)
    given: dict[str, Any] = {"model": body().eval(), "x": x, "y": y, "threat": THREAT} | change
    with pytest.raises(BadInput, match=says):
        examine(**given)


def test_a_radius_of_zero_is_bad_input() -> None:
    with pytest.raises(BadInput, match="radius must be a finite number above 0"):
        Linf(0.0)


def test_a_useful_stand_in_is_told_and_hides_nothing() -> None:
    """A straight-through rounding: the finding must not lower the gap that "masked" needs."""

    class Rounds(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + ((x * 7).round() / 7 - x).detach()

    torch.manual_seed(0)
    model = nn.Sequential(Rounds(), nn.Flatten(), nn.Linear(12, 3)).eval()
    x = torch.rand(60, 3, 4)
    y = model(x).argmax(1)
    found = examine(model, x, y, Threat(ball=Linf(0.1)), budget="quick")
    assert "straight-through" in {finding.check for finding in found.findings}
    assert not any("stand-in" in reason for reason in found.reasons)
    assert found.verdict != "masked"
