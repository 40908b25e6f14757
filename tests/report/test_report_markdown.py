"""Markdown: every sentence in order, links that lead somewhere, and no text read as more than text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from made_up import comparison, hostile
from made_up_matrix import NO_FILE, many_tasks, small
from markdown_it import MarkdownIt
from markdown_it.token import Token

from gradwarden.core.comparison import Comparison
from gradwarden.core.display import Row, Table
from gradwarden.core.errors import BadInput
from gradwarden.report import markdown, marks
from gradwarden.report.numbers import MINUS

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
NAMES = [
    "a | b || c \\| d",
    "<script>alert(1)</script><img src=x>",
    "**bold** _slant_ `code` ~~gone~~ $x$",
    "[link](http://x.example) ![picture](x.png) <http://x.example>",
    "&lt;b&gt; &copy; \\",
    "\n\n# heading\n- item\n> quote\n```\nfence\n|a|b|\n|-|-|",
    "\x1b[2J\x00\u2028\ud800",
    "# #",
]


def flat(tokens: list[Token]) -> list[Token]:
    return [t for token in tokens for t in (token, *flat(token.children or []))]


def parsed(text: str) -> list[Token]:
    return flat(PARSER.parse(text))


def visible(tokens: list[Token]) -> str:
    kinds = ("text", "text_special", "code_inline", "fence")
    return "".join(t.content if t.type in kinds else "\n" for t in tokens if t.type != "inline")


def shape(tokens: list[Token]) -> list[Any]:
    return [
        (t.type, t.tag, t.content if t.type.startswith("html") else "")
        for t in tokens
        if t.type not in ("text", "text_special", "inline")
    ]


def test_the_page_has_every_section_in_order() -> None:
    text = markdown.render(many_tasks())
    words = ["# Gradient clipping vs gradient masking", "- Clipping keeps", "## Task by task"]
    words += ["## Gradient clipping", "**Pros**", "**Cons**", "**Use it if**"]
    words += ["## Gradient masking", "- None that the runs speak for.", "## Bottom line"]
    words += ["## The claims", "### C0: ", "#### C0, rnn-temporal-order: ", "### M3: "]
    words += ["## More tables", "## Where the seconds went", "## Limits", "- M3 was not run."]
    words += ["## Where it comes from", "gradwarden compare lstm-text digits-cnn", "- seeds: 0, 1"]
    places = [text.index(word) for word in words]
    assert places == sorted(places)


def test_a_claim_has_answer_effect_interval_table_and_command() -> None:
    text = markdown.render(comparison())
    said = text[text.index("### C1: ") : text.index("#### C1.lstm")]
    assert said.startswith(
        "### C1: Clipping prevents divergence and NaN.\n\n"
        "**✓ supported**, effect 36.7 points, 95\u00a0% interval 24.3 to 49.1, n = 5.\n\n"
        "In the runs without clipping 11 of 30 were lost, with it none.\n\n"
        "How it was measured: Share of diverged runs"
    )
    assert (
        "| Arm | Diverged | Largest stable rate | Bits per character | Clipped steps |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| no clipping | 11 of 30 | 16 | 2.55 | – |\n"  # noqa: RUF001
        "| **MaxNorm(max\\_norm=0.25)** | **0 of 30** |"
    ) in said
    assert "Reproduce C1:\n\n```sh\ngradwarden compare lstm-text --seeds 5 --only C1\n```" in said
    assert "a factor of 2.81 (2 to 3.95)" in text
    assert text.count("does not count without the claims that it depends on") == 1
    assert "**· not run**.\n\nNo task of these fields was run." in text


def test_the_matrix_is_a_table_with_a_link_in_every_answered_cell() -> None:
    text = markdown.render(small())
    rows = re.findall(r"^\| \*\*(.*)$", text[: text.index("## Gradient clipping")], re.MULTILINE)
    up, down = "12 points \\[4, 20\\]", f"{MINUS}31 points \\[{MINUS}38, {MINUS}24\\]"
    yes, no, open_ = "[✓ supported](#claim-", "[✗ refuted](#claim-", "[○ open](#claim-"
    between, none = f"2 points \\[{MINUS}5, 9\\]", "· not run (1)"
    assert [row.removesuffix(" |").split(" | ") for row in rows] == [
        [
            "lstm-text**<br>LSTM, NLP",
            f"{no}C1-lstm-text)<br>{down}",
            f"{open_}C3-lstm-text)<br>{between}",
            "",
        ],
        ["traffic-signs**<br>vehicles", none, none, none],
        [
            "phishing**<br>fraud",
            f"{yes}C1-phishing)<br>{up}",
            f"{yes}C3-phishing)<br>{up}",
            f"{no}M2-phishing)<br>{down}",
        ],
        ["all tasks**", f"{yes}C1)<br>{up}", f"{open_}C3)<br>{between}", f"{no}M2)<br>{down}"],
    ]
    assert f"Why some were not run:\n\n1. {NO_FILE}\n" in text


@pytest.mark.parametrize("record", [comparison(), many_tasks()], ids=["comparison", "tasks"])
def test_every_link_leads_to_a_place_that_is_there_once(record: Comparison) -> None:
    text = markdown.render(record)
    places = re.findall(r'<a id="([^"]*)"></a>', text)
    assert len(places) == len(set(places)) > 5
    links = [t.attrs["href"] for t in parsed(text) if t.type == "link_open"]
    assert len(links) > 5
    assert {str(link).removeprefix("#") for link in links} <= set(places)


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_stays_text(name: str) -> None:
    """No element that the harmless record's Markdown lacks, and the name readable as it is."""
    plain, odd = (parsed(markdown.render(hostile(small(), more))) for more in ("harmless", name))
    ours = re.compile(r'<br>|</a>|<a id="[\w-]+">')  # ids are made of the names
    assert [(*k[:2], ours.sub("", k[2])) for k in shape(odd)] == [
        (*k[:2], ours.sub("", k[2])) for k in shape(plain)
    ]
    if name.isprintable() and name.isascii():
        assert visible(odd).count(name) > 100


STARTS = [
    "- x",
    "+ x",
    "1. x",
    "1) x",
    "---",
    "# x",
    "> x",
    "| x",
    "==",
    "<!-- x",
    "<script",
    "~~~",
]


@pytest.mark.parametrize("start", STARTS)
def test_a_text_begins_no_list_heading_or_rule(start: str) -> None:
    tokens = parsed(marks.text(start))
    assert [t.type for t in tokens if t.type not in ("inline", "text", "text_special")] == [
        "paragraph_open",
        "paragraph_close",
    ]
    assert visible(tokens).strip("\n") == start


def test_numbers_and_words_are_left_as_they_are() -> None:
    for words in ("2.55", f"{MINUS}31 points", "-0.5 to 1", "11 of 30", "a-b"):
        assert marks.text(words) == words


def test_a_command_with_backticks_keeps_them_in_a_longer_fence() -> None:
    assert marks.fenced("echo ``` x") == "````sh\necho ``` x\n````"
    assert marks.fenced("a\nb") == "```sh\na\nb\n```"


def test_a_ragged_table_and_an_empty_one_are_shown_as_they_are() -> None:
    ragged = Table(title="T", columns=("a", "b"), rows=(Row(cells=("x", "1")), Row(cells=("y",))))
    text = markdown.render(replace(comparison(), seconds=ragged))
    assert "| a | b |\n| --- | ---: |\n| x | 1 |\n| y |\n" in text


def test_the_same_record_gives_the_same_bytes_whatever_the_order_of_dicts() -> None:
    first = comparison()
    turned = dict(reversed(first.origin.environment.items()))
    other = replace(first, origin=replace(first.origin, environment=turned))
    assert markdown.render(other) == markdown.render(first) == markdown.render(comparison())


def test_other_records_have_no_markdown() -> None:
    with pytest.raises(BadInput, match=r"no Markdown for Table.*write it as \.html or \.json"):
        markdown.render(comparison().seconds)
