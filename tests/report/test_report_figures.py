"""Figure records as Plotly JSON: valid for Plotly, true to the record, safe to embed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import pytest
from made_up import accuracy_by_radius, comparison, loss_by_rate, norms

from gradwarden.core.display import Figure, Series
from gradwarden.report import axes, figures


def drawn(figure: Figure) -> tuple[figures.Drawn, list[dict[str, Any]], dict[str, Any]]:
    found = figures.draw(figure, "anchor", figures.colours([figure]))
    data = json.loads(found.data)
    return found, data["data"], data["layout"]


def lines(traces: list[dict[str, Any]], role: str = "line") -> list[dict[str, Any]]:
    return [t for t in traces if t["meta"]["role"] == role]


def line(name: str, *y: float, x: tuple[float, ...] = (), **more: Any) -> Series:
    return Series(name=name, x=x or tuple(float(i + 1) for i in range(len(y))), y=y, **more)


def figure(*series: Series, **more: Any) -> Figure:
    return Figure(id="f", title="T", x_title="x", y_title="y", series=series, **more)


@pytest.mark.parametrize("made", [loss_by_rate, norms, accuracy_by_radius])
def test_plotly_itself_accepts_every_figure(made: Any) -> None:
    """Its Python objects know each property and reject what the browser would ignore."""
    _, traces, layout = drawn(made())
    go.Figure(data=traces, layout=layout)


def test_lines_hold_the_numbers_of_the_record() -> None:
    made = accuracy_by_radius()
    _, traces, _ = drawn(made)
    for series, trace in zip(made.series, lines(traces), strict=True):
        assert trace["x"] == list(series.x)
        assert trace["y"] == list(series.y)
        assert trace["line"]["dash"] == ("dash" if series.dashed else "solid")


def test_a_band_goes_along_the_high_ends_and_back_along_the_low_ones() -> None:
    _, traces, _ = drawn(figure(line("a", 1.0, 2.0, low=(0.5, 1.5), high=(1.5, 2.5))))
    (band,) = lines(traces, "band")
    assert band["x"] == [1, 2, 2, 1]
    assert band["y"] == [1.5, 2.5, 1.5, 0.5]
    assert traces[0] is band  # below the line


def test_a_band_on_a_log_axis_ends_at_the_smallest_positive_value() -> None:
    made = figure(line("a", 1.0, 2.0, low=(-1.0, 0.5), high=(3.0, 4.0)), log_y=True)
    (band,) = lines(drawn(made)[1], "band")
    assert band["y"] == [3, 4, 0.5, 0.5]


def test_points_that_are_not_finite_are_shown_at_the_edge_and_break_the_line() -> None:
    found, traces, layout = drawn(loss_by_rate())
    assert found.lost
    (lost,) = lines(traces, "lost")
    assert lost["x"] == [32, 45]
    assert lines(traces)[0]["y"][-2:] == [None, None]
    assert layout["yaxis2"]["range"] == [0, 1]
    assert not drawn(norms())[0].lost
    assert "yaxis2" not in drawn(norms())[2]


def test_zero_on_a_log_axis_is_left_out() -> None:
    found, traces, _ = drawn(figure(line("a", 0.0, 1.0, -2.0), log_y=True))
    assert lines(traces)[0]["y"] == [None, 1, None]
    assert not found.lost


def test_one_group_has_one_colour_and_its_dashed_line_is_hollow() -> None:
    found, traces, _ = drawn(accuracy_by_radius())
    assert [line.colour for line in found.lines] == [0, 0, 1, 1, 2]
    assert [line.hollow for line in found.lines] == [True, True, True, True, False]
    assert [t["meta"]["colour"] for t in lines(traces)] == [0, 0, 1, 1, 2]


def test_a_series_keeps_its_colour_over_the_page() -> None:
    order = figures.colours(comparison().figures)
    first = figures.draw(loss_by_rate(), "a", order)
    later = figures.draw(
        figure(line("other", 1.0), line("Q", 2.0, group="clipping")), "b", order | {"other": 8}
    )
    assert later.lines[1].colour == first.lines[1].colour


def test_two_groups_of_one_figure_never_share_a_colour() -> None:
    series = [line(str(i), 1.0) for i in range(8)]
    order = {str(i): 8 * i for i in range(8)}  # all would get colour 0
    found = figures.draw(figure(*series), "a", order)
    assert sorted(line.colour for line in found.lines) == list(range(8))


def test_the_table_has_every_number_with_its_interval() -> None:
    table = figures.data_table(loss_by_rate())
    assert table.columns == ("learning rate", "no clipping", "MaxNorm(0.25)", "Quantile")
    assert table.rows[0].cells[:2] == ("8", "2.61 (2.58 to 2.64)")
    assert table.rows[4].cells[1].startswith("∞")
    assert table.rows[5].cells[1].startswith("NaN")


def test_the_table_joins_series_that_were_measured_at_different_places() -> None:
    table = figures.data_table(
        figure(line("a", 1.0, 2.0), line("b", 5.0, x=(2.0,)), percent_y=False)
    )
    assert [row.cells for row in table.rows] == [("1", "1", ""), ("2", "2", "5")]


def test_names_cannot_use_plotlys_own_html() -> None:
    _, traces, layout = drawn(replace(figure(line("<b>a</b>", 1.0)), x_title="<a href='x'>"))
    assert traces[0]["name"] == "&lt;b&gt;a&lt;/b&gt;"
    assert "<" not in layout["xaxis"]["title"]["text"]


def test_embedded_json_cannot_end_its_script() -> None:
    value = {"a": "</script><!--\u2028\u2029&", "b": [1.5, None]}
    text = figures.embedded(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)
    with pytest.raises(ValueError, match="not JSON compliant"):
        figures.embedded(math.nan)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.2, 40.0], ["0.2", "0.5", "1", "2", "5", "10", "20"]),
        ([1e-6, 1.0], ["10⁻⁶", "10⁻⁵", "0.0001", "0.001", "0.01", "0.1", "1"]),
        ([1.0, 1e12], ["1", "100", "10,000", "10⁶", "10⁸", "10¹⁰", "10¹²"]),
        ([math.inf, 3.0, 0.0, math.nan], []),
    ],
)
def test_ticks_of_a_log_axis(values: list[float], texts: list[str]) -> None:
    assert axes.scale(values, log=True)["ticktext"] == texts


def test_measured_places_get_their_ticks_unless_they_crowd() -> None:
    assert axes.measured([8.0, 11.0, 16.0, 8.0], log=True)["tickvals"] == [8, 11, 16]
    assert axes.measured([0.0, 0.1, 1.0], log=False)["ticktext"] == ["0", "0.1", "1"]
    assert axes.measured([0.0, 0.01, 1.0], log=False) == {}
    assert axes.measured([1.0, 10.0, 200.0], log=False) == {}
    assert axes.measured([1.0, 10.0, 200.0], log=True)["tickvals"] == [1, 10, 200]
    assert axes.measured([float(i) for i in range(9)], log=False) == {}
    assert axes.measured([0.0, 1.0], log=True) == {}
    assert axes.measured([3.0], log=False) == {}
