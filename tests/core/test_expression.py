"""Relations against Python's own evaluation of the same text; sentences for what is no relation."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from gradwarden.core.errors import BadInput
from gradwarden.core.expression import relation

NAMES = ("a", "b", "c", "d_1", "d_2")
VALUE = st.one_of(st.integers(-4, 4).map(float), st.floats(-50, 50))
ROW = st.lists(VALUE, min_size=5, max_size=5)
LEAF = st.one_of(
    st.sampled_from(NAMES), st.integers(0, 5).map(str), st.sampled_from(["0.5", "2e1"])
)


def _joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(parts, st.sampled_from("+-*/"), parts)
    some = st.tuples(
        st.sampled_from(["sum", "min", "max"]), st.lists(parts, min_size=2, max_size=3)
    )
    return st.one_of(
        pair.map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        some.map(lambda p: f"{p[0]}({', '.join(p[1])})"),
        parts.map(lambda p: f"abs({p})"),
        parts.map(lambda p: f"-{p}"),
        st.tuples(parts, parts, parts).map(lambda p: f"divide({', '.join(p)})"),
    )


NUMBER = st.recursive(LEAF, _joined, max_leaves=6)
COMPARISON = st.tuples(NUMBER, st.sampled_from(["<=", "<", ">=", ">", "=="]), NUMBER).map(" ".join)
CHAIN = st.tuples(NUMBER, st.just("<="), NUMBER, st.just("<"), NUMBER).map(" ".join)
RELATION = st.recursive(
    st.one_of(COMPARISON, CHAIN),
    lambda r: st.tuples(r, st.sampled_from(["and", "or"]), r).map(lambda p: f"({' '.join(p)})"),
    max_leaves=3,
)
PYTHON = {
    "sum": lambda *terms: sum(terms),
    "divide": lambda a, b, otherwise: a / b if b else otherwise,
}


def violation(text: str, rows: list[list[float]], tolerance: float = 0.0) -> Tensor:
    x = torch.tensor(rows, dtype=torch.float64)
    return relation(text, NAMES).violation(x, tolerance)


@settings(max_examples=150, deadline=None)
@given(text=RELATION, rows=st.lists(ROW, min_size=1, max_size=3))
def test_a_relation_holds_exactly_where_python_says_so(text: str, rows: list[list[float]]) -> None:
    expected = []
    for row in rows:
        try:
            names = dict(zip(NAMES, row, strict=True))
            expected.append(bool(eval(text, {**PYTHON, **names})))
        except ZeroDivisionError:
            assume(False)
    found = violation(f"{text} and a == a", rows)  # a relation names a feature
    assert (found >= 0).all()
    assert (found == 0).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(text=NUMBER, row=ROW)
def test_by_how_much_the_sides_of_an_equality_differ(text: str, row: list[float]) -> None:
    try:
        value = eval(text, {**PYTHON, **dict(zip(NAMES, row, strict=True))})
    except ZeroDivisionError:
        assume(False)
    assert float(violation(f"a == {text}", [row])) == pytest.approx(abs(row[0] - value), rel=1e-9)


@pytest.mark.parametrize(
    ("text", "row", "holds"),
    [
        ("a == b", [1.0, 1.0 + 1e-6, 0, 0, 0], True),  # absolute below 1
        ("a == b", [1.0, 1.0 + 3e-5, 0, 0, 0], False),
        ("a == b", [1e6, 1e6 + 5, 0, 0, 0], True),  # relative above
        ("a == b", [1e6, 1e6 + 50, 0, 0, 0], False),
        ("a <= b", [1.0 + 1e-6, 1.0, 0, 0, 0], True),
        ("a >= b", [1.0, 1.0 + 1e-6, 0, 0, 0], True),
        ("a <= b", [1.0 + 3e-5, 1.0, 0, 0, 0], False),
        ("a < b", [1.0, 1.0, 0, 0, 0], False),  # strict ones are exact
        ("a > b", [1.0, 1.0, 0, 0, 0], False),
        ("a < b", [1.0, 1.0 + 1e-12, 0, 0, 0], True),
        ("a / b <= 1", [1.0, 0.0, 0, 0, 0], False),  # no value, so nothing holds
        ("a / b > 1", [1.0, 0.0, 0, 0, 0], False),
        ("a / b == a / b", [0.0, 0.0, 0, 0, 0], False),
        ("divide(a, b, 7) == 7", [1.0, 0.0, 0, 0, 0], True),
        ("a / b <= 1 or b == 0", [1.0, 0.0, 0, 0, 0], True),
        ("a * a <= b", [1e200, 5.0, 0, 0, 0], False),  # infinity is not within tolerance of it
        ('sum("d_*") == a', [3.0, 0, 0, 1.0, 2.0], True),
        ('max("d_?", b) <= a', [3.0, 4.0, 0, 1.0, 2.0], False),
        ("'d_1' == 1", [0, 0, 0, 1.0, 0], True),
    ],
)
def test_holds_by_hand(text: str, row: list[float], holds: bool) -> None:
    assert (violation(text, [row], 1e-5) == 0).tolist() == [holds]


def test_names_that_python_would_not_take_stand_in_quotes() -> None:
    names = ("FTI (new)", "color=r", "class", "é", "max")
    x = torch.tensor([[3.0, 1.0, 2.0, 5.0, 7.0]])
    text = "\"FTI (new)\" == 'color=r' + 'class' and é <= 5 and max(max, 1) == 7"
    assert relation(text, names).violation(x, 1e-5).tolist() == [0.0]
    assert relation(text, names).columns == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("text", "gradient"),
    [
        ("a + b <= 1", [1.0, 1.0, 0.0]),
        ("a * b <= c", [3.0, 2.0, -1.0]),
        ("a >= b + 9", [-1.0, 1.0, 0.0]),
        ("a == b", [-1.0, 1.0, 0.0]),
        ("a < 3", [0.0, 0.0, 0.0]),  # it holds
        ("a / c <= 1 and b <= 1", [0.0, 1.0, 0.0]),  # c is 0: no direction, and no NaN
    ],
)
def test_the_violation_falls_along_its_gradient(text: str, gradient: list[float]) -> None:
    x = torch.tensor([[2.0, 3.0, 0.0, 0.0, 0.0]], requires_grad=True)
    (found,) = torch.autograd.grad(relation(text, NAMES).violation(x, 1e-5).sum(), x)
    assert found[0, :3].tolist() == gradient


@pytest.mark.parametrize(
    ("text", "row", "columns", "values"),
    [
        ("a == b + c", [0, 2.0, 3.0, 0, 0], [0], [5.0]),
        ("b + c == a", [0, 2.0, 3.0, 0, 0], [0], [5.0]),
        ("a == b", [1.0, 2.0, 0, 0, 0], [0, 1], [2.0, 1.0]),
        ("a == a * b", [1.0, 2.0, 0, 0, 0], [], []),  # says nothing of a by itself
        ("2 * a == b * c", [1.0, 2.0, 0, 0, 0], [], []),
        ("a <= b", [1.0, 2.0, 0, 0, 0], [], []),
        ("a == b == c", [1.0, 2.0, 0, 0, 0], [], []),
        ("a == b or a == c", [1.0, 2.0, 0, 0, 0], [], []),
    ],
)
def test_what_an_equality_determines(
    text: str, row: list[float], columns: list[int], values: list[float]
) -> None:
    targets = relation(text, NAMES).targets
    assert [target.column for target in targets] == columns
    assert [float(target.value(torch.tensor([row]).double())) for target in targets] == values


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a <= ", r"relation 'a <=', character \d+: expected a relation such as total == a \+ b"),
        ("", "expected a relation such as"),
        ("a + b", "character 1: expected a comparison .*, got 'a \\+ b'"),
        ("a", "character 1: expected a comparison"),
        ("a != b", "character 1: expected one of <=, <, >=, >, ==, got 'a != b'"),
        ("a <= bb", "character 6: expected a feature's name: 'b', perhaps, got 'bb'"),
        ("a <= d_3", "'d_[12]', perhaps, got 'd_3'"),
        ("a <= zzz", "one of a, b, c, d_1, d_2, got 'zzz'"),
        ("a <= 'é' + q", "character 6: .* got 'é'"),
        ("a + 'b c' <= 1 + 'b c'", "character 5: .* got 'b c'"),
        ("a <= b ** 2", r"character 6: expected a number, .* got 'b \*\* 2'"),
        ("a <= __import__('os')", "character 6: expected sum"),
        ("a.real <= 1", "character 1: expected a number"),
        ("a <= True", "got 'True'"),
        ("a <= 1j", "got '1j'"),
        ("a <= 1e999", "got '1e999'"),
        ("a <= 1" + "0" * 400, "expected a number"),
        ("(a <= b) + 1 <= 2", "character 2: expected a number, .* got 'a <= b'"),
        ("not a <= b", "expected a comparison"),
        ("abs(a, b) <= 1", r"character 1: expected sum\(...\)"),
        ("divide(a, b) <= 1", r"divide\(a, b, otherwise\)"),
        ("sum() <= 1", r"expected sum\(...\)"),
        ("sum(a, start=1) <= 1", "expected a number"),
        ("sum('e_*') <= 1", "a pattern that some feature matches: a, b, c, d_1, d_2"),
        ("'d_*' <= 1", "expected a feature's name"),
        ("(" * 300 + "a" + ")" * 300 + " <= 1", "expected a relation such as"),
        ("a <= " + "-" * 5000 + "1", "less deeply nested"),
        ("1 <= 2", "expected a relation that names a feature, got '1 <= 2'"),
        ("[a for a in b] == 1", "expected a number"),
        ("(lambda: 1)() == 1", "expected a number"),
    ],
)
def test_what_is_no_relation_is_refused_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        relation(text, NAMES)


def test_the_values_of_a_sample_in_words() -> None:
    found = relation("a <= c", NAMES)
    assert found.said(torch.tensor([1.0, 2.0, 0.25, 0.0, 0.0]), NAMES) == "a = 1, c = 0.25"


def test_equal_sides_are_equal_without_any_tolerance() -> None:
    assert violation("a == b and a <= b and a >= b", [[2.0, 2.0, 0, 0, 0]]).tolist() == [0.0]
