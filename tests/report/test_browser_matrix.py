"""The matrix, its evidence and the figures' files in a real browser, by mouse and by keyboard alone."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from browser import chromium, needs_chromium, opened
from made_up_matrix import CLAIMS, many_tasks, thousands
from playwright.sync_api import Browser, Page

from gradwarden import report

pytestmark = needs_chromium
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
CELL = "a.cell[href='#claim-C1-lstm-text']"
PART = "#claim-C1-lstm-text"
FIGURE = "#figure-loss-by-rate"


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "tasks.html"
    report.write(many_tasks(), path)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def tab_to(page: Page, selector: str, most: int = 200) -> None:
    """Presses Tab until the focus is on `selector`."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("css => document.activeElement.matches(css)", selector):
            return
    pytest.fail(f"{most} presses of Tab never reach {selector}")


def seen(page: Page, selector: str) -> bool:
    """Whether its upper edge is on the screen, once the page has come to rest."""
    there = """css => { const box = document.querySelector(css).getBoundingClientRect();
        return box.height > 0 && box.top >= 0 && box.top < innerHeight - 40 }"""
    for _ in range(60):
        if page.evaluate(there, selector):
            return True
        page.wait_for_timeout(50)
    return False


@pytest.mark.parametrize("size", SIZES)
def test_the_first_screen_has_the_title_three_sentences_and_the_matrix(
    tasks: Path, browser: Browser, size: str
) -> None:
    with opened(browser, tasks, viewport=SIZES[size]) as page:
        assert page.locator(".summary li").count() == 3
        for part in ("h1", ".summary li >> nth=0", ".summary li >> nth=2", ".matrix thead"):
            box = page.locator(part).bounding_box()
            assert box
            assert box["y"] + box["height"] <= SIZES[size]["height"], part
        for part in (".matrix .task-name >> nth=0", ".cell >> nth=0"):
            box = page.locator(part).bounding_box()
            assert box
            assert box["y"] + 12 <= SIZES[size]["height"], part


def test_nine_claims_fit_on_a_desktop_and_scroll_in_their_box_on_a_phone(
    tasks: Path, browser: Browser
) -> None:
    over = "box => [box.scrollWidth - box.clientWidth, document.documentElement.scrollWidth]"
    for size, scrolls in (("desktop", False), ("phone", True)):
        with opened(browser, tasks, viewport=SIZES[size]) as page:
            inner, outer = page.locator(".matrix .scroll").evaluate(over)
        assert (inner > 0) == scrolls, size
        assert outer == SIZES[size]["width"]


def test_the_tasks_stay_in_view_and_hide_no_cell_that_has_the_focus(
    tasks: Path, browser: Browser
) -> None:
    with opened(browser, tasks, viewport=SIZES["phone"]) as page:
        page.locator(".matrix thead a").first.focus()
        for key in ["Tab"] * 40 + ["Shift+Tab"] * 20:
            page.keyboard.press(key)
            name, task, edge, left, right = page.evaluate(
                """() => { const it = document.activeElement, own = it.getBoundingClientRect();
                const task = it.closest('tr').querySelector('th').getBoundingClientRect();
                return [it.getAttribute('href'), task.left, task.right, own.left, own.right] }"""
            )
            assert task >= 0, f"{key} to {name}: its task is out of view"
            assert left >= edge - 1, f"{key} to {name}: under its task"
            assert right <= SIZES["phone"]["width"], f"{key} to {name}: over the edge"


@pytest.mark.parametrize("size", SIZES)
def test_the_keyboard_alone_goes_from_a_cell_to_its_evidence_to_its_runs_and_back(
    tasks: Path, browser: Browser, size: str
) -> None:
    with opened(browser, tasks, viewport=SIZES[size]) as page:
        assert not page.locator(PART).is_visible()
        tab_to(page, CELL)
        page.keyboard.press("Enter")
        assert seen(page, PART)
        tab_to(page, f"{PART} a[href='#runs-lstm-text']", most=3)
        page.keyboard.press("Enter")
        assert seen(page, "#runs-lstm-text td")
        page.go_back()
        assert seen(page, PART)


def test_a_cell_that_was_not_run_leads_to_the_reason(tasks: Path, browser: Browser) -> None:
    with opened(browser, tasks, viewport=SIZES["phone"]) as page:
        cell = page.get_by_role("row", name=re.compile("^traffic-signs")).locator("a.cell").first
        assert (cell.text_content() or "").split() == ["not", "run,", "reason", "2"]
        page.locator("details.reasons").evaluate("fold => { fold.open = false; }")
        cell.click()
        assert seen(page, "#reason-2")
        assert "needs GTSRB.zip" in page.locator("#reason-2").inner_text()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_page_opened_at_its_evidence_shows_it(
    tasks: Path, browser: Browser, scripts: bool
) -> None:
    with browser.new_context(java_script_enabled=scripts) as context:
        page = context.new_page()
        page.goto(f"{tasks.resolve().as_uri()}{PART}")
        assert page.locator(f"{PART} .claim-says").is_visible()
        page.locator("details.runs summary").first.scroll_into_view_if_needed()
        page.locator(CELL).click()
        assert page.locator(f"{PART} .claim-says").is_visible()


def test_a_link_that_was_followed_before_opens_what_was_folded_since(
    tasks: Path, browser: Browser
) -> None:
    with opened(browser, tasks) as page:
        page.locator(CELL).click()
        page.locator("#claim-C1 > details.parts").evaluate("fold => { fold.open = false; }")
        page.locator(CELL).click()
        assert seen(page, PART)


def test_the_page_unfolds_by_itself_where_the_browser_does_not(
    tasks: Path, browser: Browser
) -> None:
    """Chromium opens what a link leads to; an event that it takes no part in shows what we do."""
    with opened(browser, tasks) as page:
        page.evaluate(
            """place => { history.replaceState(null, '', place);
                dispatchEvent(new HashChangeEvent('hashchange')); }""",
            PART,
        )
        assert seen(page, PART)


def test_a_figure_in_folded_evidence_is_drawn_when_it_opens_in_the_colours_of_the_moment(
    tasks: Path, browser: Browser
) -> None:
    width = f"document.querySelector('{FIGURE} svg.main-svg')?.getBoundingClientRect().width ?? 0"
    tick = "document.querySelector('{} .xtick text').style.fill"
    with opened(browser, tasks, color_scheme="light") as page:
        assert page.evaluate(width) == 0
        page.get_by_role("button", name="Dark theme").click()
        page.locator(CELL).click()
        page.locator(f"{FIGURE} svg.main-svg").first.wait_for()
        assert page.evaluate(width) > 400
        assert page.evaluate(tick.format(FIGURE)) == page.evaluate(tick.format("#more ~ .figure"))


def test_a_screen_reader_hears_task_claim_and_answer(tasks: Path, browser: Browser) -> None:
    with opened(browser, tasks) as page:
        table = page.get_by_role("table", name="What the runs of each task say of each claim")
        heads = table.get_by_role("columnheader").all_inner_texts()
        assert [head.split("\n")[0] for head in heads] == ["Task", *CLAIMS]
        assert table.get_by_role("rowheader").count() == 13
        row = table.get_by_role("row", name=re.compile("^lstm-text LSTM, NLP"))
        cell = row.get_by_role("cell").nth(1).get_by_role("link")
        assert " ".join(cell.inner_text().split()).startswith("refuted")
        assert table.get_by_role("cell", name="not about this task").count() == 30


def saved(page: Page, name: str) -> tuple[str, bytes]:
    """The file behind the button `name` of the figure, pressed by keyboard."""
    with page.expect_download() as download:
        page.locator(FIGURE).get_by_role("button", name=name).press("Enter")
    path = download.value.path()
    return download.value.suggested_filename, path.read_bytes()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_figure_is_saved_as_svg_and_png_in_light_colours_on_white(
    tasks: Path, browser: Browser, scheme: str
) -> None:
    size = SIZES["phone"]
    with opened(browser, tasks, color_scheme=scheme, viewport=size, accept_downloads=True) as page:
        page.locator(CELL).click()
        page.locator(f"{FIGURE} .key").nth(1).click()  # a line that is hidden stays hidden
        page.locator(FIGURE).get_by_role("button", name="MaxNorm(0.25)").focus()
        tab_to(page, f"{FIGURE} .save[data-format=svg]", most=3)
        name, svg = saved(page, "Download SVG of the figure: Held-out loss by learning rate")
        other, png = saved(page, "Download PNG of the figure: Held-out loss by learning rate")
        says = page.get_by_role("status").inner_text()
    assert name == "held-out-loss-by-learning-rate.svg"
    assert other == "held-out-loss-by-learning-rate.png"
    assert says == f"Saved {other}"
    root = ElementTree.fromstring(svg)
    assert (root.get("width"), root.get("height")) == ("960", "560")
    text = svg.decode()
    words = ["Held-out loss by learning rate", "learning rate", "bits per character"]
    words += ["no clipping", "no clipping: not finite", "Quantile"]
    drawn = {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert set(words) <= drawn
    assert "MaxNorm(0.25)" not in drawn
    assert "rgb(0, 102, 163)" in text  # the first line's colour in the light scheme
    assert "rgb(86, 180, 233)" not in text
    ground = next(root.iter("{http://www.w3.org/2000/svg}rect"))
    assert (ground.get("width"), ground.get("height")) == ("960", "560")
    assert "fill: rgb(255, 255, 255)" in ground.get("style", "")
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (1920, 1120)


def test_a_page_of_five_thousand_runs_opens_and_leads_to_a_run(
    tmp_path: Path, browser: Browser
) -> None:
    report.write(thousands(), tmp_path / "runs.html")
    with opened(browser, tmp_path / "runs.html") as page:
        page.locator("a.cell[href='#claim-C9-task-11']").click()
        page.locator("#claim-C9-task-11 a[href='#runs-task-11']").click()
        assert seen(page, "#runs-task-11 td")
        assert page.get_by_text("task-11-0415").is_visible()
