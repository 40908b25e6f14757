"""Models that answer with probabilities, one logit, or through scikit-learn."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from gradwarden.attack.evaluate import evaluate
from gradwarden.attack.hop_skip_jump import HopSkipJump
from gradwarden.attack.models import Binary, FromProbabilities, PredictProba
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.attack.square import Square
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Evades
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.1))


def net(classes: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, classes)).eval()


def points(n: int = 40) -> Tensor:
    return torch.rand(n, 8, generator=torch.Generator().manual_seed(1))


def forest() -> tuple[RandomForestClassifier, Tensor, Tensor]:
    x = points(300)
    y = (x[:, 0] + x[:, 1] > 1).long() + (x[:, 2] > 0.6).long()
    made = RandomForestClassifier(20, random_state=0).fit(x.numpy(), y.numpy())
    return made, x, y


def test_a_softmax_is_undone_up_to_a_constant() -> None:
    model, x = net(), points()
    wrapped = FromProbabilities(nn.Sequential(model, nn.Softmax(1)).eval())
    torch.testing.assert_close(wrapped(x), model(x).log_softmax(1))
    y = model(x).argmax(1)
    plain, found = (PGD(loss="margin").run(m, x, y, THREAT) for m in (model, wrapped))
    assert torch.equal(plain.success, found.success)
    assert 0 < int(found.success.sum()) < 40


def test_a_saturated_softmax_stays_finite_but_its_gradient_is_gone() -> None:
    model, x = net(), points()

    def sure(x: Tensor) -> Tensor:
        found: Tensor = (model(x) * 1e4).softmax(1)
        return found

    y = model(x).argmax(1)
    leaf = x.clone().requires_grad_()
    logs = FromProbabilities(sure)(leaf)
    assert logs.isfinite().all()
    (grad,) = torch.autograd.grad(logs.sum(), leaf)
    assert grad.isfinite().all()
    found = PGD(loss="margin").run(FromProbabilities(sure), x, y, THREAT)
    honest = PGD(loss="margin").run(model, x, y, THREAT)
    assert int(found.success.sum()) < int(honest.success.sum())


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_the_probability_of_class_1_alone_is_two_classes(shape: tuple[int, ...]) -> None:
    model, x = net(1), points()
    wrapped = FromProbabilities(lambda x: model(x).sigmoid().view(shape))
    p = model(x).sigmoid()[:, 0]
    torch.testing.assert_close(wrapped(x), torch.stack([1 - p, p], 1).log())


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_logit_is_two(shape: tuple[int, ...]) -> None:
    model, x = net(1), points()
    wrapped = Binary(lambda x: model(x).view(shape))
    logit = model(x)[:, 0]
    assert torch.equal(wrapped(x), torch.stack([logit * 0, logit], 1))
    y = (logit > 0).long()
    assert torch.equal(wrapped(x).argmax(1), y)
    goal = Evades(source=1)
    threat = Threat(ball=Linf(0.3), goal=goal)
    found = PGD().run(wrapped, x, y, threat)
    assert torch.equal(found.success, (y == 1) & (model(found.x_adv)[:, 0] < 0))
    assert found.success.any()


def test_an_estimator_falls_to_attacks_that_need_no_gradient() -> None:
    made, x, _ = forest()
    model, x = PredictProba(made), x[:40]
    np.testing.assert_allclose(
        model(x).exp().numpy(), made.predict_proba(x.numpy()), rtol=1e-5, atol=1e-30
    )
    y = torch.from_numpy(made.predict(x.numpy()))
    square = Square(queries=100).run(model, x, y, THREAT)
    hop = HopSkipJump(steps=1, first=10, tries=20).run(model, x, y, THREAT)
    start = PGD(steps=0).run(model, x, y, THREAT)
    blind = PGD(steps=5).run(model, x, y, THREAT)
    assert int(square.success.sum()) > int(blind.success.sum())
    assert hop.success.any()
    assert not blind.backwards.any()
    assert torch.equal(blind.x_adv, start.x_adv)
    assert repr(model) == "PredictProba(RandomForestClassifier, black box: no gradient)"


def test_an_estimator_is_a_module_like_any_other() -> None:
    made, x, y = forest()
    model = PredictProba(made)
    ledger = evaluate(model, x[:20], y[:20], THREAT, (Noise(draws=3), Square(queries=20)))
    assert len(ledger.ids) == 20
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(x), model(x))
    twin = copy.deepcopy(model).double()
    assert twin(x.double()).dtype == torch.float64
    images = PredictProba(LogisticRegression().fit(x.numpy(), y.numpy()))
    assert torch.equal(images(x.view(-1, 2, 2, 2)), images(x))


@pytest.mark.parametrize("wrapper", [FromProbabilities, Binary])
def test_the_mode_is_the_models(wrapper: type[FromProbabilities | Binary]) -> None:
    model = net(1)
    assert not any(part.training for part in wrapper(model).modules())
    assert wrapper(model.train()).training
    assert not wrapper(lambda x: x).training


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (torch.tensor([[0.5, 0.6]]), "sum to 1 in each row, got rows from 0.5 to 0.6 with a sum"),
        (torch.tensor([[1.5, -0.5]]), "at least 0 that sum to 1 in each row, got rows from -0.5"),
        (torch.rand(1, 2, 3), r"\[N, classes\], got torch.float32 of shape \(1, 2, 3\)"),
        (torch.tensor([[0, 1]]), "floating-point probabilities"),
        (torch.tensor([1.5]), "a model that returns logits needs no wrapper"),
    ],
)
def test_what_are_no_probabilities_are_refused(answer: Tensor, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        FromProbabilities(lambda x: answer)(torch.rand(1, 3))


def test_rows_without_an_answer_and_half_precision_are_taken() -> None:
    answer = torch.tensor([[0.5, 0.5], [float("nan"), 1.0]])
    assert FromProbabilities(lambda x: answer)(torch.rand(2, 3))[1, 0].isnan()
    half = torch.rand(50, 10).softmax(1).bfloat16()
    assert FromProbabilities(lambda x: half)(torch.rand(50, 3)).isfinite().all()


def test_other_answers_and_estimators_are_refused() -> None:
    with pytest.raises(
        BadInput, match=r"one logit a sample, \[3\] or \[3, 1\], got shape \(3, 2\)"
    ):
        Binary(lambda x: x[:, :2])(torch.rand(3, 4))
    bad: Any = object()
    with pytest.raises(BadInput, match="an estimator with a method predict_proba, got object"):
        PredictProba(bad)
