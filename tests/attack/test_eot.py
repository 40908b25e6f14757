"""EOT on toys whose draws are known, so that the right answer is too."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.bpda import BPDA, Surrogate
from gradwarden.attack.eot import EOT
from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Attacked, Problem
from gradwarden.core.threat import Threat

BOX = (-9.0, 9.0)


class Turns(nn.Module):
    """A "random" model whose draws come in turn: call k returns `answers[k % len]`."""

    def __init__(self, *answers: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.answers, self.calls = answers, 0
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        answer = self.answers[self.calls % len(self.answers)]
        self.calls += 1
        wrong = answer(x[:, 0])
        return torch.stack([torch.zeros_like(wrong), wrong], 1)


def quiet(x: Tensor) -> Tensor:
    """Class 1 wins below -0.5."""
    return -x - 0.5


def loud(x: Tensor) -> Tensor:
    """Far from class 1 whatever x in [-1, 1] is; steep towards it where `quiet` is not."""
    return 8 * x - 20


def attacked(model: nn.Module, attack: Any, radius: float = 1.0) -> Attacked:
    x, y = torch.zeros(1, 1), torch.zeros(1, dtype=torch.long)
    found: Attacked = attack.run(model, x, y, Threat(ball=Linf(radius), box=BOX))
    return found


def test_losses_are_averaged_not_logits() -> None:
    """Three draws of four can be broken, and only away from where the mean logit leads."""
    found = attacked(Turns(quiet, quiet, quiet, loud), EOT(attack=PGD(steps=20), draws=4))
    assert found.success.all()
    assert float(found.x_adv) < -0.5
    assert 0.0 < float(found.margin) <= 0.5


def test_the_mean_of_logits_would_fail() -> None:
    """What foolbox's wrapper does: the planted bug that the test above sees."""
    model = Turns(quiet, quiet, quiet, loud)

    def mean(x: Tensor) -> Tensor:
        return torch.stack([model(x) for _ in range(4)]).mean(0)

    x, y = torch.zeros(1, 1), torch.zeros(1, dtype=torch.long)
    wrong = PGD(steps=20).run(mean, x, y, Threat(ball=Linf(1.0), box=BOX))
    assert not wrong.success.any()
    assert float(wrong.x_adv) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        foolbox: Any = import_module("foolbox")
        theirs = foolbox.PyTorchModel(model, bounds=BOX, device="cpu")
        theirs = foolbox.models.ExpectationOverTransformationWrapper(theirs, n_steps=4)
        attack = foolbox.attacks.LinfPGD(steps=20, rel_stepsize=0.1)
        made = attack(theirs, x, y, epsilons=1.0)[1]
    assert float(made) > 0


@pytest.mark.parametrize(
    ("wrong", "draws", "success"),
    [(0, 4, False), (1, 4, False), (2, 4, False), (3, 4, True), (4, 4, True), (2, 3, True)],
)
def test_success_is_the_majority_of_all_draws(wrong: int, draws: int, success: bool) -> None:
    """The last draw is wrong each time: AutoAttack's `rand`, which reads it alone, would count."""
    right = [lambda x: x * 0 - 1] * (draws - wrong)
    model = Turns(*right, *[lambda x: x * 0 + 1] * wrong)
    found = attacked(model, EOT(attack=PGD(steps=3), draws=draws))
    assert bool(found.success) is success
    assert bool(found.margin > 0) is success


def test_one_draw_of_a_fixed_model_changes_no_bit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 5)).eval()
    x = torch.rand(32, 20)
    y, threat = model(x).argmax(1), Threat(ball=Linf(0.05))
    for loss in ("cross-entropy", "margin"):
        attack = PGD(steps=10, loss=loss)
        plain = attack.run(model, x, y, threat)
        for part, twin in zip(
            plain, EOT(attack=attack, draws=1).run(model, x, y, threat), strict=True
        ):
            assert torch.equal(part, twin)


def test_what_is_seen_is_that_of_a_loop_over_the_draws() -> None:
    rng = torch.Generator().manual_seed(0)
    logits, y = torch.randn(6, 40, 3, generator=rng), torch.randint(3, (40,), generator=rng)
    threat = Threat(ball=Linf(1.0))
    goal = threat.goal
    problem = Problem(
        lambda x: logits, threat, lambda z, label, aim: goal.loss(z, label), logits[0], y, range(40)
    )
    seen = problem.see(problem.ask(problem.x))
    each = [goal.reached(row, y) for row in logits]
    margins = [goal.margin(row, y) for row in logits]
    for sample in range(40):
        votes = sum(int(draw[sample]) for draw in each)
        assert bool(seen.reached[sample]) is (votes > 3)
        assert float(seen.margin[sample]) == sorted(float(m[sample]) for m in margins)[2]
        assert bool(seen.margin[sample] > 0) is (votes > 3)
    torch.testing.assert_close(seen.loss, sum(goal.loss(row, y) for row in logits) / 6)


def test_passes_count_every_draw_and_draws_of_draws() -> None:
    model = Turns(lambda x: x * 0.1 - 1)
    found = attacked(model, EOT(attack=PGD(steps=5), draws=3))
    assert int(found.forwards) == model.calls == 3 * 7
    assert int(found.backwards) == 3 * 5
    nested = attacked(model, EOT(attack=EOT(attack=PGD(steps=5), draws=2), draws=3))
    assert int(nested.forwards) == 6 * 7


def test_the_models_chance_is_drawn_from_torch_and_not_reset() -> None:
    noisy = nn.Sequential(nn.Dropout(0.5), nn.Linear(20, 3)).train()
    x, y = torch.rand(4, 20), torch.zeros(4, dtype=torch.long)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    EOT(attack=PGD(steps=2), draws=3).run(noisy, x, y, Threat(ball=Linf(0.1)))
    assert not torch.equal(before, torch.get_rng_state())


class Shattered(nn.Module):
    """Noise, then rounding that gives no gradient, then a plane through 0.5."""

    def __init__(self) -> None:
        super().__init__()
        self.round = Rounded()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        z = self.round(x + 0.05 * torch.randn_like(x))
        return torch.stack([z.new_full((len(z),), 0.5), z.mean(1)], 1)


class Rounded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 20).round() / 20


def test_inside_bpda_it_follows_the_surrogate() -> None:
    model, x = Shattered(), torch.full((8, 30), 0.4)
    y, threat = torch.zeros(8, dtype=torch.long), Threat(ball=Linf(0.2))
    torch.manual_seed(0)
    blind = EOT(attack=PGD(steps=10), draws=5).run(model, x, y, threat)
    inner = EOT(attack=PGD(steps=10), draws=5)
    found = BPDA(attack=inner, patches=(Surrogate("round"),)).run(model, x, y, threat)
    assert found.success.all()
    assert not blind.success.any()
    with pytest.raises(BadInput, match=r"BPDA patches an nn\.Module, got Repeated"):
        EOT(attack=BPDA(attack=PGD(), patches=()), draws=2).run(model, x, y, threat)


def test_a_bad_option_is_one_sentence() -> None:
    with pytest.raises(BadInput, match="draws must be at least 1, got 0"):
        EOT(attack=PGD(), draws=0)
