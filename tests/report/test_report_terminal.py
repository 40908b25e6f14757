"""The terminal's text: the same answers, at any width, and no control character of a name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up import comparison, hostile
from made_up_audit import bare, examination
from made_up_matrix import many_tasks
from rich.cells import cell_len
from rich.console import Console

from gradwarden.core.errors import BadInput
from gradwarden.report import terminal


def shown(record: object, width: int = 200) -> str:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal.render(record))
    return capture.get()


def test_the_comparison_has_answers_effects_bottom_line_and_seconds() -> None:
    text = shown(comparison())
    record = comparison()
    words = [record.title, *(p.text for p in (*record.summary, *record.bottom_line))]
    words += [part.claim for a in record.answers for part in (a, *a.parts)]
    words += [a.says for a in record.answers]
    words += ["✓ supported", "✗ refuted", "○ open", "· not run"]
    words += ["36.7 points (24.3 to 49.1)", "at least 1.03 log ratio (0.694 to 1.37)"]
    words += ["lstm-text      86      91.4", "[M2, M3, X9]"]
    assert [w for w in words if w not in text] == []
    places = [text.index(w) for w in ("saved every run", "The claims", "Bottom line", "Seconds by")]
    assert places == sorted(places)


def test_a_claim_that_does_not_count_is_marked() -> None:
    text = shown(comparison())
    assert "✓ supported *" in text
    assert "* does not count without" in text
    counts = tuple(replace(a, counts=True) for a in comparison().answers)
    assert "*" not in shown(replace(comparison(), answers=counts))


def test_the_audit_has_verdict_accuracies_findings_and_the_caveat() -> None:
    text = shown(examination(), 300)
    record = examination()
    words = ["MASKED", record.model, *record.reasons, record.threat, "thorough budget"]
    words += [w for f in record.findings for w in (f.why, f.kind, f.line, f.check)]
    words += [f.remedy.split()[-1] for f in record.findings]
    words += [w.by[:50] for w in record.removed] + ["55\u00a0points     34\u00a0%"]
    words += [g.settle for g in record.gates] + [f"note: {note}" for note in record.notes]
    words += ["whole model", "replaced: front.squeeze", "claimed", "black box         41"]
    words += ["✗ black box, red: Square breaks", "· binarisation, not run: No bin"]
    words += ["evidence, not proof", "18.5\u00a0%     13.4\u00a0% to 24.6\u00a0%"]
    assert [w for w in words if w not in text] == []
    assert "green" not in text
    places = ["MASKED", "thorough", "Accuracy on", "Who removed", "Findings", "✗", "note:"]
    assert [text.index(w) for w in places] == sorted(text.index(w) for w in places)


def test_what_a_bare_audit_lacks_leaves_no_empty_table() -> None:
    text = shown(bare())
    assert "CONSISTENT" in text
    absent = ("Who removed", "Findings", "claimed", "certified", "black box", "note:", "✗", "None")
    assert [word for word in absent if word in text] == []
    assert "black box " in shown(replace(examination(), certified=None, gates=()))


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize(
    "record",
    [comparison(), many_tasks(), examination(), bare()],
    ids=["comparison", "tasks", "audit", "bare"],
)
def test_no_line_is_wider_than_the_terminal(record: object, width: int) -> None:
    assert max(map(cell_len, shown(record, width).splitlines())) <= width


@pytest.mark.parametrize(
    "record", [comparison(), many_tasks(), examination()], ids=["comparison", "tasks", "audit"]
)
def test_a_name_is_no_markup_and_cannot_steer_the_terminal(record: object) -> None:
    console = Console(width=400, color_system="truecolor", force_terminal=True, file=None)
    with console.capture() as capture:
        console.print(terminal.render(hostile(record, "[red]x[/red]\x1b]0;title\x07\x1b[2J\r\x9b")))
    text = capture.get()
    assert "[red]x[/red]" in text
    assert not {"\x1b]", "\x1b[2J", "\x07", "\r", "\x9b"} & {
        text[i : i + n] for n in (1, 2, 4) for i in range(len(text))
    }


def test_the_same_record_gives_the_same_text() -> None:
    assert shown(comparison(), 80) == shown(comparison(), 80)


def test_other_records_have_nothing_to_show() -> None:
    with pytest.raises(BadInput, match="nothing to show for Table"):
        terminal.render(comparison().seconds)
