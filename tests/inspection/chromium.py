"""Pages in headless Chromium, with everything that they complain of or ask a network for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]

DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@contextmanager
def opened(path: Path, address: str = "", **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """The page in headless Chromium, and everything that it complains of."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_context(**options).new_page()
        page.set_default_timeout(10_000)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda sent: complaints.extend([sent.url] if sent.url.startswith("http") else []))
        page.goto(path.as_uri() + address)
        page.evaluate(DRAWN)  # what `content-visibility` has not laid out yet has no inner text
        yield page, complaints
        browser.close()


def serious_faults(page: Page) -> list[str]:
    """What axe finds serious or critical on the page as it stands, with the first place of each; frames left out.

    In files that lie in a folder axe cannot talk to a frame; such a frame's file is a page that can be opened itself.
    """
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"iframes": False}).response["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {fault['nodes'][0]['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
