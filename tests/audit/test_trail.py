"""Searches one after another: none of what fell before is lost, and each is told what it took."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.ledger import run_cascade
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.attack.square import Square
from gradwarden.audit.pace import Pace
from gradwarden.audit.trail import Subject, Trail
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.12))


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 4)).eval()


def subject(**change: object) -> Subject:
    model = net()
    x = torch.rand(60, 8, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(1)
    y[:3] = (y[:3] + 1) % 4  # wrong from the start
    return Subject(model=model, x=x, y=y, threat=THREAT, ids=range(100, 160), **change)  # type: ignore[arg-type]


def test_it_ends_where_one_cascade_ends() -> None:
    on = subject()
    trail = Trail(on, "noise", [Noise(draws=3)], "noise")
    trail.go_on("one", [FGSM()], "one step")
    trail.go_on("many", [PGD(), Square(queries=50)], "many steps")
    whole, x_adv = run_cascade(
        on.model,
        on.x,
        on.y,
        THREAT,
        [Noise(draws=3), FGSM(), PGD(), Square(queries=50)],
        ids=on.ids,
    )
    assert trail.ledger.ids == whole.ids
    assert trail.ledger.clean == whole.clean
    assert [b and b.attack for b in trail.ledger.broken] == [b and b.attack for b in whole.broken]
    assert trail.ledger.attacks == whole.attacks
    fell = torch.tensor([b is not None for b in whole.broken])
    assert torch.equal(trail.x_adv[fell], x_adv[fell])
    assert trail.standing.tolist() == (~fell).tolist()


def test_the_decomposition_adds_up() -> None:
    trail = Trail(subject(), "noise", [Noise(draws=3)], "noise")
    trail.go_on("one", [FGSM()], "one step", module="body")
    trail.go_on("nothing", [FGSM()], "the same again")
    trail.go_on("many", [PGD()], "many steps")
    lines = trail.removed()
    assert [line.by for line in lines][:2] == ["noise", "one step"]
    assert "the same again" not in [line.by for line in lines]
    assert lines[1].module == "body"
    clean = trail.ledger.clean_accuracy.value
    assert abs(clean - sum(line.points for line in lines) - lines[-1].accuracy.value) < 1e-12
    assert lines[-1].accuracy == trail.ledger.accuracy


def test_only_the_first_who_stand_are_tried() -> None:
    trail = Trail(subject(), "noise", [Noise(draws=1)], "noise")
    standing = trail.standing.nonzero()[:, 0]
    fell = trail.go_on("some", [PGD()], "some", most=10)
    assert set(fell.tolist()) <= set(standing[:10].tolist())
    assert trail.ledger.stages[-1].tried == 10
    assert trail.go_on("none", [], "none").tolist() == []


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    def run() -> Trail:
        trail = Trail(subject(resume=tmp_path), "noise", [Noise(draws=3)], "noise")
        trail.go_on("many", [PGD()], "many steps")
        return trail

    first = run()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = run()
    assert before
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert first.ledger.broken == again.ledger.broken
    assert torch.equal(first.x_adv, again.x_adv)


def test_a_sample_wrong_by_chance_in_a_later_search_still_stands() -> None:
    class Coin(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            out = torch.zeros(len(x), 2)
            out[:, 0] = 1.0 if Coin.right else -1.0
            return out + 0 * x.sum(1, keepdim=True)

        right = True

    x, y = torch.rand(5, 3), torch.zeros(5, dtype=torch.int64)
    on = Subject(model=Coin().eval(), x=x, y=y, threat=THREAT, ids=range(5))
    trail = Trail(on, "noise", [Noise(draws=1)], "noise")
    Coin.right = False
    assert trail.go_on("one", [FGSM()], "one step").tolist() == []
    assert trail.standing.all()


def test_progress_ends_at_its_total_and_never_falls() -> None:
    told: list[tuple[int, int]] = []
    pace = Pace(lambda *at: told.append(at), {"noise": 10, "many": 30, "never": 5})
    trail = Trail(subject(pace=pace), "noise", [Noise(draws=1)], "noise")
    trail.go_on("many", [PGD()], "many steps")
    pace.skip("never")
    assert told == sorted(told)
    assert told[-1] == (45, 45)
    assert all(total == 45 for _, total in told)
