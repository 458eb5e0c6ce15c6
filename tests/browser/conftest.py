"""A server of the built site on loopback, and a browser that reports what goes wrong on a page."""

from __future__ import annotations

import contextlib
import functools
import gzip
import http
import http.server
import io
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

HTML = Path(__file__).parents[2] / "docs" / "_build" / "html"
AXE = Path(os.environ.get("AXE", "axe.min.js"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = {"phone": (390, 844), "desktop": (1280, 900)}
TEXT = (".html", ".css", ".js", ".json", ".svg", ".txt", ".py", ".ipynb")


@functools.cache
def compressed(path: Path, changed: int) -> bytes:
    """A file's text, compressed once."""
    del changed
    return gzip.compress(path.read_bytes(), 6)


class Host(http.server.SimpleHTTPRequestHandler):
    """Serves files as hosts of pages do: kept connections, text compressed, files kept for some minutes; no log."""

    protocol_version = "HTTP/1.1"

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        """Send text compressed, and everything else as it lies there."""
        path = Path(self.translate_path(self.path))
        if not path.is_file() or path.suffix not in TEXT or "gzip" not in self.headers.get("Accept-Encoding", ""):
            return super().send_head()
        body = compressed(path, path.stat().st_mtime_ns)
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)

    def end_headers(self) -> None:
        """Let files be kept."""
        self.send_header("Cache-Control", "max-age=600")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """Answer; a tab that closed meanwhile is no fault."""
        with contextlib.suppress(ConnectionError):
            super().handle()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder; give its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Host, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the site is served."""
    with served(HTML) as found:
        yield found


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
