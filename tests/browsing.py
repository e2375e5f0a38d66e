"""A browser for the tests of pages: where it is, and visits that notice what a page fetches or complains of."""

import contextlib
import shutil
from collections.abc import Callable, Iterator

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@contextlib.contextmanager
def opened_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield opened
        opened.close()


@contextlib.contextmanager
def visits(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Opens pages in windows; checks at the end that nothing was fetched and nothing complained."""
    with contextlib.ExitStack() as stack:
        heard, fetched, meant = [], [], []

        def opened(to=address, **window):
            meant.append(to.partition("#")[0])
            context = stack.enter_context(contextlib.closing(browser.new_context(**window)))
            page = context.new_page()
            page.on("console", lambda message: heard.append(message.text))
            page.on("pageerror", lambda error: heard.append(str(error)))
            page.on("request", lambda request: fetched.append(request.url))
            page.goto(to)
            return page

        yield opened
        assert heard == []
        assert [url for url in fetched if not url.startswith(("data:", "file:"))] == []
        assert {url.partition("#")[0] for url in fetched if url.startswith("file:")} <= set(meant)


def violations(page: Page, part: str = "html") -> list[tuple[str, str]]:
    """What axe finds on a page or a part of it."""
    found = Axe().run(page, context=part, options=RULES).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in found]
