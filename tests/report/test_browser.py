"""The pages in a real browser: drawn, quiet, accessible, and alive under keyboard and toggle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import check_page, chromium, needs_chromium, opened
from made_up import comparison, hostile
from made_up_audit import bare, examination
from made_up_matrix import small
from playwright.sync_api import Browser

from gradwarden import report

pytestmark = needs_chromium
NAME = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>\"'&\u2028</script>"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    report.write(comparison(), folder / "index.html")
    report.write(small(), folder / "tasks.html")
    report.write(examination(), folder / "audit.html")
    report.write(bare(), folder / "bare.html")
    report.write(replace(examination(), figures=()), folder / "undrawn.html")  # opens faster
    report.write(hostile(comparison(), NAME), folder / "hostile.html")
    report.write(hostile(examination(), NAME), folder / "hostile-audit.html")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize("name", ["index.html", "tasks.html", "audit.html", "bare.html"])
def test_a_page_passes_every_check(pages: Path, name: str) -> None:
    check_page(pages / name)


@pytest.mark.parametrize("name", ["hostile.html", "hostile-audit.html"])
def test_no_name_runs_as_script(pages: Path, browser: Browser, name: str) -> None:
    with opened(browser, pages / name) as page:
        page.wait_for_timeout(200)
        assert page.evaluate("window.hit") is None
        assert page.evaluate("document.querySelectorAll('img[src=x]').length") == 0
        assert page.locator("h1").inner_text().count("<script>") <= 1
        assert page.locator("svg.main-svg .trace").count()


def test_the_theme_button_restyles_page_and_figures(pages: Path, browser: Browser) -> None:
    look = """() => [getComputedStyle(document.body).backgroundColor,
        document.querySelector('.plot .xtick text').style.fill,
        document.querySelector('.plot .scatterlayer .js-line').style.stroke]"""
    with opened(browser, pages / "index.html", color_scheme="light") as page:
        light = page.evaluate(look)
        page.get_by_role("button", name="Dark theme").click()
        dark = page.evaluate(look)
        page.get_by_role("button", name="Light theme").click()
        assert all(a != b for a, b in zip(light, dark, strict=True))
        assert page.evaluate(look) == light
        page.emulate_media(color_scheme="dark")
        assert page.evaluate(look) == light  # what the reader chose stays


def test_figures_follow_the_system_scheme(pages: Path, browser: Browser) -> None:
    tick = "document.querySelector('.plot .xtick text').style.fill"
    with opened(browser, pages / "index.html", color_scheme="light") as page:
        before = page.evaluate(tick)
        page.emulate_media(color_scheme="dark")
        for _ in range(100):  # wait_for_function would eval, which the page's policy forbids
            if page.evaluate(tick) != before:
                return
            page.wait_for_timeout(50)
    pytest.fail("the ticks keep the colour of the light scheme")


def test_a_legend_key_hides_its_line_with_band_and_lost_points(
    pages: Path, browser: Browser
) -> None:
    with opened(browser, pages / "index.html") as page:
        figure = page.locator(".figure", has_text="Held-out loss by learning rate").first
        before = figure.locator(".trace").count()
        key = figure.get_by_role("button", name="no clipping")
        key.focus()
        page.keyboard.press("Enter")
        assert key.get_attribute("aria-pressed") == "false"
        assert figure.locator(".trace").count() == before - 3
        page.keyboard.press("Enter")
        assert figure.locator(".trace").count() == before


def test_the_keyboard_reaches_the_content_first_and_all_that_acts(
    pages: Path, browser: Browser
) -> None:
    with opened(browser, pages / "index.html") as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#claim-C1"


def test_a_command_is_copied(pages: Path, browser: Browser) -> None:
    rights = ["clipboard-read", "clipboard-write"]
    with opened(browser, pages / "index.html", permissions=rights) as page:
        page.locator("#claim-C0 .copy").click()
        page.get_by_role("status").get_by_text("Copied").wait_for(state="attached")
        says = page.evaluate("navigator.clipboard.readText()")
        assert says == "gradwarden compare lstm-text --seeds 5 --only C0"


def test_a_box_is_a_tab_stop_only_while_it_scrolls(pages: Path, browser: Browser) -> None:
    stop = "document.querySelector('#claim-C1 .table .scroll').tabIndex"
    for width, tab in ((1280, -1), (360, 0)):
        size = {"width": width, "height": 800}
        with opened(browser, pages / "index.html", viewport=size) as page:
            page.wait_for_timeout(100)
            assert page.evaluate(stop) == tab


def test_the_numbers_can_be_read_without_scripts(pages: Path, browser: Browser) -> None:
    with opened(browser, pages / "index.html", java_script_enabled=False) as page:
        page.locator("#figure-loss-by-rate summary").click()
        assert page.locator("#figure-loss-by-rate td").first.inner_text() == "2.61 (2.58 to 2.64)"
        assert not page.locator(".copy").first.is_visible()


@pytest.mark.parametrize("width", [1280, 360])
def test_the_labels_of_the_accuracy_axis_stand_where_the_bars_say(
    pages: Path, browser: Browser, width: int
) -> None:
    """Label i of 5 at the quarter that the interval bars measure from."""
    with opened(browser, pages / "undrawn.html", viewport={"width": width, "height": 800}) as page:
        off = page.evaluate(
            """() => {
                const bar = document.querySelector('.level .bar').getBoundingClientRect();
                return [...document.querySelectorAll('.level-axis span')].map((label, i) =>
                    Math.abs(label.getBoundingClientRect().left - bar.left - bar.width * i / 4));
            }"""
        )
    assert len(off) == 5
    assert max(off) < 1.5


def test_the_fault_is_seen_and_the_folded_modules_open_by_keyboard(
    pages: Path, browser: Browser
) -> None:
    with opened(browser, pages / "undrawn.html", viewport={"width": 375, "height": 800}) as page:
        fault = page.locator("#module-front-squeeze")
        assert fault.get_by_text("hides the gradient: no-gradient").is_visible()
        assert fault.get_by_text("the attack went around it").is_visible()
        folded = page.locator("#module-features-block2-act")
        assert not folded.is_visible()
        page.locator(".fold summary").focus()
        page.keyboard.press("Enter")
        assert folded.is_visible()
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0


def test_the_first_screen_has_verdict_reasons_and_every_accuracy(
    pages: Path, browser: Browser
) -> None:
    with opened(browser, pages / "undrawn.html", viewport={"width": 1280, "height": 800}) as page:
        boxes = [
            page.locator(f"{part} >> nth=-1").bounding_box() for part in (".summary", ".level")
        ]
    assert all(box and box["y"] + box["height"] <= 800 for box in boxes)


def test_a_bar_of_the_waterfall_is_as_long_as_its_figures_say(
    pages: Path, browser: Browser
) -> None:
    """The line of 55 points removed and 34 % left."""
    with opened(browser, pages / "undrawn.html") as page:
        shares = (
            page.locator(".falls tbody tr")
            .nth(3)
            .evaluate(
                """row => {
                const of = name => row.querySelector(name).getBoundingClientRect();
                const whole = of('.fall .ground'), left = of('.fall .left'), taken = of('.fall .taken');
                return [left.width, taken.left - whole.left, taken.width].map(v => v / whole.width);
            }"""
            )
        )
    assert shares == pytest.approx([0.34, 0.34, 0.55], abs=0.005)


def test_a_table_is_a_list_of_cards_on_a_phone_and_still_a_table_to_a_screen_reader(
    pages: Path, browser: Browser
) -> None:
    with opened(browser, pages / "undrawn.html", viewport={"width": 375, "height": 800}) as page:
        boxes = page.locator(".stack").evaluate_all(
            "tables => tables.map(t => t.scrollWidth - t.parentElement.clientWidth)"
        )
        assert len(boxes) == 4
        assert max(boxes) <= 0
        gates = page.get_by_role("table", name="The conditions on which the verdict rests")
        assert gates.get_by_role("row").count() == 7
        assert gates.get_by_role("cell", name="not run").is_visible()
        # A browser may forget what a table is once its display changes, unless it is told.
        parts = gates.locator("thead, tbody, tr, th, td")
        assert all(parts.evaluate_all("all => all.map(part => part.hasAttribute('role'))"))
        assert gates.get_attribute("role") == "table"
        row = gates.locator("tbody tr").first
        name, state = row.locator("th").bounding_box(), row.locator(".badge").bounding_box()
        assert name
        assert state
        assert name["y"] + name["height"] <= state["y"]
        assert name["width"] > 300


@pytest.mark.parametrize("width", [1280, 375])
def test_a_long_path_breaks_instead_of_widening_page_or_table(
    tmp_path: Path, browser: Browser, width: int
) -> None:
    path = "module.backbone.stage3.residual_block_17.attention.projection_normalised"
    full = examination()
    links = tuple(replace(k, module=path, kind=2 * path, line=2 * path) for k in full.chain[:3])
    record = replace(
        full,
        chain=links,
        findings=tuple(replace(f, module=path, line=2 * path) for f in full.findings),
        removed=tuple(replace(r, module=path) for r in full.removed),
        figures=(),
    )
    report.write(record, tmp_path / "long.html")
    size = {"width": width, "height": 800}
    with opened(browser, tmp_path / "long.html", viewport=size) as page:
        wide = page.evaluate(
            """() => [document.documentElement, ...document.querySelectorAll('.scroll:has(.stack)')]
                .map(box => box.scrollWidth - box.clientWidth)"""
        )
    assert len(wide) == 5
    assert max(wide) <= 0
