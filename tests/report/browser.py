"""Opens a page of ours in headless Chromium, offline, and checks what a reader relies on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, path: Path, **context: Any) -> Iterator[Page]:
    """The page at `path`; on leaving, asserts that it logged no error and asked for nothing else."""
    faults: list[str] = []
    asked: list[str] = []

    def route(request: Route) -> None:
        asked.append(request.request.url)
        if request.request.url.split("#")[0] == path.resolve().as_uri():
            request.continue_()
        else:
            request.abort()

    with browser.new_context(**context) as own:
        own.route("**/*", route)
        page = own.new_page()
        page.on(
            "console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda e: faults.append(str(e)))
        page.on("request", lambda r: asked.append(r.url))
        page.goto(path.resolve().as_uri())
        yield page
    assert not faults, faults
    assert set(asked) == {path.resolve().as_uri()}, set(asked)


def check_page(path: Path, schemes: Sequence[str] = ("light", "dark")) -> None:
    """Asserts of the page at `path`, in each colour scheme, on a desktop and a phone: no console
    error, no request but the file itself, an answer first, every figure drawn, nothing wider than
    the screen, headings in order, and no fault that axe-core finds.
    """
    with chromium() as browser:
        for scheme in schemes:
            for width in (1280, 360):
                size = {"width": width, "height": 800}
                with opened(browser, path, color_scheme=scheme, viewport=size) as page:
                    _check(page, f"{path.name}, {scheme}, {width} px")


def _check(page: Page, where: str) -> None:
    """The page as it opens, then with all unfolded that it folds away."""
    assert page.locator("h1").count() == 1, where
    assert page.locator(".summary li").first.inner_text().strip(), where
    assert page.locator(".verdict, .bottom-line p").first.inner_text().strip(), where
    _check_layout(page, where)
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    page.wait_for_timeout(200)  # what was folded is drawn now
    _check_layout(page, f"{where}, unfolded")
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => Number(h.tagName[1]))"
    )
    assert levels[0] == 1, where
    assert all(b <= a + 1 for a, b in pairwise(levels)), f"{where}: {levels}"
    faults = [
        f"{v['impact']} {v['id']}: {[n['html'][:120] for n in v['nodes'][:3]]}"
        for v in Axe().run(page).response["violations"]
    ]
    assert faults == [], f"{where}: {faults}"


def _check_layout(page: Page, where: str) -> None:
    undrawn = page.evaluate(
        """() => [...document.querySelectorAll('.figure')].filter(f => {
            const svg = f.querySelector('svg.main-svg');
            return !f.closest('details:not([open])') && (!svg
                || svg.getBoundingClientRect().height < 100
                || !f.querySelector('svg.main-svg .trace'));
        }).map(f => f.id)"""
    )
    assert undrawn == [], f"{where}: not drawn {undrawn}"
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{where}: {wide} px wider than the screen"
