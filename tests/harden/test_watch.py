"""What a watch measures, when it ends the training, which weights it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat
from gradwarden.harden.fast_training import FastTraining
from gradwarden.harden.noise_training import NoiseTraining
from gradwarden.harden.watch import Watch, Watched

THREAT = Threat(ball=Linf(0.1))
X, Y = torch.full((10, 1), 0.5), torch.zeros(10, dtype=torch.long)


class Counter(nn.Module):
    """Right on all X, at 0.5 alone; `at` tells the epoch that its weights come from."""

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x * 0 + 1 + 0 * self.at, x * 0], 1)


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """Breaks as many samples as the script says, one entry a call."""

    broken: list[int] = field(default_factory=list)

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
        del model, threat, seed, ids
        zero = torch.zeros(len(x), dtype=torch.long)
        fell = torch.arange(len(x)) < self.broken.pop(0)
        return Attacked(x, zero.float(), fell, zero.float(), zero, zero, zero, zero > 0)


def looked(broken: list[int], *, one_step: bool = False) -> tuple[Watch, Counter]:
    """Epochs with as many broken samples, until it stops; the model's weights count them."""
    watch, model = Watch(X, Y, THREAT, attack=Scripted(broken=broken)), Counter().eval()
    with torch.no_grad():
        model.at.fill_(-1.0)
        watch.start(model)
        epoch = 0
        while broken and not watch.stopped:
            model.at.fill_(float(epoch))
            watch.look(model, epoch, one_step=one_step)
            epoch += 1
    watch.put_best(model)
    return watch, model


def test_the_best_epoch_is_kept_and_the_later_of_two_equal_ones() -> None:
    watch, model = looked([5, 3, 4, 3, 5])
    assert [row.attacked for row in watch.seen] == pytest.approx([0.5, 0.7, 0.6, 0.7, 0.5])
    assert watch.seen[0] == Watched(0, 1.0, 1.0, 0.5)
    assert watch.stopped is None
    assert watch.best is not None
    assert (watch.best.epoch, float(model.at.detach())) == (3, 3.0)


def test_a_fall_ends_the_training_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"fell from 0.90 in epoch 1 to 0.60 in epoch 3"):
        watch, model = looked([2, 1, 3, 4, 0])
    assert len(watch.seen) == 4
    assert float(model.at.detach()) == 1.0
    assert watch.stopped is not None
    assert "the weights of epoch 1 are kept" in watch.stopped


def test_overfitting_to_one_step_ends_the_training_of_such_trainers_alone() -> None:
    with pytest.warns(UserWarning, match="before the first epoch are kept"):
        watch, model = looked([10, 0], one_step=True)
    assert len(watch.seen) == 1
    assert watch.seen[0].overfitted
    assert float(model.at.detach()) == -1.0
    watch, model = looked([10, 0])
    assert len(watch.seen) == 2
    assert float(model.at.detach()) == 1.0


def test_what_counts_as_overfitted() -> None:
    assert Watched(0, 1.0, 0.9, 0.4).overfitted
    assert not Watched(0, 1.0, 0.9, 0.5).overfitted
    assert not Watched(0, 0.9, 0.2, 0.0).overfitted  # hardly anything is resisted at all


def test_a_model_that_diverged_has_accuracy_0() -> None:
    model, watch = Counter().eval(), Watch(X, Y, THREAT)
    watch.start(model)
    with torch.no_grad():
        model.at.fill_(float("nan"))
    watch.look(model, 0, one_step=False)
    assert watch.seen[0] == Watched(0, 0.0, 0.0, 0.0)


def test_fit_looks_after_each_epoch_and_ends_there() -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = torch.rand(40, 3, generator=rng), torch.randint(2, (40,), generator=rng)
    model = nn.Linear(3, 2)
    watch = Watch(X.expand(10, 3), Y, THREAT, attack=Scripted(broken=[1, 1, 9, 1, 1]))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    told: list[tuple[int, int]] = []
    weights: list[Tensor] = []

    def tell(done: int, total: int) -> None:
        told.append((done, total))
        weights.append(model.weight.detach().clone())

    with pytest.warns(UserWarning, match="training stopped"):
        NoiseTraining(sigma=0.1, epochs=5).fit(
            model, [(x, y)], optimizer, on_progress=tell, watch=watch
        )
    assert told == [(1, 5), (2, 5), (3, 5)]
    assert torch.equal(model.weight, weights[1])
    assert not model.training


def test_fit_gives_the_first_weights_back_where_no_epoch_was_good() -> None:
    x, y = torch.rand(40, 3, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.bias.copy_(torch.tensor([9.0, 0.0]))  # right on all that is watched
    before = model.weight.detach().clone()
    watch = Watch(X.expand(10, 3), Y, THREAT, attack=Scripted(broken=[10]))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.warns(UserWarning, match="before the first epoch are kept"):
        FastTraining(threat=THREAT).fit(model, [(x, y)], optimizer, watch=watch)
    assert torch.equal(model.weight, before)


def test_catastrophic_overfitting_is_seen_and_undone() -> None:
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16).float(), torch.tensor(labels).long()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    threat = Threat(ball=Linf(0.3))
    watch = Watch(x[1000:1200], y[1000:1200], threat)
    loader = list(zip(x[:1000].split(50), y[:1000].split(50), strict=True))
    plain = FastTraining(threat=threat, noise=0.0, step_size=1.0, epochs=30)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    with pytest.warns(UserWarning, match="catastrophic overfitting in epoch"):
        plain.fit(model, loader, optimizer, watch=watch)
    last, best = watch.seen[-1], watch.best
    assert best is not None
    assert last.attacked < 0.5 * last.one_step
    assert best.attacked > last.attacked
    again = Watch(watch.x, watch.y, threat)
    again.look(model, 0, one_step=False)
    assert again.seen[0].attacked == pytest.approx(best.attacked)


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(BadInput, match=r"fall must be in \(0, 1\]"):
        Watch(X, Y, THREAT, fall=0.0)
    with pytest.raises(BadInput, match="outside the box"):
        Watch(X + 1, Y, THREAT)
