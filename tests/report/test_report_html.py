"""The pages as text: every sentence of a record is there, escaped, in order, and always the same."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from typing import Any

import pytest
from made_up import answers, comparison, hostile, loss_by_rate
from made_up_audit import bare, examination
from made_up_matrix import many_tasks

from gradwarden.core.comparison import Answer, Cell, Comparison, Point
from gradwarden.core.display import Row, Table
from gradwarden.core.errors import BadInput
from gradwarden.core.examination import Examination
from gradwarden.report import html

NAMES = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "\"' onmouseover=alert(1) x='",
    "{{ 7 * 7 }}{% raw %}",
    "a\u2028b\u2029c & <!-- </style>",
    "%{y}<b>$x$</b>",
]
FULL = [comparison, many_tasks, examination]
UNSHOWN = {
    "id",
    "group",
    "runs",
    "bound",
    "claims",
    "png",
    "sources",
    "schema",
    "unit",
    "scale",
    "subject",
}


class Reader(HTMLParser):
    """What a reader gets: texts outside of scripts and styles, attributes, tags and ids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(page)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words.append(data)


def strings(value: Any) -> Iterator[str]:
    if is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            own = (type(value), f.name) in ((Answer, "figures"), (Cell, "evidence"))
            if f.name not in UNSHOWN and not own:
                yield from strings(getattr(value, f.name))
    elif isinstance(value, tuple):
        for v in value:
            yield from strings(v)
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from (k, v)
    elif isinstance(value, str):
        yield value


@pytest.fixture(scope="module", params=FULL, ids=lambda made: made.__name__)
def record(request: pytest.FixtureRequest) -> Comparison | Examination:
    found = request.param()
    assert isinstance(found, Comparison | Examination)
    return found


def test_every_sentence_of_the_record_is_on_the_page(record: Comparison | Examination) -> None:
    page = Reader(html.render(record))
    parts = (page.text, "".join(page.words), *(value for _, _, value in page.attributes))
    shown = " ".join(parts).casefold()
    missing = [s for s in strings(record) if " ".join(s.split()).casefold() not in shown]
    assert missing == []


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_stays_text(record: Comparison | Examination, name: str) -> None:
    """No element, attribute or script that the harmless record's page lacks."""
    plain, page = Reader(html.render(record)), Reader(html.render(hostile(record, name)))
    kinds = {(tag, key) for tag, key, _ in plain.attributes}
    assert {(tag, key) for tag, key, _ in page.attributes} <= kinds
    assert len(page.scripts) == len(plain.scripts)
    runs = [i for i, s in enumerate(plain.scripts) if not s.startswith("{")]
    assert [page.scripts[i] for i in runs] == [plain.scripts[i] for i in runs]
    assert name.split("\u2028")[0].split()[0] in page.text
    for attribute in ("id", "href", "src", "class", "style"):
        assert not [
            v for _, key, v in page.attributes if key == attribute and "alert" in v and "<" in v
        ]


def test_a_hostile_picture_stays_an_attribute() -> None:
    first = comparison()
    gallery = first.galleries[0]
    picture = replace(gallery.rows[0][0], png='"><script>alert(1)</script>')
    page = html.render(replace(first, galleries=(replace(gallery, rows=((picture,),)),)))
    assert "<script>alert" not in page


def test_figure_data_survive_the_embedding() -> None:
    name = NAMES[4]
    page = Reader(html.render(hostile(comparison(), name)))
    figures = [json.loads(s) for s in page.scripts if s.startswith("{")]
    assert len(figures) == 4
    titles = {figure["layout"]["xaxis"]["title"]["text"] for figure in figures}
    assert "step" + name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in titles
    assert all("<" not in s and "\u2028" not in s for s in page.scripts if s.startswith("{"))


def test_only_the_scripts_of_the_page_may_run(record: Comparison | Examination) -> None:
    page = html.render(record)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].replace("&#39;", "'").split(";"))
    running = [s for s in Reader(page).scripts if not s.startswith("{")]
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in running]
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == " ".join(f"'sha256-{h}'" for h in hashes)
    assert rules["img-src"] == "data: blob:"


def test_plotly_is_inlined_once_and_only_where_figures_are() -> None:
    assert html.render(comparison()).count("* plotly.js v") == 1
    assert html.render(examination()).count("* plotly.js v") == 1
    assert "plotly.js v" not in html.render(bare())
    assert "plotly.js v" not in html.render(replace(comparison(), figures=()))


def test_ids_are_unique_and_links_lead_somewhere(record: Comparison | Examination) -> None:
    if isinstance(record, Comparison):  # the same ids twice, and ids that are no anchors
        again = tuple(replace(a, id=f"<{a.id}>") for a in answers())
        record = replace(record, answers=answers() + answers() + again)
    page = Reader(html.render(record))
    ids = [value for _, key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[\w-]+", i) for i in ids)
    links = {value[1:] for _, key, value in page.attributes if key == "href"}
    assert links <= set(ids)


def test_sentences_link_to_their_claims_and_say_the_answer() -> None:
    page = html.render(comparison())
    summary = page[page.index('class="summary"') : page.index('id="side-by-side"')]
    assert re.findall(r'<a class="ref [\w-]+" href="#([\w-]+)"', summary) == [
        "claim-C1",
        "claim-C2",
        "claim-M1",
        "claim-M2",
        "claim-M3",
    ]
    assert Reader(summary).text.count(", supported") == 3
    assert ", refuted" in summary
    assert "X9" in summary  # a claim that is not on the page is named without a link


def test_the_order_of_the_page() -> None:
    page = html.render(comparison())
    places = ["<h1>", 'class="summary"', 'id="side-by-side"', 'id="bottom-line"', 'id="claims"']
    places += ['id="pictures"', 'id="more"', 'id="seconds"', 'id="limits"', 'id="origin"']
    found = [page.index(place) for place in places]
    assert found == sorted(found)


def test_a_figure_is_shown_where_it_is_named_first_and_linked_afterwards() -> None:
    page = html.render(comparison())
    assert page.count('id="figure-loss-by-rate"') == 1
    assert 'id="claim-C1"' in page[: page.index('id="figure-loss-by-rate"')]
    rest = page[page.index('id="claim-C2"') : page.index('id="claim-M1"')]
    assert 'href="#figure-loss-by-rate"' in rest


def test_a_gallery_that_a_claim_names_is_shown_there() -> None:
    first = comparison()
    named = tuple(replace(a, figures=("pictures",)) if a.id == "M2" else a for a in first.answers)
    page = html.render(replace(first, answers=named))
    assert 'id="pictures"' not in page
    claim = page[page.index('id="claim-M2"') : page.index('id="claim-M3"')]
    assert claim.count("<img ") == 8


def test_each_answer_has_a_shape_and_a_word_of_its_own() -> None:
    page = html.render(comparison())
    badges = set(
        re.findall(r'<span class="badge ([\w-]+)"><svg.*?#icon-(\w+)"/></svg>([\w ]+)', page)
    )
    assert badges == {
        ("is-yes", "yes", "supported"),
        ("is-no", "no", "refuted"),
        ("is-open", "open", "open"),
        ("is-none", "none", "not run"),
    }


def test_a_claim_that_does_not_count_by_itself_says_so() -> None:
    page = html.render(comparison())
    assert page.count("does not count without the claims") == 1
    assert page.index("does not count without") > page.index('id="claim-C2"')


def test_a_claim_without_an_effect_of_its_own_shows_its_parts_at_a_glance() -> None:
    page = html.render(comparison())
    glance = page[page.index("<caption>The answers at a glance") : page.index('id="claim-C0"')]
    rows = re.findall(r'<span class="claim-id">([\w.]+)</span>', glance)
    assert rows == ["C0", "C1", "C2", "M1", "M1.depth", "M1.jpeg", "M2", "M3"]


def test_an_effect_is_shown_with_interval_null_and_smallest_effect() -> None:
    text = Reader(html.render(comparison())).text
    assert "36.7 points 95 % interval 24.3 to 49.1, n = 5" in text
    assert "at least 1.03 log ratio 95 % interval 0.694 to 1.37, n = 5 a factor of 2.81" in text
    assert "93.5 % of images saved 95 % interval 90.9 % to 95.6 %, n = 478" in text
    assert "null 50 %, too small to count within ±10 %" in text


def test_a_command_is_not_repeated_within_a_card() -> None:
    same = "gradwarden compare"
    first = comparison()
    figure = replace(loss_by_rate(), command=same)
    part = replace(first.answers[1].parts[0], command=same)
    claim = replace(first.answers[1], command=same, parts=(part,))
    page = Reader(html.render(replace(first, answers=(claim,), figures=(figure,))))
    assert page.text.count("Reproduce C1") == 1
    assert "Reproduce this figure" not in page.text
    assert "Reproduce this figure" in Reader(html.render(first)).text


def test_what_is_empty_leaves_no_empty_section() -> None:
    bare = replace(
        comparison(),
        summary=(Point(text="Nothing was run.", claims=()),),
        answers=(),
        contenders=(),
        bottom_line=(),
        tables=(),
        figures=(),
        galleries=(),
        seconds=Table(title="Seconds", columns=("Task", "Seconds"), rows=()),
        notes=(),
        runs=(),
    )
    page = html.render(bare)
    assert "Nothing was run." in page
    for place in ("pictures", "more", "limits"):
        assert f'id="{place}"' not in page


def test_the_command_the_seeds_and_the_sources_are_there(
    record: Comparison | Examination,
) -> None:
    text = Reader(html.render(record)).text
    assert record.origin.command in text
    assert "seeds 0, 1, 2, 3, 4" in text
    assert "clip/norm.py 9f86d081884c7d65" in text


def test_the_audit_says_that_it_is_no_proof_and_puts_the_verdict_first() -> None:
    page = Reader(html.render(examination()))
    assert "evidence, not proof" in page.text
    words = ["Masked", "leaves 18.5 %", "thorough budget, 200 samples", "Clean no attack"]
    words += ["25 modules were called", "Who removed what Each", "What each diagnostic saw"]
    found = [page.text.index(word) for word in words]
    assert found == sorted(found)
    assert "p < 0.001" in page.text
    assert "97 % 93.6 % to 98.9 %" in page.text  # no-break spaces are read as spaces here


def test_dict_order_does_not_matter(record: Comparison | Examination) -> None:
    o = record.origin
    other = replace(
        o,
        environment=dict(reversed(o.environment.items())),
        sources=dict(reversed(o.sources.items())),
    )
    assert html.render(replace(record, origin=other)) == html.render(record)


def test_another_process_writes_the_same_bytes() -> None:
    code = """if True:
        import hashlib, made_up, made_up_audit
        from gradwarden.report import html
        pages = html.render(made_up.comparison()) + html.render(made_up_audit.examination())
        print(hashlib.sha256(pages.encode()).hexdigest())
        """
    digests = set()
    for seed in ("1", "2"):
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, env=env, capture_output=True, text=True
        )
        digests.add(done.stdout)
    pages = html.render(comparison()) + html.render(examination())
    assert digests == {hashlib.sha256(pages.encode()).hexdigest() + "\n"}


def test_a_ragged_table_is_shown_as_it_is() -> None:
    ragged = Table(title="T", columns=("a", "b"), rows=(Row(cells=("x", "1")), Row(cells=("y",))))
    page = html.render(replace(comparison(), seconds=ragged))
    assert '<th scope="row">y</th></tr>' in page
    assert '<td class="num">1</td>' in page


def test_other_records_have_no_page() -> None:
    with pytest.raises(BadInput, match=r"no page for Table.*write it as \.json"):
        html.render(comparison().seconds)
