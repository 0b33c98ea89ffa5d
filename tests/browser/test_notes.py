"""Notes, artifacts and the report, as a person meets them in MLflow's page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Served, Swept, Visit

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def artifact(served: Served, name: str) -> str:
    return served.links["report"].replace("report/index.html", name)


def follow(page: Page, name: str) -> Page:
    """Click a link of a note and return the page that it opens."""
    with page.context.expect_page() as opened:
        page.get_by_role("link", name=name).click()
    return opened.value


def test_parents_note_shows_answer_table_pictures_and_links(
    visit: Visit, served: Served, swept: Swept
) -> None:
    page = visit.go(re.sub(r"/artifacts/[^?]*", "", served.links["report"]))
    page.get_by_text("Best of 12 runs: lr=1.0").first.wait_for()
    assert page.get_by_role("link", name="Compare the runs").is_visible(), "seen without a click"
    page.get_by_text("Show more").first.click()
    table = page.locator("table").filter(has_text="100000")
    for error in swept.final_errors():
        assert table.get_by_text(f"{error:.4g}", exact=True).first.is_visible(), error
    shown = page.locator("img[src*='get-artifact']")
    shown.nth(2).wait_for()
    page.wait_for_function(
        "[...document.querySelectorAll(\"img[src*='get-artifact']\")]"
        ".every(image => image.complete && image.naturalWidth > 300)"
    )
    for picture in shown.all():
        box = picture.bounding_box()
        assert box["x"] + box["width"] <= 1440, "no picture is wider than the page"
    visit.save("note")
    follow(page, "Compare the runs").get_by_text("12 matching runs").wait_for()


def test_experiments_note_says_what_this_is_in_its_first_line(
    visit: Visit, served: Served, swept: Swept
) -> None:
    runs = served.links["compare"].partition("?")[0]
    page = visit.go(f"{runs}?workflowType=machine_learning")
    page.get_by_text("Sweeps of").first.wait_for()
    visit.save("experiment")
    page = follow(page, f"the newest sweep, {swept.id}")
    page.get_by_text("12 matching runs").wait_for()


def test_best_run_opens(visit: Visit, served: Served) -> None:
    page = visit.go(served.links["best run"])
    page.get_by_text("lr=1.0,iters=10000").first.wait_for()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("config.yaml").first.click()
    page.get_by_text("layers:").first.wait_for()
    page.get_by_text("weights.json").first.click()
    page.get_by_text("initial").first.wait_for()
    visit.save("run-artifact")


def test_artifact_picture_opens(visit: Visit, served: Served) -> None:
    page = visit.go(artifact(served, "report/error_curves.png"))
    page.get_by_text("report/error_curves.png").first.wait_for()
    page.wait_for_function("[...document.images].some(image => image.naturalWidth > 300)")
    visit.save("artifact-picture")


def test_artifact_table_opens(visit: Visit, served: Served) -> None:
    page = visit.go(artifact(served, "report/runs.csv"))
    page.get_by_text("lr=0.05,iters=1000", exact=True).first.wait_for()
    visit.save("artifact-table")


def test_report_renders_inside_mlflow(visit: Visit, served: Served, swept: Swept) -> None:
    page = visit.go(served.links["report"])
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name=f"Sweep {swept.id}").wait_for()
    assert frame.locator("#runs-table tbody tr").count() == 12
    font = frame.locator("body").evaluate("body => getComputedStyle(body).fontFamily")
    assert "serif" in font and not font.startswith("Times"), "its own style is in force"
    visit.save("report-inside")
