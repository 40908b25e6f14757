"""What the audit's page works out from its record: folds, marks, falls, and who was fooled."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from made_up_audit import bare, drawn, examination, gates, ledger

from gradwarden.core.examination import Examination, Indicator, Link
from gradwarden.report import audit_view, chain, html
from gradwarden.report.anchors import Anchors


def links(*marks: str) -> tuple[Link, ...]:
    """One module for each mark: "" plain, "patched", or the name of a check."""
    return tuple(
        Link(
            module=f"m{i}",
            kind="Linear",
            line="",
            checks=(mark,) if mark not in ("", "patched") else (),
            hides=(mark,) if mark not in ("", "patched", "jumps") else (),
            patched=mark == "patched",
        )
        for i, mark in enumerate(marks)
    )


def nodes(of: tuple[Link, ...]) -> tuple[chain.Node, ...]:
    anchors = Anchors()
    return tuple(chain.node(link, anchors) for link in of)


def shape(of: tuple[Link, ...]) -> list[int]:
    """Length of each stretch, negative where it is folded."""
    return [len(s.nodes) * (-1 if s.folded else 1) for s in chain.stretches(nodes(of))]


def indicator(value: float | None, flags: bool) -> Indicator:
    return Indicator(name="n", source="s", value=value, threshold=0.5, flags=flags, says="It is.")


# ---- the chain ----


def test_a_short_chain_is_shown_whole() -> None:
    assert shape(links(*[""] * 14)) == [14]
    assert shape(()) == []


def test_a_long_chain_keeps_its_ends_and_the_neighbours_of_what_was_seen() -> None:
    assert shape(links(*[""] * 15)) == [1, -13, 1]
    assert shape(links(*[""] * 10, "no-gradient", *[""] * 9)) == [1, -8, 3, -7, 1]
    assert shape(links(*[""] * 10, "patched", *[""] * 9)) == [1, -8, 3, -7, 1]
    assert shape(links("jumps", *[""] * 19)) == [2, -17, 1]


def test_few_modules_in_a_row_are_not_worth_a_fold() -> None:
    seen = ("no-gradient", "", "", "", "", "")
    assert shape(links(*seen * 3)) == [2, -3, 3, -3, 3, -3, 1]
    assert all(length > 0 for length in shape(links(*seen[:5] * 3)))


def test_no_module_is_lost_in_a_fold() -> None:
    record = examination()
    page = html.render(record)
    shown = re.findall(r'<li class="node[^"]*" id="([^"]+)"', page)
    assert len(shown) == len(record.chain) == 25
    assert page.count("19 modules, nothing seen") == 1


@pytest.mark.parametrize(
    ("module", "depth", "parent", "name"),
    [
        ("", 0, "", "(the model)"),
        ("front", 1, "", "front"),
        ("front.squeeze", 2, "front.", "squeeze"),
        ("a.b.c.d.e.f.g.h", 6, "a.b.c.d.e.f.g.", "h"),
    ],
)
def test_a_module_stands_as_deep_as_its_path(
    module: str, depth: int, parent: str, name: str
) -> None:
    node = chain.node(replace(links("")[0], module=module), Anchors())
    assert (node.depth, node.parent, node.name) == (depth, parent, name)


def test_marks_tell_what_hides_from_what_was_only_seen() -> None:
    checks = ("no-gradient", "jumps", "stochastic")
    link = replace(links("")[0], checks=checks, hides=("no-gradient", "stochastic"), patched=True)
    node = chain.node(link, Anchors())
    assert [mark.text for mark in node.marks] == [
        "hides the gradient: no-gradient, stochastic",
        "seen here: jumps",
        "the attack went around it",
    ]
    assert len({mark.icon for mark in node.marks}) == len({mark.tone for mark in node.marks}) == 3
    assert not chain.node(links("jumps")[0], Anchors()).hides


@pytest.mark.parametrize(
    ("marks", "patched", "says"),
    [
        (("",), (), "1 module was called; no diagnostic saw one of them hide the gradient."),
        (("", "jumps"), (), "2 modules were called; no diagnostic"),
        (("", "x"), (), "m1 hides the gradient, and the attack did not get around it."),
        (("", "x"), (1,), "m1 hides the gradient, and the attack went around it."),
        (("x", "x"), (0, 1), "2 hide the gradient, and the attack went around each of them."),
        (("x", "x"), (0,), "2 hide the gradient, and the attack went around 1 of them."),
        (("x", "x"), (), "2 hide the gradient, and the attack went around none of them."),
    ],
)
def test_the_sentence_of_the_chain(
    marks: tuple[str, ...], patched: tuple[int, ...], says: str
) -> None:
    found = tuple(replace(k, patched=i in patched) for i, k in enumerate(links(*marks)))
    assert says in chain.says(nodes(found))


def test_a_module_that_is_called_twice_has_two_places_and_links_lead_to_the_first() -> None:
    twice = links("no-gradient") * 2
    page = audit_view.page(replace(bare(), chain=twice))
    assert [n.anchor for s in page.chain for n in s.nodes] == ["module-m0", "module-m0-2"]
    assert page.anchors == {"m0": "module-m0"}


# ---- decomposition ----


def test_each_fall_starts_where_the_one_before_ended() -> None:
    page = audit_view.page(examination())
    tops = [round(fall.left + fall.taken, 2) for fall in page.falls]
    assert tops == [97.0, *(fall.left for fall in page.falls[:-1])]


def test_a_fall_names_its_module_where_its_sentence_does_not() -> None:
    named, silent = "through module 'front.squeeze' as if it were the identity", "straight through"
    fall = examination().removed[2]
    for by, links in ((named, 0), (silent, 1)):
        page = html.render(replace(examination(), removed=(replace(fall, by=by),), findings=()))
        assert page.count('href="#module-front-squeeze"') == links


# ---- indicators ----


@pytest.mark.parametrize(
    ("verdict", "flags", "said"),
    [
        ("masked", True, "yes"),
        ("masked", False, "fooled"),
        ("consistent", True, "false alarm"),
        ("consistent", False, "yes"),
        ("certified", True, "false alarm"),
        ("certified", False, "yes"),
        ("overstated", True, ""),
        ("overstated", False, ""),
        ("inconclusive", True, ""),
        ("inconclusive", False, ""),
    ],
)
def test_the_verdict_says_which_indicators_were_right(verdict: str, flags: bool, said: str) -> None:
    assert audit_view.right(indicator(0.1, flags), verdict) == said
    assert audit_view.right(indicator(None, flags), verdict) == ""


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        ("masked", "3 of 4 were run: 1 of them see the hidden gradient, 2 would have been fooled."),
        ("certified", "3 of 4 were run: 2 of them are quiet, 1 would have raised a false alarm."),
        ("overstated", "3 of 4 were run: 1 of them flag; this verdict does not settle which"),
    ],
)
def test_the_indicators_are_counted(verdict: str, says: str) -> None:
    some = (indicator(0.1, False), indicator(0.9, True), indicator(0.2, False))
    record = replace(bare(), verdict=verdict, indicators=(*some, indicator(None, True)))
    assert says in audit_view.page(record).signs_say


# ---- gates, other judgements, limits ----


def test_gates_are_counted_and_each_has_a_shape_and_a_word() -> None:
    assert audit_view.page(examination()).gates_say == "4 green, 1 red, 1 not run"
    page = html.render(examination())
    part = page[page.index('id="gates"') : page.index('id="findings"')]
    badges = re.findall(r'class="badge (is-[a-z]+)"><svg.*?#icon-(\w+)"/></svg>([a-z ]+)<', part)
    assert set(badges) == {
        ("is-yes", "yes", "green"),
        ("is-no", "no", "red"),
        ("is-none", "none", "not run"),
    }
    assert len(badges) == len(gates())


def test_a_model_that_draws_is_judged_in_every_way() -> None:
    table = audit_view.judged(examination())
    assert table is not None
    cells = {row.cells[0]: [c.split("\u00a0")[0] for c in row.cells[1:]] for row in table.rows}
    assert cells == {  # counted by hand from the made-up ledgers
        "majority of 16 draws": ["94", "18.5"],
        "one fresh draw": ["75.8", "22.9"],
        "while optimising": ["89.5", "13"],
        "in float64": ["94", "18.5"],
        "saved by constraints alone": ["5", "5"],
    }
    assert audit_view.judged(bare()) is None


def test_only_what_was_measured_is_judged() -> None:
    first = ledger(12, "PGD(steps=40)")
    unmet = replace(first, infeasible=(False,) * 200, claimed=(True,) * 200)
    assert audit_view.judged(replace(bare(), adaptive_ledger=unmet)) is None
    twice = replace(bare(), adaptive_ledger=replace(drawn(first, 0), draws=1))
    table = audit_view.judged(twice)
    assert table is not None
    assert [row.cells[0] for row in table.rows] == ["in float64", "saved by constraints alone"]
    assert table.rows[0].cells[1] == "not run"
    assert "draws at random" not in table.note


def test_a_note_is_said_once_whoever_said_it() -> None:
    noted = replace(ledger(1, "PGD()"), notes=("a", "b"), findings=examination().findings[:1])
    record = replace(bare(), notes=("a",), naive_ledger=noted, adaptive_ledger=noted)
    finding = noted.findings[0]
    said = audit_view.page(record).limits
    assert said == ("a", "b", f"{finding.why} {finding.remedy}")
    assert audit_view.page(replace(record, findings=noted.findings)).limits == ("a", "b")


# ---- the page ----


def test_what_a_bare_audit_lacks_leaves_no_empty_section() -> None:
    page = html.render(bare())
    for place in ("network", "removed", "curves", "gates", "indicators", "checklist", "limits"):
        assert f'id="{place}"' not in page
        assert f'id="{place}"' in html.render(examination())
    assert ">None<" not in page
    assert "No diagnostic saw anything." in page


@pytest.mark.parametrize(("count", "opened"), [(10, True), (11, False)])
def test_a_long_list_of_witnesses_is_folded(count: int, opened: bool) -> None:
    page = html.render(replace(examination(), witnesses=examination().witnesses[:count]))
    assert ("<details open><summary>The list of witnesses" in page) == opened


def test_the_checklist_tells_what_was_measured_from_what_is_asked() -> None:
    page = html.render(examination())
    part = page[page.index('id="checklist"') : page.index('id="attack"')]
    found = re.findall(r'#icon-(\w+)"/></svg><span><span class="sr">([a-z ]+): ', part)
    assert found.count(("yes", "yes")) == 7
    assert found.count(("no", "no")) == 1
    assert found.count(("open", "open")) == 2
    assert found.count(("box", "to be answered")) == 5
    assert part.index("To be answered by you") < part.index("icon-box")


@pytest.mark.parametrize("verdict", ["masked", "overstated", "inconclusive", "consistent"])
def test_every_verdict_has_a_page(verdict: str) -> None:
    record: Examination = replace(examination(), verdict=verdict)
    assert f"<span>{verdict.capitalize()}</span></h1>" in html.render(record)
