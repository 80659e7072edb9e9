"""A real browser: Chromium by Playwright, its console, and the hosts it connects to."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
TIMEOUT_MS = 30_000


@dataclass
class Seen:
    """The errors and the requests of a page.

    Attributes:
        errors: On its console, and uncaught ones.
        hosts: Of its requests over a network.
    """

    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def watch(self, page: Page) -> None:
        """Record from now on."""
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._record)
        page.on("request", lambda request: self._note(request.url))

    def _record(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("file", "data", "blob"):
            self.hosts.add(parts.netloc)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser for the length of a block, with a profile of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*CHROMIUM_FLAGS])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[tuple[Page, Seen]]:
    """Open a page for the length of a block; it must end without an error."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
    context.set_default_timeout(TIMEOUT_MS)
    page, seen = context.new_page(), Seen()
    seen.watch(page)
    page.goto(url)
    yield page, seen
    context.close()
    assert seen.errors == []


@contextmanager
def redrawn(page: Page) -> Iterator[None]:
    """Wait after a block until all charts have been drawn again."""
    page.wait_for_selector("#charts[data-turn]")
    before = page.locator("#charts").get_attribute("data-turn")
    yield
    page.wait_for_selector(f'#charts:not([data-turn="{before}"])')


def data_of(page: Page, chart: str) -> list[dict[str, Any]]:
    """Wait until a chart is drawn, and return its data."""
    page.locator(f"#chart-{chart}").scroll_into_view_if_needed()
    page.wait_for_selector(f"#chart-{chart} .plot[data-drawn]")
    found: list[dict[str, Any]] = page.evaluate(
        f"""document.querySelector('#chart-{chart} .plot').data.map(
            ({{x, y, name, meta, type}}) => ({{x, y, name, meta, type}}))"""
    )
    return found
