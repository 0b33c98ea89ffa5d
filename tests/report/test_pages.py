"""The page: one file, whole, escaped, and readable for a screen reader."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from sweep.report.build import build_report
from sweep.report.formats import table_of
from sweep.report.pages import Page, Section, escaped, markdown
from tests.report import stored

VOID = {"meta", "img", "input", "circle"}
HOSTILE = [
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    r"$\frac{1}$",
    "=1+cmd",
    "a\x00b\x1b[31m",
    "\ud800",
]
RUNS = "http://127.0.0.1:5000/#/experiments/1/runs/"


class Tree(HTMLParser):
    """Every element of a page with its attributes and text; fails where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        element = (tag, dict(attrs), [])
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element[2].append(data)

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(a, "".join(texts)) for name, a, texts in self.elements if name == tag]


def built(folder: Path, axes: dict[str, list[object]], **options: str) -> Path:
    """Return the folder of the report of a grid."""
    sweep, runs = stored.grid(folder / "store", axes)
    return build_report(sweep, runs, folder / "report", command_ui="mlflow ui", **options).folder


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"run_pages": RUNS, "store_arguments": "outputs=x"}
    return built(tmp_path_factory.mktemp("page"), stored.DEFAULT, **options)


@pytest.fixture(scope="module")
def text(report: Path) -> str:
    return (report / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def md(report: Path) -> str:
    return (report / "report.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tree(text: str) -> Tree:
    return Tree(text)


def test_page_loads_nothing(text: str, tree: Tree) -> None:
    for name, attributes, _ in tree.elements:
        for key in ("src", "srcset", "poster", "data", "action", "background"):
            assert (attributes.get(key) or "data:").startswith("data:"), name
        assert name not in {"link", "iframe", "object", "embed", "base", "form"}
    assert "url(" not in text and "@import" not in text
    assert len(text) < 300_000
    assert repr(float(stored.decay(0.05, 100)[-1])) in text, "numbers are exact"


def test_page_allows_its_own_script_and_style_alone(tree: Tree) -> None:
    (policy,) = [a["content"] for a, _ in tree.all("meta") if "http-equiv" in a]
    assert policy is not None and policy.startswith("default-src 'none'")
    for kind in ("script", "style"):
        ((_, content),) = tree.all(kind)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert not [a for _, a, _ in tree.elements if "style" in a]
    assert not [name for _, a, _ in tree.elements for name in a if name.startswith("on")]


def test_page_says_what_it_is_for_every_reader(tree: Tree) -> None:
    ((html, _),) = tree.all("html")
    assert html["lang"] == "en"
    assert tree.all("p")[0][1].startswith("Best of 12 runs: lr=1.0")
    assert len(tree.all("h1")) == len(tree.all("main")) == 1
    assert all(a["alt"] and len(a["alt"]) > 40 for a, _ in tree.all("img"))
    assert all(a.get("scope") == "col" for a, _ in tree.all("th"))
    ids = [a["id"] for _, a, _ in tree.elements if "id" in a]
    assert len(ids) == len(set(ids))
    targets = [a["href"][1:] for a, _ in tree.all("a") if (a["href"] or "").startswith("#")]
    assert set(targets) <= set(ids)
    for attributes, _ in tree.all("div"):
        if "scroll" in (attributes.get("class") or ""):
            assert attributes["tabindex"] == "0" and attributes["aria-label"]
    assert any("viewport" in (a.get("name") or "") for a, _ in tree.all("meta"))


def test_page_links_each_run_to_mlflow(tree: Tree) -> None:
    links = [a["href"] for a, _ in tree.all("a") if (a["href"] or "").startswith(RUNS)]
    assert links == [f"{RUNS}{i:032x}" for i in range(12)]


def test_page_shows_every_key_and_metric_of_every_run(tmp_path: Path) -> None:
    axes = {"lr": [0.1], "iters": [10], "network.layers": [[4, 3, 2]], "seed": [1, 2]}
    plan = stored.cells(axes)
    extra = {"accuracy": 0.25, "final_validation_error": 0.5}
    runs = [stored.stored_run(tmp_path / "s", cell, metrics=extra) for cell in plan]
    sweep = stored.stored_sweep(tmp_path / "s", plan)
    build_report(sweep, runs, tmp_path / "report", command_ui="mlflow ui")
    tree = Tree((tmp_path / "report" / "index.html").read_text(encoding="utf-8"))
    shown = {a["data-key"] for a, _ in tree.all("th") if "data-key" in a}
    assert set(axes) <= shown
    metrics = {name for run in runs for name in run.metrics if not name.startswith("weights/")}
    assert metrics <= shown


def test_page_shows_the_title_of_a_picture_once(tree: Tree) -> None:
    heads = {text: a.get("class") for a, text in tree.all("h2")}
    assert heads["Error while training"] == "unseen", "the picture itself has it"
    assert heads["All runs"] is None


def test_page_links_to_web_addresses_alone(tmp_path: Path) -> None:
    folder = built(tmp_path, {"lr": [0.1], "iters": [1]}, run_pages="javascript:alert(1)//")
    tree = Tree((folder / "index.html").read_text(encoding="utf-8"))
    assert {(a["href"] or "")[:1] for a, _ in tree.all("a")} == {"#"}


MARKDOWN = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    r"$\frac{1}$",
    "a|b",
    "a\nb\r\n\r\n# c",
    "[x](javascript:alert(1))",
    "**bold** _it_ `code`",
    "http://evil.example www.evil.example a@evil.example",
]


def test_pages_hold_any_text(tmp_path: Path) -> None:
    names = [*HOSTILE[:-1], *MARKDOWN[1:2], *MARKDOWN[3:]]
    sweep, runs = stored.grid(tmp_path / "store", {"lr": [1.0], "iters": [2], "network": names})
    runs = [replace(run, name=name) for run, name in zip(runs, names, strict=True)]
    runs[0].tags["sweep.versions"] = HOSTILE[0]
    address = "https://x.example/?a='\"<b>"
    sweep, folder = replace(sweep, tags={"sweep.id": HOSTILE[1]}), tmp_path / "report"
    build_report(sweep, runs, folder, command_ui=HOSTILE[2], run_pages=address)
    text = (folder / "index.html").read_text(encoding="utf-8")
    tree = Tree(text)
    assert len(tree.all("script")) == len(tree.all("style")) == 1
    attributes = {name for _, a, _ in tree.elements for name in a}
    assert not {"onmouseover", "onfocus", "autofocus"} & attributes
    assert not re.search(r"[\x00-\x08\x1b]", text)
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "<script" not in text and "<img" not in text and "javascript:alert(1)](" not in text
    for title in ("## Final error", "## Iterations needed"):
        part = text.split(title)[1].split("\n\n")[1]
        assert len({line.count("|") for line in part.splitlines()}) == 1, "no cell broke its row"


@pytest.mark.parametrize("text", MARKDOWN)
def test_escaped_leaves_no_markdown(text: str) -> None:
    shown = escaped(text)
    assert "\n" not in shown and "\r" not in shown
    for sign in ("<", ">", "|", "$", "`", "@", "://", "www."):
        assert sign not in shown
    for sign in "*_[]":
        assert shown.replace("\\" + sign, "").count(sign) == 0


def test_escaped_leaves_the_answer_readable() -> None:
    text = "Best of 12 runs: lr=1.0, final error 1.2e-31 (√E = 3.4e-16)."
    assert escaped(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# Big", "\\# Big"),
        ("- a", "\\- a"),
        ("---", "\\---"),
        ("1. a", "1\\. a"),
        ("-1.5 is #1", "-1.5 is #1"),
    ],
)
def test_start_of_a_text_is_no_heading_list_or_line(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("python -m sweep -m lr=0.1,1", "`python -m sweep -m lr=0.1,1`"),
        ("a\nb", "`a b`"),
        ("a`b", "a&#96;b"),
        ("<b>", "&#60;b&#62;"),
    ],
)
def test_command_is_code_where_that_is_safe(text: str, shown: str) -> None:
    page = Page("t", "a", (Section("x", "y", entries={"run": text}, code=True),))
    assert f"- run: {shown}\n" in markdown(page)


def test_table_in_markdown_has_a_line_a_row() -> None:
    table = table_of("t", pd.DataFrame({"a": ["1"] * 2, "b": ["x|y"] * 2}), "n", [(0, 0)], ["b"])
    lines = markdown(Page("t", "a", (Section("x", "y", table=table),))).splitlines()
    at = lines.index("| a | b |")
    assert lines[at + 1 : at + 4] == ["|---:|---|", "| **1** | x&#124;y |", "| 1 | x&#124;y |"]
    assert lines[at + 5] == "n"


def test_markdown_begins_with_the_answer_and_holds_all_tables(md: str) -> None:
    lines = md.splitlines()
    assert lines[0].startswith("Best of 12 runs: lr=1.0, 1000 iterations, final error 5.988e-07")
    for title in ("## Final error E", "## Iterations needed", "## Best run for each budget"):
        assert any(line.startswith(title) for line in lines)
    assert "- the sweep again: `python -m sweep -m lr=0.01,0.05`" in lines
    assert any(line.startswith("![") and line.endswith("(error_curves.png)") for line in lines)


def test_what_to_run_next_is_in_the_order_of_use(md: str) -> None:
    words = "sweep=20250101-120000-abcd outputs=x"
    commands = [f"sweep.report {words}", f"sweep.ui {words}", f"sweep.verify {words}", "mlflow ui"]
    places = [md.index(command) for command in commands]
    assert places == sorted(places)


def test_note_is_short_and_begins_with_the_answer(tmp_path: Path) -> None:
    axes = {"lr": [round(0.001 * i, 3) for i in range(1, 25)], "iters": [1]}
    sweep, runs = stored.grid(tmp_path / "store", axes)
    report = build_report(sweep, runs, tmp_path / "report", command_ui="mlflow ui")
    assert report.note.splitlines()[0] == report.headline
    assert "… and 4 rows more." in report.note and len(report.note) < 5000
    assert "Time and cost" not in report.note and "![" not in report.note
