"""Every record survives the way to JSON and back, and nothing else is taken for one."""

import dataclasses
import json
import math
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwarden.core import comparison, display, examination, ledger_record, records
from gradwarden.core.comparison import Comparison, Run
from gradwarden.core.display import Row, Series
from gradwarden.core.errors import BadInput
from gradwarden.core.estimate import Estimate, proportion
from gradwarden.core.examination import Examination
from gradwarden.core.ledger_record import Broken, Ledger
from gradwarden.core.records import Origin, from_json, to_json

KINDS = [
    kind
    for module in (records, display, ledger_record, examination, comparison)
    for kind in vars(module).values()
    if isinstance(kind, type)
    and dataclasses.is_dataclass(kind)
    and kind.__module__ == module.__name__
]
FINITE_OR_NOT = st.floats(allow_nan=False)
ESTIMATES = (
    st.tuples(FINITE_OR_NOT, FINITE_OR_NOT, FINITE_OR_NOT)
    .map(sorted)
    .map(lambda e: Estimate(low=e[0], value=e[1], high=e[2], n=7, bound="at least"))
)
FREE = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE_OR_NOT | st.sampled_from(["", "SGD", "é"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("abc"), inner, max_size=2),
    max_leaves=4,
)
LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    Estimate: ESTIMATES,
    Any: FREE,
    float: FINITE_OR_NOT,
    int: st.integers(),
    bool: st.booleans(),
    str: st.text(max_size=4),
}


def values(kind: Any, depth: int = 3) -> st.SearchStrategy[Any]:
    """Any value of the type `kind`, as the annotations of our records write it."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind in LEAVES:
        return LEAVES[kind]
    if origin is tuple and depth <= 0:
        return st.just(())  # an Answer has parts that are Answers
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(values(args[0], depth - 1), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(values(args[0]), values(args[1], depth - 1), max_size=2)
    if type(None) in args:
        return st.none() | values(args[0], depth - 1)
    hints = typing.get_type_hints(kind)
    fields = {name: values(hints[name], depth - 1) for name in hints if name != "schema"}
    return st.builds(kind, **fields)


def test_all_records_are_covered() -> None:
    assert {Ledger, Run, Examination, Comparison, Origin, Row} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_to_json_and_back(kind: type) -> None:
    @settings(max_examples=15, deadline=None, database=None)
    @given(values(kind))
    def check(record: object) -> None:
        text = to_json(record)
        assert from_json(text, kind) == record
        assert to_json(from_json(text, kind)) == text
        json.loads(text, parse_constant=pytest.fail)  # no NaN or Infinity: any reader can read it

    check()


RUN = Run(
    task="t",
    arm="MaxNorm",
    seed=0,
    config={"rate": 8.0, "box": [-math.inf, math.inf]},
    sources={},
    seconds=1.0,
    result={"losses": [1.5, math.inf, math.nan], "note": "Inf"},
)


def test_numbers_that_json_lacks_in_typed_and_in_free_fields() -> None:
    raw = json.loads(to_json(RUN))
    assert raw["config"]["box"] == ["-inf", "inf"]
    assert raw["result"]["losses"] == [1.5, "inf", "nan"]
    back = from_json(to_json(RUN), Run)
    assert back.config == RUN.config
    assert back.result["losses"][:2] == [1.5, math.inf]
    assert math.isnan(back.result["losses"][2])
    assert back.result["note"] == "Inf"
    series = from_json(to_json(Series(name="s", x=(1.0,), y=(math.nan,))), Series)
    assert math.isnan(series.y[0])


def test_a_line_for_each_field_but_one_for_a_list_of_numbers() -> None:
    lines = to_json(RUN).splitlines()
    assert lines[1:6] == [
        ' "task": "t",',
        ' "arm": "MaxNorm",',
        ' "seed": 0,',
        ' "config": {',
        '  "rate": 8.0,',
    ]
    assert '  "losses": [1.5, "inf", "nan"],' in lines
    texts = dataclasses.replace(RUN, result={"notes": ["a", "b"], "none": [], "empty": {}})
    assert '   "a",' in to_json(texts).splitlines()
    for record in (RUN, texts):
        spread = json.dumps(json.loads(to_json(record)), indent=1) + "\n"
        assert to_json(from_json(spread, Run)) == to_json(record)
        without = dataclasses.replace(record, config={"rate": 8.0}, result={"n": [["x", {}]]})
        assert to_json(without) == json.dumps(records.plain(without), indent=1) + "\n"


def test_a_text_that_reads_like_a_number_changes_no_line() -> None:
    run = dataclasses.replace(RUN, config={"box": ["-inf", 1.5]})
    assert to_json(from_json(to_json(run), Run)) == to_json(run)


def test_a_whole_number_in_a_field_of_floats_is_one() -> None:
    series = from_json('{"name": "s", "x": [1], "y": [2, 3.5]}', Series)
    assert [type(v) for v in series.x + series.y] == [float, float, float]


def altered(**changes: object) -> str:
    return json.dumps(json.loads(to_json(RUN)) | changes)


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="this is no Run record: unknown field 'extra'"):
        from_json(altered(extra=1), Run)


def test_another_schema_is_refused() -> None:
    with pytest.raises(BadInput, match="expected schema 1, got 2: another version's file"):
        from_json(altered(schema=2), Run)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        altered(seed="0"),
        altered(seed=True),
        altered(task=None),
        altered(seconds="soon"),
        altered(sources=[]),
    ],
)
def test_what_is_no_run_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(BadInput, match="this is no Run record: "):
        from_json(text, Run)


def test_a_text_is_no_list_of_texts() -> None:
    with pytest.raises(BadInput, match="expected a list, got 'abc'"):
        from_json('{"cells": "abc"}', Row)


def test_only_plain_values_are_written() -> None:
    with pytest.raises(TypeError, match="plain values only, got object"):
        to_json(dataclasses.replace(RUN, config={"x": object()}))


def test_a_ledger_counts_who_is_still_right() -> None:
    fell = Broken(attack="PGD()", restart=0, forwards=3, backwards=2)
    wrong = Broken(attack="clean", restart=0, forwards=0, backwards=0)
    ledger = Ledger(
        ids=(0, 1, 2, 3),
        clean=(True, True, False, True),
        broken=(None, fell, wrong, None),
        attacks=("PGD()",),
        forwards=12,
        backwards=8,
        seconds=0.1,
    )
    assert ledger.accuracy == proportion(2, 4)
    assert ledger.clean_accuracy == proportion(3, 4)


def test_fields_keep_their_order() -> None:
    origin = Origin(
        version="0", command="c", environment={"b": "1", "a": "2"}, sources={}, seeds=()
    )
    assert list(json.loads(to_json(origin))) == [f.name for f in dataclasses.fields(Origin)]
    assert list(json.loads(to_json(origin))["environment"]) == ["b", "a"]
