"""What a table allows, against a slow twin; repair as properties; sentences for what breaks it."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import one_hot

from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball
from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Category, Feature, Integer, Real
from gradwarden.core.threat import Threat

TABLE = Tabular(
    features=(
        Real("a", 0, 10),
        Real("b", 0, 10, change="increase"),
        Integer("n", 0, 20, change="decrease"),
        Real("total", 0, 40),
        Category("c", ("r", "g", "b"), width=10),
        Integer("age", 0, 100, change="none"),
        Integer("half", 0, 20),
        Category("d", ("s", "t"), change="none"),
    ),
    relations=(
        "total == a + b + n",
        "a <= b",
        "n * a <= 60 or 'c=r' == 1",
        "sum('c=*') + half <= 20",
        "half <= age",
    ),
)
BALLS: list[Ball] = [Linf(0.2), L2(0.3), L1(0.5), L0(3), L0(1), L2(3.0)]


def rows(seed: int, n: int = 12, dtype: torch.dtype = torch.float32) -> Tensor:
    """Samples that hold."""
    rng = torch.Generator().manual_seed(seed)
    a, b, c, d = torch.rand(4, n, generator=rng)
    number, half = (c * 10).round(), (d * 15).round()
    b = 5 * a + 4 * b
    a = 5 * a
    color = one_hot(torch.randint(3, (n,), generator=rng), 3).float()
    kind = one_hot(torch.randint(2, (n,), generator=rng), 2).float()
    age = torch.full((n,), 30.0)
    parts = [torch.stack([a, b, number, a + b + number], 1), color]
    return torch.cat([*parts, torch.stack([age, half], 1), kind], 1).to(dtype)


def far(x: Tensor, seed: int, size: float = 0.5) -> Tensor:
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 1))
    return x + noise.to(x.dtype) * torch.tensor(TABLE.widths, dtype=x.dtype) * size


def allowed_by_hand(p: list[float], x: list[float]) -> bool:
    a, b, n, total, *color, age, half, s, t = p
    slack = 1e-5
    return all(
        [
            b >= x[1],
            n <= x[2],
            n == int(n) and half == int(half),
            age == x[7] and [s, t] == x[9:],
            sorted(color) == [0, 0, 1],
            abs(total - (a + b + n)) <= slack * max(1, abs(total), abs(a + b + n)),
            a - b <= slack * max(1, abs(a), abs(b)),
            n * a - 60 <= slack * max(60, abs(n * a)) or color[0] == 1,
            half + 1 <= 20 + slack * 20,
            half - age <= slack * max(1, abs(half), abs(age)),
        ]
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 999), places=st.sets(st.integers(0, 10), max_size=3))
def test_what_holds_is_what_the_slow_twin_allows(seed: int, places: set[int]) -> None:
    x = rows(seed).double()
    p, other = x.clone(), rows(seed + 1).double()
    p[:, list(places)] = other[:, list(places)]
    p[::3, 3] = p[::3, 0] + p[::3, 1] + p[::3, 2]
    expected = [allowed_by_hand(*pair) for pair in zip(p.tolist(), x.tolist(), strict=True)]
    assert TABLE.hold(p, x).tolist() == expected
    assert TABLE.hold(x, x).all()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    ball=st.sampled_from(BALLS),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    size=st.sampled_from([0.02, 0.3, 2.0]),
)
def test_what_is_repaired_is_allowed_and_stays(
    seed: int, ball: Ball, dtype: torch.dtype, size: float
) -> None:
    threat = Threat(ball=Scaled(ball, TABLE.widths), box=TABLE.box, constraints=TABLE)
    x = rows(seed, dtype=dtype)
    threat.check(x, torch.zeros(len(x), dtype=torch.long))
    for start in (far(x, seed, size), threat.project(far(x, seed, size), x)):
        repaired = threat.repair(start, x)
        assert threat.allows(repaired, x).all()
        assert torch.equal(threat.repair(repaired, x), repaired)
    assert torch.equal(threat.repair(x, x), x)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), ball=st.sampled_from(BALLS))
def test_what_is_projected_or_drawn_keeps_to_the_ball_and_to_what_may_change(
    seed: int, ball: Ball
) -> None:
    threat = Threat(ball=Scaled(ball, TABLE.widths), box=TABLE.box, constraints=TABLE)
    x = rows(seed)
    points = [threat.project(far(x, seed), x), threat.sample(x, Draws(seed, range(len(x))))]
    step = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    points.append(threat.step(x, step, 0.5, x))
    for point in points:
        assert threat.near(point, x).all()
        assert (point[:, 1] >= x[:, 1]).all()
        assert (point[:, 2] <= x[:, 2]).all()
        assert torch.equal(point[:, [7, 9, 10]], x[:, [7, 9, 10]])


def test_a_step_spends_nothing_on_what_may_not_change() -> None:
    """The steepest single elements are immutable or point the wrong way."""
    x, grad = rows(0), torch.zeros(12, 11)
    grad[:, 7], grad[:, 1], grad[:, 2], grad[:, 8] = 100.0, -90.0, 80.0, 1.0
    threat = Threat(ball=L0(1), box=TABLE.box, constraints=TABLE)
    moved = threat.step(x, grad, 0.01, x) != x
    assert moved[:, 8].all()
    assert not moved[:, [1, 2, 7]].any()


def repaired(table: Tabular, x: list[float], to: list[float], radius: float) -> list[float]:
    threat = Threat(ball=Linf(radius), box=table.box, constraints=table)
    start = threat.project(torch.tensor([to]), torch.tensor([x]))
    found: list[float] = threat.repair(start, torch.tensor([x]))[0].tolist()
    return found


@pytest.mark.parametrize(
    ("to", "radius", "found"),
    [
        ([5.7], 2.0, [6.0]),
        ([5.4], 2.0, [5.0]),
        ([2.3], 2.0, [2.0]),
        ([5.7], 1.8, [5.0]),  # towards x: the ball ends at 5.8
        ([6.0], 2.0, [6.0]),
        ([9.0], 1.9, [5.0]),  # the ball ends at 5.9
        ([4.9], 0.5, [4.0]),
        ([5.999_999], 2.0, [6.0]),  # what arithmetic took off
    ],
)
def test_integers_are_rounded_as_far_as_the_ball_allows(
    to: list[float], radius: float, found: list[float]
) -> None:
    table = Tabular(features=(Integer("n", 0, 9),))
    assert repaired(table, [4.0], to, radius) == found


def test_an_integer_at_the_edge_holds_no_other_back() -> None:
    table = Tabular(features=(Integer("n", 0, 9), Integer("m", 0, 9)))
    assert repaired(table, [4.0, 4.0], [8.0, 4.8], 1.6) == [5.0, 5.0]


def test_integers_at_the_edge_of_a_scaled_ball_are_reached() -> None:
    """x + radius * width is a whole number, whatever the arithmetic makes of it."""
    width, x = 30.0, torch.arange(0.0, 91.0)[:, None]
    table = Tabular(features=(Integer("n", 0, 120, width=width),))
    for steps in range(1, 30):
        threat = Threat(ball=Scaled(Linf(steps / width), width), box=table.box, constraints=table)
        assert torch.equal(threat.repair(threat.project(x + 99, x), x), x + steps)


@pytest.mark.parametrize(
    ("to", "radius", "found"),
    [
        ([0.2, 0.7, 0.1], 1.0, [0.0, 1.0, 0.0]),
        ([1.0, 0.0, 1.0], 1.0, [0.0, 0.0, 1.0]),  # a tie: the one that rose
        ([0.2, 0.7, 0.1], 0.9, [1.0, 0.0, 0.0]),  # the ball forbids another
        ([0.9, 0.0, 0.8], 1.0, [1.0, 0.0, 0.0]),
        ([0.3, 0.4, 0.5], 1.0, [0.0, 0.0, 1.0]),
    ],
)
def test_a_category_is_the_largest_column(
    to: list[float], radius: float, found: list[float]
) -> None:
    """x first in the row, and last."""
    table = Tabular(features=(Category("c", ("x", "y", "z")),))
    assert repaired(table, [1.0, 0.0, 0.0], to, radius) == found
    assert repaired(table, [0.0, 0.0, 1.0], to[::-1], radius) == found[::-1]


def test_of_two_categories_the_ball_may_hold_one() -> None:
    table = Tabular(features=(Category("c", ("x", "y")), Category("d", ("x", "y"))))
    threat = Threat(ball=L0(2), box=table.box, constraints=table)
    x = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    assert threat.repair(1 - x, x).tolist() == [[0.0, 1.0, 1.0, 0.0]]


def test_a_category_that_a_relation_forbids_takes_no_number_with_it() -> None:
    table = Tabular(features=(Category("c", ("x", "y")), Real("a", 0, 9)), relations=("'c=y' < 1",))
    assert repaired(table, [1.0, 0.0, 4.0], [0.0, 1.0, 6.0], 9.0) == [1.0, 0.0, 6.0]


def test_a_category_goes_before_numbers_where_the_ball_holds_not_both() -> None:
    """L1 of 2.5: the other category takes 2, the number what is left, found by halving."""
    table = Tabular(features=(Category("c", ("x", "y")), Real("a", 0, 9)))
    threat = Threat(ball=L1(2.5), box=table.box, constraints=table)
    x = torch.tensor([[1.0, 0.0, 4.0]])
    found = threat.repair(torch.tensor([[0.0, 1.0, 8.0]]), x)
    assert found[0, :2].tolist() == [0.0, 1.0]
    assert 4.25 <= float(found[0, 2]) <= 4.5


@pytest.mark.parametrize(
    ("relations", "to", "found"),
    [
        (("s == a + b",), [3.0, 1.0, 9.0], [3.0, 1.0, 4.0]),
        (("a + b == s",), [3.0, 1.0, 9.0], [3.0, 1.0, 4.0]),
        (("a <= b",), [3.0, 1.0, 2.0], [2.0, 2.0, 2.0]),  # both go half the way
        (("a <= 1.5",), [3.0, 1.0, 2.0], [1.5, 1.0, 2.0]),
        (("a * a <= 4",), [2.0, 1.0, 2.0], [2.0, 1.0, 2.0]),
        (("s == a + b", "s <= 3"), [3.0, 1.0, 9.0], [2.5, 0.5, 3.0]),  # through what s depends on
        (("a == b", "s == 2 * a"), [3.0, 1.0, 0.0], [1.0, 1.0, 2.0]),
        (("s == 2 * a", "a == b"), [3.0, 1.0, 0.0], [1.0, 1.0, 2.0]),  # in whatever order
        (("a + b == 2 * s",), [3.0, 1.0, 1.0], [8 / 3, 2 / 3, 5 / 3]),  # determines nothing
    ],
)
def test_relations_are_repaired(
    relations: tuple[str, ...], to: list[float], found: list[float]
) -> None:
    features = tuple(Real(name, 0, 10) for name in "abs")
    table = Tabular(features=features, relations=relations)
    assert repaired(table, [0.0, 0.0, 0.0], to, 10.0) == pytest.approx(found, abs=1e-4)


def test_an_immutable_side_of_an_equality_is_not_computed() -> None:
    """s may not change, so that a and b go on the line where they add up to it."""
    features = (Real("a", 0, 9), Real("b", 0, 9), Real("s", 0, 18, change="none"))
    table = Tabular(features=features, relations=("s == a + b",))
    assert table.layout.targets == ()
    found = repaired(table, [1.0, 2.0, 3.0], [5.0, 2.0, 9.0], 10.0)
    assert found == pytest.approx([3.0, 0.0, 3.0], abs=1e-4)


def test_what_cannot_be_repaired_is_x() -> None:
    table = Tabular(
        features=(Integer("n", 0, 99), Integer("square", 0, 9999)),
        relations=("square == n * n", "n * 0.1 == square * 0.01 + 0.09 * n + 0.01 * n - 1"),
    )
    x = [10.0, 100.0]
    assert repaired(table, x, [17.0, 3.0], 50.0) == x


def test_what_an_equality_determines_passes_its_gradient_on() -> None:
    features = tuple(Real(name, 0, 10) for name in "abs")
    table = Tabular(features=features, relations=("s == a + 2 * b",))
    x = torch.ones(1, 3, requires_grad=True)
    relaxed = table.relax(x, x.detach())
    assert relaxed.tolist() == [[1.0, 1.0, 3.0]]
    (grad,) = torch.autograd.grad((relaxed * torch.tensor([1.0, 1.0, 10.0])).sum(), x)
    assert grad.tolist() == [[11.0, 21.0, 0.0]]


@pytest.mark.parametrize("chain", [("s == 2 * b", "b == a"), ("b == a", "s == 2 * b")])
def test_what_others_are_computed_from_is_computed_first(chain: tuple[str, str]) -> None:
    table = Tabular(features=tuple(Real(name, 0, 10) for name in "abs"), relations=chain)
    x = torch.tensor([[3.0, 1.0, 1.0]])
    assert table.relax(x, x).tolist() == [[3.0, 3.0, 6.0]]


def test_penalty_is_the_distance_in_widths() -> None:
    """Of (a, b) to a + b <= 1 in units of 2 and 1: a / 2 = u, so 2 u + v <= 1."""
    table = Tabular(features=(Real("a", 0, 2), Real("b", 0, 1)), relations=("a + b <= 1",))
    x = torch.tensor([[2.0, 1.0], [0.5, 0.5]], requires_grad=True)
    penalty = table.penalty(x, x.detach())
    assert penalty.tolist() == pytest.approx([2 / math.sqrt(5), 0.0])
    (grad,) = torch.autograd.grad(penalty.sum(), x)
    assert (grad[0] > 0).all()
    assert (grad[1] == 0).all()


def test_widths_and_box() -> None:
    assert TABLE.widths == (10, 10, 20, 40, 10, 10, 10, 100, 20, 1, 1)
    assert TABLE.box == ((0,) * 11, (10, 10, 20, 40, 1, 1, 1, 100, 20, 1, 1))
    with pytest.raises(BadInput, match="'a' has no finite range: give low and high, or width"):
        _ = Tabular(features=(Real("a", 0),)).widths
    assert Tabular(features=(Real("a", width=3),)).widths == (3,)
    hash(Threat(ball=Scaled(Linf(0.1), TABLE.widths), box=TABLE.box, constraints=TABLE))


def test_the_schema_of_a_table() -> None:
    x = rows(0, 40)
    x = torch.cat([x, torch.full((40, 1), 0.5)], 1)
    names = (*TABLE.names, "constant")
    relations = ("total == a + b + n",)
    table = Tabular.of(
        x, names, immutable=["d"], increase=["b"], decrease=["n"], relations=relations
    )
    assert table.names == names
    kinds = [type(f) for f in table.features]
    assert kinds == [Real, Real, Integer, Real, Category, Integer, Integer, Category, Real]
    changes = [f.change for f in table.features]
    assert changes == ["any", "increase", "decrease", "any", "any", "none", "any", "none", "none"]
    assert table.box[0][:4] == tuple(x[:, :4].amin(0).tolist())
    assert table.box[1][:4] == tuple(x[:, :4].amax(0).tolist())
    assert (table.box[0][-1], table.box[1][-1]) == (0.5, 1.5)
    Threat(ball=Linf(0.1), box=table.box, constraints=table).check(x, torch.zeros(40).long())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"names": ("a", "b")}, r"expected rows of 2 columns, got shape \(3, 1\)"),
        ({"immutable": ["b"]}, "no feature is called 'b'"),
        ({"relations": ["a <= 1"]}, r"sample 1 \(2 of 3 in all\) .* satisfies a <= 1, got a = 2"),
    ],
)
def test_a_table_that_is_not_of_its_schema(change: dict[str, list[str]], sentence: str) -> None:
    options = {"names": ["a"], "immutable": [], "relations": []} | change
    names = options.pop("names")
    with pytest.raises(BadInput, match=sentence):
        Tabular.of(
            torch.tensor([[1.0], [2.0], [3.0]]),
            names,
            immutable=options["immutable"],
            relations=options["relations"],
        )


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        (2, 1.5, "sample 1 .* should be one that is a whole number, got n = 1.5"),
        (4, 0.5, "has one column 1 and the others 0, got c=r = 0.5, c=g"),
        (3, 39.0, r"satisfies total == a \+ b \+ n, got a = .*, b = .*, n = .*, total = 39"),
        (8, 31.0, "should be one that satisfies"),
    ],
)
def test_samples_that_do_not_hold_are_refused(column: int, value: float, sentence: str) -> None:
    x = rows(0)
    x[1, column] = value
    with pytest.raises(BadInput, match=sentence):
        TABLE.check(x)


def test_samples_of_another_shape_are_refused() -> None:
    with pytest.raises(BadInput, match=r"x must be \[N, 11\], .* got shape \(12, 9\)"):
        TABLE.check(rows(0)[:, :9])


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Tabular(features=()), "features must have distinct names, got ()"),
        (lambda: Tabular(features=(Real("a"), Integer("a"))), "distinct names"),
        (lambda: replace(TABLE, tolerance=-1.0), r"tolerance must be in \[0, 1\), got -1"),
        (lambda: replace(TABLE, relations=("bb <= 1",)), "'bb <= 1', character 1: expected a feat"),
    ],
)
def test_bad_schemas(build: Callable[[], Tabular], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        build()


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Real("a", 1, 1), "'a' must have low < high, got 1 and 1"),
        (lambda: Real("a", math.nan), "low < high, got nan"),
        (lambda: Integer("a", change="up"), "one of any, increase, decrease, none, got 'up'"),
        (lambda: Real("a", width=0), "width of 'a' must be a finite number above 0, got 0"),
        (lambda: Category("c", ("x",)), "'c' must have 2 or more distinct values"),
        (lambda: Category("c", ("x", "x")), "distinct values"),
        (lambda: Category("c", ("x", "y"), change="increase"), "any, none, got 'increase'"),
        (lambda: Category("c", ("x", "y"), width=math.inf), "width of 'c' must be"),
    ],
)
def test_bad_features(build: Callable[[], Feature], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        build()
