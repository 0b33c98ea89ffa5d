"""The printed links show what they promise: every run, the right charts, the right columns."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from sweep.report.colours import colour_scale
from tests.browser.conftest import PATIENCE, Served, Swept, Visit, links_of

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

RATES = (0.01, 0.05, 1.0)
COUNTS = (1, 1000, 10000, 100000)
RUNS = {f"lr={lr},iters={iters}" for lr in RATES for iters in COUNTS}


@pytest.fixture(scope="module")
def compared(shared: Visit, served: Served) -> Page:
    """Return the page of the printed link, once its runs are listed."""
    page = shared.go(served.links["compare"])
    page.get_by_text("12 matching runs").wait_for()
    return page


def drawn(page: Page, title: str, part: str) -> Locator:
    """Return a part of the chart of this title, scrolled to: the page draws what is in view."""
    cards = page.locator("[data-testid='experiment-view-compare-runs-card']")
    card = cards.filter(has=page.locator(f"*:not(text):text-is('{title}')")).first
    until = time.monotonic() + PATIENCE / 1000
    page.mouse.move(900, 700)
    page.mouse.wheel(0, -10_000)
    while time.monotonic() < until and not card.locator(part).count():
        if card.count():
            card.scroll_into_view_if_needed()
        else:
            page.mouse.wheel(0, 300)
        page.wait_for_timeout(200)
    card.locator(part).first.wait_for(state="attached")
    card.scroll_into_view_if_needed()
    page.mouse.move(5, 5)
    page.wait_for_timeout(1000)  # more of them may come
    return card.locator(part)


def texts(found: Locator) -> list[str]:
    return [text.strip() for text in found.all_text_contents()]


def run_names(page: Page) -> set[str]:
    """Return the names in the list of runs once it is filled."""
    page.locator("[role=row] a").first.wait_for()
    return set(texts(page.locator("[role=row] a")))


def strokes(page: Page) -> list[str]:
    """Return the colours of the error curves; MLflow draws each once more, faint."""
    return drawn(page, "error", ".scatterlayer path.js-line").evaluate_all(
        "lines => lines.map(line => getComputedStyle(line))"
        ".filter(style => Number(style.strokeOpacity) > 0.5).map(style => style.stroke)"
    )


def test_link_shows_the_twelve_runs_by_name(compared: Page, shared: Visit, swept: Swept) -> None:
    assert run_names(compared) == RUNS
    assert compared.get_by_text(f"sweep {swept.id}").first.is_visible()
    drawn(compared, "error", ".scatterlayer .trace")
    shared.save("compare")


def test_sections_have_names_and_nothing_else_is_drawn(compared: Page) -> None:
    for name in ("Error by iteration", "Final error, log10", "Settings and result"):
        compared.get_by_text(name).first.wait_for()
    assert not compared.get_by_text("weights/w1").count()
    assert not compared.get_by_text("Model metrics").count()


def test_curves_are_twelve_lines_on_logarithmic_axes(compared: Page) -> None:
    assert len(strokes(compared)) == 12
    ticks = drawn(compared, "error", ".xtick text")
    places = {tick.text_content(): tick.bounding_box() for tick in ticks.all()}
    decades = [places[label]["x"] for label in ("10", "100", "1000")]
    assert decades[1] - decades[0] == pytest.approx(decades[2] - decades[1], abs=8)
    heights = texts(drawn(compared, "error", ".ytick text"))
    assert "1" in heights
    assert any(re.fullmatch(r"0\.0+1", text) for text in heights), heights


def test_lines_have_the_colours_of_the_reports_pictures(compared: Page) -> None:
    wanted = {
        f"rgb({int(hexa[1:3], 16)}, {int(hexa[3:5], 16)}, {int(hexa[5:], 16)})": 4
        for hexa in colour_scale(RATES).values()
    }
    assert Counter(strokes(compared)) == wanted


def test_final_errors_are_twelve_bars(compared: Page, shared: Visit) -> None:
    bars = drawn(compared, "final_error_log10", ".barlayer .point")
    assert bars.count() == 12
    widths = sorted(bar.bounding_box()["width"] for bar in bars.all())
    assert widths[-1] > 10 * widths[0], "orders of magnitude can be told apart"
    shared.save("final-errors")


def test_parallel_coordinates_have_the_swept_axes(compared: Page, shared: Visit) -> None:
    names = texts(drawn(compared, "Parallel Coordinates", "svg text"))
    assert {"lr", "iters", "final_error_log10"} <= set(names)
    shared.save("parallel-coordinates")


def test_columns_are_arranged(visit: Visit, served: Served, swept: Swept) -> None:
    link = served.links["compare"].replace("compareRunsMode=CHART", "compareRunsMode=TABLE")
    page = visit.go(link)
    page.get_by_text("12 matching runs").wait_for()
    head = page.locator("[role=columnheader]")
    page.get_by_role("columnheader", name="final_error", exact=True).first.wait_for()
    placed = {}
    for column in head.all():
        box, text = column.bounding_box(), (column.text_content() or "").strip()
        if box and text:
            placed[text] = box["x"]
    order = [name for name, _ in sorted(placed.items(), key=lambda item: item[1])]
    wanted = ["lr", "iters", "sweep.outcome", "final_error", "final_error_log10", "best_error"]
    assert [name for name in order if name in wanted] == wanted
    assert not {"Dataset", "Source", "Models"} & set(order)
    cell = page.get_by_text(repr(min(swept.final_errors())), exact=True).first
    cell.wait_for()
    cut = cell.evaluate("cell => cell.scrollWidth > cell.clientWidth")
    assert not cut, "the exponent is seen"
    visit.save("columns")


def test_weights_have_a_view_of_their_own(visit: Visit, served: Served) -> None:
    page = visit.go(served.links["weights"])
    page.get_by_text("Weights after training, all runs").first.wait_for()
    names = set(texts(drawn(page, "Parallel Coordinates", "svg text")))
    assert {*(f"weights/w{n}" for n in range(1, 19)), "weights/b2"} <= names
    assert "weights/b1" not in names, "the notebook's rule never moves it"
    assert run_names(page) == RUNS
    visit.save("weights")
    for name in ("weights/w14", "weights/b1"):
        assert drawn(page, name, ".barlayer .point").count() == 12


def test_all_sweeps_compares_parents(visit: Visit, served: Served, swept: Swept) -> None:
    page = visit.go(served.links["all sweeps"])
    page.get_by_text("1 matching run").wait_for()
    assert run_names(page) == {swept.id}
    assert drawn(page, "best_final_error_log10", ".barlayer .point").count() == 1
    visit.save("all-sweeps")


def test_views_are_in_the_menu_by_name(compared: Page, shared: Visit, swept: Swept) -> None:
    compared.get_by_role("button", name=f"sweep {swept.id}").click()
    for name in (f"sweep {swept.id}", f"sweep {swept.id}: weights", "all sweeps"):
        compared.get_by_role("menu").get_by_text(name, exact=True).first.wait_for()
    shared.save("views-menu")
    compared.keyboard.press("Escape")


def test_no_printed_link_is_the_default_landing(visit: Visit, served: Served) -> None:
    for link in served.links.values():
        page = visit.go(link)
        page.get_by_text("Model training").first.wait_for()
        page.wait_for_timeout(500)
        assert "genai" not in page.url
        assert not re.search(r"/(traces|overview)", page.url), page.url


def test_plain_comparison_needs_no_view(visit: Visit, served: Served) -> None:
    page = visit.go(served.links["plain"])
    page.get_by_text(re.compile("Comparing 12 Runs")).first.wait_for()
    visit.save("plain-comparison")


def test_links_are_the_ones_that_a_person_needs(served: Served) -> None:
    wanted = ["compare", "weights", "best run", "report", "all sweeps", "plain"]
    assert list(links_of(served.text)) == wanted
