"""Smoothing against closed forms: a linear model's vote shares and radii are known."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import beta, norm
from torch import Tensor, nn

from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.harden.noise_training import NoiseTraining
from gradwarden.harden.randomised_smoothing import Certified, RandomisedSmoothing, decide
from gradwarden.harden.smoothed import Smoothed
from gradwarden.harden.training import Batch


class Side(nn.Module):
    """Class 1 where the first element is above 0.5."""

    def forward(self, x: Tensor) -> Tensor:
        first = x.flatten(1)[:, 0] - 0.5
        return torch.stack([-first, first], 1)


def at(*firsts: float) -> Tensor:
    x = torch.full((len(firsts), 1, 4, 4), 0.5)
    x[:, 0, 0, 0] = torch.tensor(firsts)
    return x


def test_a_linear_model_has_the_distance_to_its_boundary_as_radius() -> None:
    x = at(0.3, 0.45, 0.5, 0.8, 1.0)
    found = RandomisedSmoothing(sigma=0.25, n=20_000).certify(Side().eval(), x)
    true = (x[:, 0, 0, 0] - 0.5).abs().double()
    assert found.predicted.tolist() == [0, 0, -1, 1, 1]
    assert (found.radius <= true + 1e-6).all()
    torch.testing.assert_close(found.radius, true, rtol=0, atol=0.03)
    sure = RandomisedSmoothing(sigma=0.25).certify(Side().eval(), at(100.0))
    limit = 0.25 * norm.ppf(0.001 ** (1 / 10_000))  # every draw agrees
    assert float(sure.radius) == pytest.approx(limit, rel=1e-5)


@pytest.mark.parametrize("votes", [400, 520, 700, 999, 1000])
def test_the_bound_is_one_sided_clopper_pearson(votes: int) -> None:
    low = beta.ppf(0.01, votes, 1000 - votes + 1)
    predicted, radius = decide(3, votes, 1000, 0.01, 2.0)
    if low > 0.5:
        assert predicted == 3
        assert radius == pytest.approx(2.0 * norm.ppf(low))
    else:
        assert (predicted, radius) == (-1, 0.0)


def test_a_certificate_fails_no_more_often_than_alpha() -> None:
    """The true radius is 0.1; with alpha 0.2 at most about a fifth of the runs exceed it."""
    method = RandomisedSmoothing(sigma=0.25, n0=20, n=200, alpha=0.2)
    found = method.certify(Side().eval(), at(*[0.6] * 400), seed=1)
    share = float((found.radius > 0.1).float().mean())
    assert 0.08 < share < 0.26


def test_the_draws_depend_on_seed_and_id_alone() -> None:
    method, x = RandomisedSmoothing(sigma=0.25, n0=50, n=300), at(0.4, 0.55, 0.6)
    whole = method.certify(Side().eval(), x)
    for size in (1, 33, 1000):
        again = method.certify(Side().eval(), x, batch_size=size)
        assert torch.equal(whole.radius, again.radius)
    alone = method.certify(Side().eval(), x[2:], ids=[2])
    assert torch.equal(alone.radius, whole.radius[2:])
    other = method.certify(Side().eval(), x, seed=1)
    assert not torch.equal(whole.radius, other.radius)


def test_the_estimate_does_not_see_the_draws_that_chose_the_class() -> None:
    seen: list[Tensor] = []

    class Notes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.clone())
            return Side().forward(x)

    told: list[tuple[int, int]] = []
    RandomisedSmoothing(sigma=0.25, n0=40, n=70).certify(
        Notes().eval(), at(0.6, 0.7), batch_size=64, on_progress=lambda *a: told.append(a)
    )
    assert sum(map(len, seen)) == 2 * (40 + 70)
    assert len(torch.cat(seen).unique(dim=0)) == 2 * (40 + 70)
    assert max(map(len, seen)) <= 64
    assert told == [(1, 2), (2, 2)]


def test_draws_without_an_answer_count_against_the_class() -> None:
    class Fails(nn.Module):
        """NaN on half of the draws, whose argmax is 0; class 0 on the others."""

        def forward(self, x: Tensor) -> Tensor:
            logits = torch.tensor([1.0, 0.0]).repeat(len(x), 1)
            return torch.where(x.flatten(1)[:, :1] > 0.5, math.nan, logits)

    found = RandomisedSmoothing(sigma=0.25, n=1000).certify(Fails().eval(), at(0.5))
    assert found.predicted.tolist() == [-1]


def test_certified_accuracy_at_a_radius() -> None:
    found = Certified(torch.tensor([0, 1, -1, 1]), torch.tensor([0.2, 0.5, 0.0, 0.1]))
    y = torch.tensor([0, 1, 0, 0])
    assert found.accuracy(y, 0.0).value == 0.5
    assert found.accuracy(y, 0.3).value == 0.25
    assert found.accuracy(y, 0.3).n == 4


def test_the_smoothed_module_estimates_the_mean() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    x = at(0.2, 0.6)
    smooth = RandomisedSmoothing(sigma=0.3).defend(model, draws=20, seed=4)
    noise = Draws(4, range(20), "Smoothed").normal(x.new_empty(20, 1, 4, 4))
    each = torch.stack([model(x + 0.3 * one).softmax(1) for one in noise])
    torch.testing.assert_close(smooth(x), each.mean(0).log())
    assert torch.equal(smooth(x), smooth(x))
    torch.testing.assert_close(smooth(x)[1:], smooth(x[1:]))
    x.requires_grad_()
    (grad,) = torch.autograd.grad(smooth(x)[:, 0].sum(), x)
    assert grad.any()
    assert "sigma=0.3" in repr(smooth)
    assert not smooth.training


def test_the_votes_are_what_is_certified() -> None:
    x = at(0.5, 0.6)
    votes = Smoothed(Side().eval(), sigma=0.1, draws=2000, votes=True)(x).exp()
    torch.testing.assert_close(
        votes[:, 1], torch.tensor(norm.cdf([0.0, 1.0])).float(), atol=0.03, rtol=0
    )
    torch.testing.assert_close(votes.sum(1), torch.ones(2))


def test_noise_training_adds_noise_of_sigma_and_no_box_cuts_it() -> None:
    x, points = torch.full((200, 50), 0.5), []
    model = nn.Linear(50, 2)
    model.register_forward_pre_hook(lambda module, args: points.append(args[0]))
    NoiseTraining(sigma=0.7)._objective(model, Batch(x, torch.zeros(200).long(), range(200), 0))
    noise = points[0] - 0.5
    assert float(noise.std()) == pytest.approx(0.7, rel=0.03)
    assert float(noise.abs().max()) > 2
    assert norm.sf(abs(float(noise.mean())) / 0.007) > 0.001


def test_noise_training_makes_certificates_larger() -> None:
    rng = torch.Generator().manual_seed(0)
    y = torch.randint(2, (300,), generator=rng)
    x = torch.rand(300, 8, generator=rng) * 0.1
    x[:, 0] = y.float()  # far apart
    x[:, 1] = 0.02 * y + 0.005 * torch.rand(300, generator=rng)  # near each other
    radii = []
    for sigma in (0.01, 0.5):
        torch.manual_seed(0)
        model = nn.Sequential(nn.BatchNorm1d(8, affine=False), nn.Linear(8, 16), nn.ReLU())
        model.append(nn.Linear(16, 2))
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        NoiseTraining(sigma=sigma, epochs=15).fit(model, [(x, y)] * 4, optimizer)
        found = RandomisedSmoothing(sigma=0.25, n=500, alpha=0.01).certify(model, x[:40])
        radii.append(found.accuracy(y[:40], 0.3).value)
    assert radii[1] > radii[0] + 0.3
    assert radii[1] > 0.9


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(BadInput, match="sigma must be a finite number above 0"):
        RandomisedSmoothing(sigma=0.0)
    with pytest.raises(BadInput, match="sigma must be a finite number above 0"):
        NoiseTraining(sigma=math.inf)
    with pytest.raises(BadInput, match="n0 and n must be at least 1"):
        RandomisedSmoothing(sigma=1.0, n0=0)
    with pytest.raises(BadInput, match=r"alpha must be in \(0, 0.5\)"):
        RandomisedSmoothing(sigma=1.0, alpha=0.5)
    with pytest.raises(BadInput, match="draws must be at least 1"):
        Smoothed(Side(), sigma=1.0, draws=0)
    method = RandomisedSmoothing(sigma=1.0)
    with pytest.raises(BadInput, match="train mode"):
        method.certify(Side(), at(0.5))
    with pytest.raises(BadInput, match="ids must name each"):
        method.certify(Side().eval(), at(0.5), ids=[1, 2])
