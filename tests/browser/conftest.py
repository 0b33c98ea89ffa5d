"""A finished sweep, served by ``python -m sweep.ui``, and a browser as a person has it."""

from __future__ import annotations

import csv
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.commands import run_here
from tests.processes import ROOT, Ended, finish, start_sweep

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

SCREENSHOTS = ROOT / "tests" / "screenshots"
PATIENCE = 60_000
"""Milliseconds that a test waits for what a person would wait for, on a busy machine too."""

FOREIGN_ERRORS = ("users/current", "ResizeObserver", "404 (Not Found)", "NaN")
"""Console errors of MLflow's own: its server has no users; its coordinates move while they grow."""


class Swept(NamedTuple):
    """A sweep that ended, and the folder that it was begun in."""

    folder: Path
    ended: Ended
    id: str

    @property
    def report(self) -> Path:
        return self.folder / "outputs" / "reports" / self.id

    def final_errors(self) -> list[float]:
        """Return the final errors as the report's table has them, row by row."""
        with (self.report / "final_error.csv").open(newline="") as file:
            return [float(value) for row in list(csv.reader(file))[1:] for value in row[1:]]


class Served(NamedTuple):
    """A running ``python -m sweep.ui``: what it printed until then, and the links by name."""

    process: subprocess.Popen[str]
    text: str
    links: dict[str, str]

    @property
    def address(self) -> str:
        return self.links["compare"].partition("#")[0]


def links_of(text: str) -> dict[str, str]:
    return dict(re.findall(r"^ +([\w ]+): +(http\S+)$", text, re.MULTILINE))


def start_ui(folder: Path, *args: str) -> Served:
    """Start ``python -m sweep.ui`` and return it once it has printed its last line."""
    process = start_sweep(args, folder, module="sweep.ui")
    watch = threading.Timer(120, process.kill)  # a server that never answers fails, not hangs
    watch.start()
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    watch.cancel()
    text = "".join(lines)
    if "Ctrl-C" not in text:
        pytest.fail(f"sweep.ui ended early: {text}{finish(process, 10)}")
    return Served(process, text, links_of(text))


def end_ui(served: Served, signum: signal.Signals = signal.SIGINT) -> Ended:
    """End it as Ctrl-C in its terminal does."""
    served.process.send_signal(signum)
    return finish(served.process, 60)


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Return the default grid, swept in a folder whose path holds a space and a `=`, then moved."""
    first = tmp_path_factory.mktemp("ui") / "first"
    first.mkdir()
    ended = run_here(["-m"], first)
    assert ended.code == 0, ended
    folder = first.parent / "a class" / "lr=all"
    folder.parent.mkdir()
    shutil.move(first, folder)
    (page,) = (folder / "outputs" / "reports").iterdir()
    return Swept(folder, ended, page.name)


@pytest.fixture(scope="session")
def served(swept: Swept) -> Iterator[Served]:
    """Return the moved store of `swept`, served on a free port."""
    running = start_ui(swept.folder, "port=0")
    yield running
    ended = end_ui(running)
    assert ended.code == 128 + signal.SIGINT
    assert re.fullmatch(r"The store was moved: \d+ artifact addresses now .*\n", ended.err)


class Visit:
    """A page with what it asked for and what it complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type == "error" else None,
        )

    def go(self, address: str) -> Page:
        """Open an address as a click on a printed link does."""
        self.page.goto("about:blank")
        self.page.goto(address)
        return self.page

    def save(self, name: str) -> None:
        """Save what a person sees now."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    @property
    def outside(self) -> list[str]:
        """Requests that left this machine."""
        inside = ("http://127.0.0.1:", "data:", "blob:", "file://", "about:")
        return [url for url in self.requests if not url.startswith(inside)]

    @property
    def our_errors(self) -> list[str]:
        """Console errors beside those of MLflow's own page."""
        return [text for text in self.errors if not any(one in text for one in FOREIGN_ERRORS)]


@pytest.fixture(scope="session")
def context(browser: Browser, served: Served) -> Iterator[BrowserContext]:
    """Return a window in which the panel that MLflow opens on the first visit was closed."""
    opened = browser.new_context(viewport={"width": 1440, "height": 1000})
    opened.set_default_timeout(PATIENCE)
    page = opened.new_page()
    page.goto(served.links["compare"])
    page.locator("[data-assistant-ui] [aria-label='Close']").first.click()
    page.close()
    yield opened
    opened.close()


def visited(context: BrowserContext) -> Iterator[Visit]:
    """Yield a new page; nothing that was done in it may have asked for anything outside."""
    page = context.new_page()
    made = Visit(page)
    yield made
    page.close()
    assert made.outside == []
    assert made.our_errors == []


@pytest.fixture
def visit(context: BrowserContext) -> Iterator[Visit]:
    """Return a page of the test's own."""
    yield from visited(context)


@pytest.fixture(scope="module")
def shared(context: BrowserContext) -> Iterator[Visit]:
    """Return a page for tests that look at the same address: loading it takes seconds."""
    yield from visited(context)
