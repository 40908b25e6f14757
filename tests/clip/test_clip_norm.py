"""The norm against closed forms and a float64 twin, over dtypes, layouts and orders."""

import math

import pytest
import torch
from torch import Tensor

from gradwarden.clip.norm import ROW, joined, powers, total_norm, widened

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
ORDERS = [0.5, 1.0, 2.0, 3.0, math.inf]


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.manual_seed(seed), dtype=torch.float64).to(dtype)


def twin(values: list[Tensor], p: float = 2.0) -> float:
    """By the definition, in float64, over the elements one by one."""
    moduli = [abs(x) for v in values for x in v.to_dense().flatten().tolist()]
    return float(max(moduli) if p == math.inf else math.fsum(m**p for m in moduli) ** (1 / p))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, ROW - 1, ROW, ROW + 1, 40 * ROW + 17])
def test_equal_elements(dtype: torch.dtype, n: int) -> None:
    """|c| sqrt(n), where the sum of squares overflows float16."""
    value = float(total_norm([torch.full((n,), -256.0, dtype=dtype)]))
    assert value == pytest.approx(256 * n**0.5, rel=1e-6)


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_many_tensors_match_the_twin(dtype: torch.dtype, p: float) -> None:
    shapes = [(), (0,), (7, 5), (90, 50), (3, 3 * ROW), (ROW,)]
    values = [draw(*s, seed=i, dtype=dtype) for i, s in enumerate(shapes)]
    measured = powers(values, p)
    assert float(measured.total()) == pytest.approx(twin(values, p), rel=1e-6)
    each = [twin([v], p) if v.numel() else 0.0 for v in values]
    assert measured.tensors().tolist() == pytest.approx(each, rel=1e-6)
    if p != math.inf:
        assert float(widened(values, p).total()) == pytest.approx(twin(values, p), rel=1e-9)
    both = joined([powers(values[:2], p), powers(values[2:], p)], torch.device("cpu"))
    assert both.tensors().tolist() == pytest.approx(each, rel=1e-6)


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize(
    "value",
    [
        draw(100, 90).T,
        draw(4, 3, 20, 30).to(memory_format=torch.channels_last),
        draw(200, 120)[::2, 5:50],
        torch.tensor(0.5).expand(70, 90),
        torch.complex(draw(80, 70), draw(80, 70, seed=1)),
        torch.complex(draw(80, 70), draw(80, 70, seed=1)).conj(),
        torch.sparse_coo_tensor(
            torch.tensor([[1, 3, 1]]), draw(3, 4), (9, 4), check_invariants=True
        ),
        torch.tensor([[0.0, 3.0], [4.0, 0.0]]).to_sparse(),
    ],
    ids=["transposed", "channels_last", "sliced", "expanded", "complex", "conj", "twice", "sparse"],
)
def test_layouts(value: Tensor, p: float) -> None:
    want = twin([value], p)
    assert float(total_norm([value], p)) == pytest.approx(want, rel=1e-6)


def test_mixed_dtypes() -> None:
    values = [draw(50, 100, dtype=d, seed=i) for i, d in enumerate(DTYPES)]
    values.append(torch.complex(draw(9), draw(9)))
    assert float(total_norm(values)) == pytest.approx(twin(values), rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("size", [3, 3 * ROW])
def test_a_bad_element_is_seen_wherever_it_is(bad: float, p: float, size: int) -> None:
    for at in (0, size // 2, size - 1):
        values = [torch.ones(5), torch.ones(size), torch.ones(2 * ROW)]
        values[1][at] = bad
        measured = powers(values, p)
        assert not measured.total().isfinite()
        assert measured.tensors().isfinite().tolist() == [True, False, True]


@pytest.mark.slow
def test_exact_at_1e8_elements() -> None:
    """torch's own norm is 1 % off here (random) and more (constant)."""
    n = 100_000_000
    x = torch.empty(n).normal_(generator=torch.manual_seed(0))
    want = math.sqrt(sum(float(c.double().square().sum()) for c in x.split(1 << 20)))
    assert float(total_norm([x])) == pytest.approx(want, rel=1e-6)
    assert float(torch.nn.utils.get_total_norm([x])) != pytest.approx(want, rel=1e-3)
    assert float(total_norm([x.fill_(0.3)])) == pytest.approx(float(x[0]) * n**0.5, rel=1e-6)
