"""A headless Chromium, and what a page did in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from helpers import skips

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def executable() -> str:
    """Find a browser; without one skip the test, or fail where IMPACT_REQUIRE_BROWSER=1."""
    for name in (os.environ.get("IMPACT_BROWSER", ""), *_NAMES):
        if name and (path := shutil.which(name)):
            return path
    reason = "no Chromium: `apt-get install chromium`, or set IMPACT_BROWSER to one"
    return skips.skip_or_fail("IMPACT_REQUIRE_BROWSER", reason)


@dataclass
class Opened:
    """A page in a browser.

    Attributes:
        page: playwright's page.
        complaints: Errors and all else that the page wrote to its console.
        requests: Addresses that it asked for, besides itself and what is in it.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def wait_shown(self, canvas: str, beginning: str = "") -> None:
        """Wait until a canvas shows what ``data-shown`` begins with."""
        self.page.wait_for_function(
            "([id, text]) => (document.getElementById(id).dataset.shown || '').startsWith(text)"
            " && document.getElementById(id).dataset.shown",
            arg=[canvas, beginning],
        )

    def pixels(self, canvas: str) -> list[int]:
        """Give the colours of a canvas as numbers."""
        values: list[int] = self.page.evaluate(
            "id => { const c = document.getElementById(id);"
            " return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }",
            canvas,
        )
        return values

    def slide(self, control: str, value: int) -> None:
        """Move a slider."""
        self.page.evaluate(
            "([id, value]) => { const s = document.getElementById(id); s.value = value;"
            " s.dispatchEvent(new Event('input', { bubbles: true })); }",
            [control, str(value)],
        )

    def check_pictures(self, at_least: int) -> None:
        """Check that there are pictures, that all are drawn, and that each is described."""
        found = self.page.evaluate(
            "() => [...document.images].map(i => [i.naturalWidth, i.alt, i.src.slice(0, 11)])"
        )
        assert len(found) >= at_least
        for width, alt, source in found:
            assert width > 0
            assert len(alt) > 10
            assert source == "data:image/"

    def check_fits(self) -> None:
        """Check that nothing of the page lies beyond the edge of a phone."""
        self.page.set_viewport_size({"width": 380, "height": 800})
        width = self.page.evaluate("() => document.documentElement.scrollWidth")
        assert width <= 380

    def check_quiet(self) -> None:
        """Check that the page complained of nothing and asked for nothing."""
        assert self.complaints == []
        assert self.requests == []


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Open a page."""
    found = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            shown = Opened(page)
            page.on("console", lambda message: shown.complaints.append(message.text))
            page.on("pageerror", lambda error: shown.complaints.append(str(error)))
            page.on("request", lambda request: _note(shown, request.url, path))
            page.goto(path.as_uri())
            yield shown
        finally:
            browser.close()


def _note(shown: Opened, address: str, path: Path) -> None:
    if address != path.as_uri() and not address.startswith("data:"):
        shown.requests.append(address)
