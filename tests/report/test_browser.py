"""The page in a real browser: sorting, filtering, keyboard, phone, dark mode, nothing loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.report.build import build_report
from tests.report import stored

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=document.title='owned'>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser page=1")
    axes = {"lr": [0.01, 0.05, 1.0], "iters": [1, 10, 100, 1000], "network": ["a", HOSTILE]}
    plan = stored.cells(axes)
    runs = [stored.stored_run(folder / "store", cell) for cell in plan[:-1]]
    runs.append(stored.stored_run(folder / "store", plan[-1], outcome="diverged"))
    base = "http://127.0.0.1:5000/#/experiments/1/runs/"
    build_report(
        stored.stored_sweep(folder / "store", plan),
        runs,
        folder / "report",
        command_ui="mlflow ui",
        run_pages=base,
    )
    return folder / "report"


class Opened:
    """A page with everything that it asked for and complained of."""

    def __init__(self, browser: object, folder: Path, **options: object) -> None:
        self.context = browser.new_context(**options)  # type: ignore[attr-defined]
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto((folder / "index.html").as_uri())

    def column(self, key: str) -> list[str]:
        """Return the texts of one column of the rows that are shown."""
        return self.page.evaluate(
            """key => {
                const table = document.getElementById('runs-table');
                const at = [...table.tHead.rows[0].cells].findIndex(c => c.dataset.key === key);
                return [...table.tBodies[0].rows].filter(r => !r.hidden)
                    .map(r => r.cells[at].textContent);
            }""",
            key,
        )


@pytest.fixture
def opened(browser: object, folder: Path) -> Iterator[Opened]:
    page = Opened(browser, folder)
    yield page
    page.context.close()


def test_pictures_are_there_nothing_is_loaded_and_nothing_complains(opened: Opened) -> None:
    widths = opened.page.evaluate("[...document.images].map(i => i.naturalWidth)")
    assert len(widths) == 6 and all(width > 300 for width in widths)
    outside = [url for url in opened.requests if not url.startswith(("file:", "data:"))]
    assert outside == [] and len([u for u in opened.requests if u.startswith("file:")]) == 1
    assert opened.complaints == []
    assert opened.page.title() == "Sweep 20250101-120000-abcd"


def test_click_or_key_sorts_by_number_up_then_down(opened: Opened) -> None:
    button = opened.page.get_by_role("button", name="final_error", exact=True)
    button.click()
    up = [float(text) for text in opened.column("final_error") if text]
    assert up == sorted(up) and len(up) == 23
    assert opened.column("final_error")[-1] == ""  # the diverged run is last either way
    head = opened.page.locator("th[data-key=final_error]")
    assert head.get_attribute("aria-sort") == "ascending"
    button.click()
    down = [float(text) for text in opened.column("final_error") if text]
    assert down == up[::-1] and head.get_attribute("aria-sort") == "descending"
    assert opened.column("final_error")[-1] == ""
    opened.page.get_by_role("button", name="iters", exact=True).click()
    assert opened.page.locator("[aria-sort]").count() == 1, "another column takes the mark"
    assert opened.column("iters") == sorted(opened.column("iters"), key=int)
    opened.page.get_by_role("button", name="lr", exact=True).focus()
    opened.page.keyboard.press("Enter")
    opened.page.keyboard.press("Space")
    assert opened.column("lr") == sorted(opened.column("lr"), key=float, reverse=True)


def test_keyboard_reaches_filter_heads_and_links_in_order(opened: Opened) -> None:
    opened.page.keyboard.press("Tab")
    focused = "document.activeElement.textContent || document.activeElement.id"
    assert opened.page.evaluate(focused) == "Skip to all runs"
    seen = []
    opened.page.locator("#filter").focus()
    for _ in range(6):
        opened.page.keyboard.press("Tab")
        seen.append(opened.page.evaluate("document.activeElement.tagName"))
    assert seen == ["DIV", "BUTTON", "BUTTON", "BUTTON", "BUTTON", "BUTTON"]


FILTERS = {"": 24, "diverged": 1, "lr=0.05": 8, "lr=0.05 iters>10": 4, "iters<=10 network=a": 6}
FILTERS |= {
    "final_error<1e-6": 1,
    "lr=1": 8,
    "lr=0.05,iters=10,": 2,
    "nothing-at-all": 0,
    "<img": 12,
    "[": 0,
}


def test_filter_by_words_and_columns_is_kept_while_sorting(opened: Opened) -> None:
    for words, count in FILTERS.items():
        opened.page.get_by_role("searchbox", name="Filter").fill(words)
        assert len(opened.column("lr")) == count, words
        assert opened.page.get_by_role("status").inner_text().startswith(f"{count} of 24 runs")
    opened.page.get_by_role("searchbox", name="Filter").fill("lr=0.05")
    opened.page.get_by_role("button", name="iters", exact=True).click()
    assert set(opened.column("lr")) == {"0.05"}


def test_hostile_names_are_text(opened: Opened) -> None:
    assert HOSTILE in opened.column("network")
    assert opened.page.title() != "owned"


def test_page_fits_every_width_and_touch_targets_are_large_enough(opened: Opened) -> None:
    for width in (1280, 768, 390, 320):
        opened.page.set_viewport_size({"width": width, "height": 800})
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    heights = opened.page.evaluate(
        "[...document.querySelectorAll('nav a, th button, #filter')]"
        ".map(e => e.getBoundingClientRect().height)"
    )
    assert heights and min(heights) >= 24


CONTRAST = """() => {
    const light = text => {
        const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const paper = e => {
        const own = getComputedStyle(e).backgroundColor;
        return own === 'rgba(0, 0, 0, 0)' && e.parentElement ? paper(e.parentElement) : own;
    };
    const shown = [...document.querySelectorAll('p, td, th, a, button, dt, dd, figcaption, h1')];
    return Math.min(...shown.map(e => {
        const [a, b] = [light(getComputedStyle(e).color), light(paper(e))].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05);
    }));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(browser: object, folder: Path, scheme: str) -> None:
    opened = Opened(browser, folder, color_scheme=scheme)
    paper = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(18, 18, 18)") == (scheme == "dark")
    assert opened.page.evaluate(CONTRAST) >= 4.5
    turned = opened.page.evaluate("getComputedStyle(document.images[0]).filter")
    assert ("invert" in turned) == (scheme == "dark")
    opened.context.close()


def test_page_without_script_shows_every_run(browser: object, folder: Path) -> None:
    opened = Opened(browser, folder, java_script_enabled=False)
    assert opened.page.locator("#runs-table tbody tr:visible").count() == 24
    assert not opened.page.locator("#tools").is_visible()
    opened.context.close()


def test_thousands_of_runs_stay_usable(browser: object, tmp_path: Path) -> None:
    axes = {"lr": [round(0.001 * i, 3) for i in range(1, 301)], "iters": [1, 2, 3, 4, 5]}
    plan = stored.cells(axes)
    runs = [stored.stored_run(tmp_path / "store", cell) for cell in plan]
    build_report(
        stored.stored_sweep(tmp_path / "store", plan), runs, tmp_path, command_ui="mlflow ui"
    )
    opened = Opened(browser, tmp_path)
    assert len(opened.column("lr")) == 100
    assert (
        opened.page.get_by_role("status").inner_text() == "1500 of 1500 runs, the first 100 shown"
    )
    opened.page.get_by_role("button", name="final_error", exact=True).click()
    assert opened.column("iters")[0] == "5" and len(opened.column("lr")) == 100
    opened.page.get_by_role("button", name="Show all").click()
    assert len(opened.column("lr")) == 1500
    assert not opened.page.get_by_role("button", name="Show all").is_visible()
    opened.context.close()
