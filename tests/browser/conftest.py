"""A server of the built site on loopback, and a browser that reports what goes wrong on a page."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

HTML = Path(__file__).parents[2] / "docs" / "_build" / "html"
AXE = Path(os.environ.get("AXE", "axe.min.js"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = {"phone": (390, 844), "desktop": (1280, 900)}
THEMES = ("light", "dark")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and writes no log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """Answer; a tab that closed meanwhile is no fault."""
        with contextlib.suppress(ConnectionError):
            super().handle()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the site is served."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(HTML)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    if CHROMIUM is None:
        pytest.fail("Chromium must be installed: apt-get install chromium.")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@dataclass
class Visit:
    """A tab with what has gone wrong in it."""

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def open(self, name: str) -> Page:
        """Open a page of the site."""
        self.page.goto(f"{self.address}/{name}.html", wait_until="load")
        return self.page


def tab(context: BrowserContext, address: str) -> Visit:
    """A new tab that watches itself."""
    visit = Visit(context.new_page(), address)

    def asked(request: Request) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            visit.elsewhere.append(request.url)

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            visit.errors.append(message.text)

    visit.page.on("console", said)
    visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
    visit.page.on("request", asked)
    return visit


@pytest.fixture
def desktop(browser: Browser, address: str) -> Iterator[Visit]:
    """A tab on a desk."""
    yield from _visit(browser, address, "desktop")


@pytest.fixture
def phone(browser: Browser, address: str) -> Iterator[Visit]:
    """A tab on a phone."""
    yield from _visit(browser, address, "phone", has_touch=True, is_mobile=True, device_scale_factor=2)


def _visit(browser: Browser, address: str, kind: str, **more: object) -> Iterator[Visit]:
    width, height = WIDTHS[kind]
    context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True, **more)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield tab(context, address)
    context.close()
