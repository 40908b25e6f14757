"""The widest margin, against scikit-learn's support vector machine and by its own definition."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.svm import SVC
from torch import Tensor

from gradwarden.audit.separation import TOLERANCE, separate


def draw(m: int, f: int, far: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    many = torch.randn(3, m, f, dtype=torch.float64, generator=generator)
    one = torch.randn(3, f, dtype=torch.float64, generator=generator)
    return many, one * far


def test_as_wide_as_a_hard_support_vector_machine() -> None:
    for m, f, far in ((40, 5, 4.0), (30, 60, 1.0), (1, 3, 1.0)):
        many, one = draw(m, f, far)
        found = separate(many, one)
        assert found.apart.all()
        for row in range(3):
            svm = SVC(kernel="linear", C=1e10, tol=1e-8)
            points = torch.cat([many[row], one[row][None]])
            svm.fit(points.numpy(), [0] * m + [1])
            w = found.weight[row]
            ahead = ((one[row] - many[row]) @ w).min() / w.norm()
            widest = 2 / float(np.linalg.norm(svm.coef_))
            assert (1 - TOLERANCE) * widest <= ahead <= (1 + 1e-4) * widest


def test_the_boundary_halves_the_gap_and_the_median_margin_is_one() -> None:
    many, one = draw(41, 5, 4.0)
    found = separate(many * 30 + 7, one * 30 + 7)
    inner = torch.einsum("smf,sf->sm", many * 30 + 7, found.weight) + found.bias[:, None]
    edge = ((one * 30 + 7) * found.weight).sum(1) + found.bias
    assert (inner < 0).all()
    assert (edge > 0).all()
    torch.testing.assert_close(inner.amax(1), -edge)
    torch.testing.assert_close(inner.abs().median(1).values, torch.ones(3, dtype=torch.float64))


def test_a_point_among_the_others_is_told_from_none() -> None:
    many, one = draw(60, 3, 0.0)
    far = one.clone()
    far[1] = 20.0
    assert separate(many, far).apart.tolist() == [False, True, False]
