"""The matrix: each cell told apart without colour, one link from its evidence, that one from its runs."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from html import unescape

import pytest
from made_up import claim, comparison
from made_up_matrix import CLAIMS, NO_FILE, NO_TIME, POOLED, TASKS, many_tasks, small, thousands
from test_report_terminal import shown

from gradwarden.core.comparison import Cell, Comparison, Line, Matrix, RunList
from gradwarden.report import html, markdown, terminal
from gradwarden.report.answers import grid


def section(record: Comparison) -> str:
    page = html.render(record)
    start = page.index('<section class="matrix"')
    return page[start : page.index("</section>", start)]


def bare_matrix(*cells: Cell, claims: tuple[str, ...] = ("C1",)) -> Comparison:
    lines = (Line(task="lstm-text", field="NLP", cells=cells),)
    return replace(comparison(), matrix=Matrix(claims=claims, lines=lines))


def test_a_page_of_one_task_has_no_matrix_and_no_runs() -> None:
    page = html.render(comparison())
    assert grid(comparison()) is None
    assert 'id="matrix"' not in page
    assert 'id="runs"' not in page
    assert '<details class="parts"' not in page
    assert "Tasks by claims" not in shown(comparison())
    assert "Task by task" not in markdown.render(comparison())


def test_a_line_has_one_square_a_claim_in_the_order_of_the_claims() -> None:
    """Whatever order the cells come in, and where a cell is missing."""
    late, early = Cell(claim="C9", answer="open"), Cell(claim="C1", answer="supported")
    found = grid(bare_matrix(late, early, claims=("C1", "C5", "C9")))
    assert found
    assert [s.cell.claim for s in found.lines[0].squares] == ["C1", "C5", "C9"]
    assert [s.cell.answer for s in found.lines[0].squares] == ["supported", "", "open"]
    assert [head.claim != "" for head in found.heads] == [True, False, False]


def test_what_says_why_cells_were_not_run_is_said_once() -> None:
    found = grid(many_tasks())
    assert found
    assert found.reasons == (NO_TIME, NO_FILE)
    numbers = {
        (line.line.task, square.reason)
        for line in found.lines
        for square in line.squares
        if square.cell.answer == "not run"
    }
    assert numbers == {("cartpole-ppo", 1), ("traffic-signs", 2)}
    answered = [s.reason for r in found.lines for s in r.squares if s.cell.answer != "not run"]
    assert set(answered) == {0}


def test_the_table_has_headers_for_every_row_and_column() -> None:
    table = section(many_tasks())
    assert re.findall(r'<th scope="col" abbr="(\w+)" title="([^"]*)"', table) == list(
        CLAIMS.items()
    )
    assert re.findall(r'<th scope="row" class="task"><span class="task-name">([^<]*)', table) == [
        *TASKS,
        POOLED,
    ]
    assert re.findall(r'<span class="task-field">([^<]*)', table) == list(TASKS.values())
    assert table.count('<tr class="all">') == 1


def test_each_cell_has_a_shape_a_word_and_the_effect() -> None:
    table = section(many_tasks())
    cells = re.findall(
        r'<(a|span) class="cell (is-\w+)".*?#icon-(\w+)"/></svg>([\w ]+)<?.*?</\1>',
        table,
        re.DOTALL,
    )
    assert {cell[1:] for cell in cells} == {
        ("is-yes", "yes", "supported"),
        ("is-no", "no", "refuted"),
        ("is-open", "open", "open"),
        ("is-none", "none", "not run"),
    }
    squares = [c for line in many_tasks().matrix.lines for c in line.cells]  # type: ignore[union-attr]
    assert len(cells) == sum(c.answer != "" for c in squares)
    assert table.count("not about this task") == sum(c.answer == "" for c in squares)
    assert '12 points <span class="cell-ends">[4, 20]</span>' in table


def test_every_cell_leads_to_its_evidence_and_what_was_not_run_to_its_reason() -> None:
    record = many_tasks()
    page = html.render(record)
    links = re.findall(r'<a class="cell [\w-]+" href="#([^"]*)"', page)
    assert all(f'id="{link}"' in page for link in links)
    assert "claim-C1-lstm-text" in links
    assert "claim-C1" in links
    assert {link for link in links if link.startswith("reason")} == {"reason", "reason-2"}
    assert f'<li id="reason-2">{NO_FILE}</li>' in page


@pytest.mark.parametrize("answer", ["supported", "not run"])
def test_a_cell_without_evidence_is_no_link(answer: str) -> None:
    for evidence in ("", "C77"):
        table = section(bare_matrix(Cell(claim="C1", answer=answer, evidence=evidence)))
        assert f'<span class="cell {"is-yes" if answer == "supported" else "is-none"}">' in table
        assert '<a class="cell' not in table


def test_many_reasons_are_folded_and_few_are_not() -> None:
    def lines(count: int) -> Comparison:
        cells = (Cell(claim="C1", answer="not run", says=f"why {i}") for i in range(count))
        own = tuple(Line(task=str(i), field="f", cells=(c,)) for i, c in enumerate(cells))
        return replace(comparison(), matrix=Matrix(claims=("C1",), lines=own))

    assert '<details class="reasons" open>' in section(lines(3))
    assert '<details class="reasons">' in section(lines(4))
    assert "reasons" not in section(lines(0))


def test_parts_are_folded_with_a_count_of_each_answer() -> None:
    page = html.render(many_tasks())
    start = page.index('<details class="parts"', page.index('id="claim-C1"'))
    tally = page[start : page.index("</summary>", start)]
    assert re.findall(r">(\d+ [a-z ]*[a-z])", tally) == [
        "11 parts",
        "5 supported",
        "3 refuted",
        "3 open",
    ]
    assert page.index('id="claim-C1-lstm-text"') > start


def test_every_answer_leads_to_its_runs_and_the_runs_lead_back() -> None:
    record = many_tasks()
    page = html.render(record)
    part = page[page.index('id="claim-C1-lstm-text"') : page.index('id="claim-C1-gpt-text"')]
    assert '<a href="#runs-lstm-text">Runs of lstm-text</a> (12 runs)' in part
    start = page.index('id="runs-lstm-text"')
    runs = page[start : page.index("</details>", start)]
    back = re.findall(r'href="#(claim-[^"]*)"', runs)
    assert "claim-C1-lstm-text" in back
    assert "claim-C1" in back
    assert "claim-M1" not in back
    assert runs.count("<tr>") == 13


def test_a_list_of_runs_that_the_record_lacks_is_named_without_a_link() -> None:
    record = replace(many_tasks(), answers=(claim("C1", "Claim.", "open", runs=("gone",)),))
    assert "Rests on gone." in re.sub(r"\s+", " ", html.render(record))
    assert "Rests on: gone." in markdown.render(record)


def test_anchors_stay_apart_where_names_collide() -> None:
    full = many_tasks()
    twins = (full.evidence[0], replace(full.evidence[1], id=full.evidence[0].id + "!"))
    page = html.render(replace(full, evidence=twins))
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert "runs-rnn-temporal-order-2" in ids


def test_the_series_of_the_runs_stay_out_of_the_page() -> None:
    page = html.render(thousands(24))
    assert "threshold" not in page[page.index('id="runs"') :].split("</section>")[0]


def test_a_wide_terminal_has_words_and_a_narrow_one_symbols_with_a_key() -> None:
    wide, narrow = shown(many_tasks(), 190), shown(many_tasks(), 80)
    top = wide[: wide.index("The claims")]
    for words in ("✓ supported", "✗ refuted", "○ open", "· not run 2", "12 points", "[4, 20]"):
        assert words in top
    assert "rnn-temporal-order" in top
    assert f"2: {NO_FILE}" in top
    top = narrow[: narrow.index("The claims")]
    assert "✓ supported  ✗ refuted  ○ open  · not run" in top
    assert re.search(r"^cartpole-ppo +✓ +○ +✓ +·1 +✗ +✓ *$", top, re.MULTILINE)
    assert "12 points" not in top


def test_the_terminal_leaves_the_parts_to_the_matrix() -> None:
    text = shown(many_tasks(), 190)
    assert "C1, lstm-text" not in text
    assert all(sentence in text for sentence in CLAIMS.values())
    assert "C1.lstm" in shown(comparison(), 190)


def test_the_answer_the_word_and_the_claims_come_before_the_evidence() -> None:
    words = ["<h1>", 'class="summary"', 'id="matrix"', 'id="side-by-side"', 'id="bottom-line"']
    words += ['id="claims"', 'id="seconds"', 'id="origin"', 'id="runs"']
    page = html.render(many_tasks())
    places = [page.index(word) for word in words]
    assert places == sorted(places)


def test_five_thousand_runs_are_rendered_in_under_five_seconds() -> None:
    """Of this process: what else the machine does is not counted."""
    record = thousands()
    assert len(record.runs) == sum(len(e.table.rows) for e in record.evidence) == 5000
    start = time.process_time()
    page = html.render(record)
    markdown.render(record)
    terminal.render(record)
    assert time.process_time() - start < 5
    assert "task-11-0415" in unescape(page)


def test_a_list_without_runs_is_said_to_have_none() -> None:
    full = small()
    empty = RunList(id="phishing", table=replace(full.evidence[0].table, title="None", rows=()))
    assert "None, 0 runs" in html.render(replace(full, evidence=(empty,)))
