"""The page: one file, whole, escaped, and readable for a screen reader."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sweep.report.build import build_report
from sweep.report.markup import Markup, raw, tag
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


def built(folder: Path, axes: dict[str, list[object]], **options: object) -> str:
    sweep, runs = stored.grid(folder / "store", axes)
    build_report(sweep, runs, folder / "report", command_ui="mlflow ui", **options)  # type: ignore[arg-type]
    return (folder / "report" / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    links = {"runs": RUNS, "charts": "http://127.0.0.1:5000/#/x", "no": "javascript:alert(1)"}
    return built(tmp_path_factory.mktemp("page"), stored.DEFAULT, links=links)


@pytest.fixture(scope="module")
def tree(text: str) -> Tree:
    return Tree(text)


def test_page_loads_nothing(text: str, tree: Tree) -> None:
    for name, attributes, _ in tree.elements:
        for key in ("src", "srcset", "poster", "data", "action", "background"):
            assert (attributes.get(key) or "data:").startswith("data:"), name
        assert name not in {"link", "iframe", "object", "embed", "base", "form"}
    assert "url(" not in text and "@import" not in text


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


def test_page_begins_with_the_answer(tree: Tree) -> None:
    words = [text for _, text in tree.all("p")]
    assert words[0].startswith("Best of 12 runs: lr=1.0")


def test_page_links_each_run_to_mlflow(tree: Tree) -> None:
    links = [a["href"] for a, _ in tree.all("a") if (a["href"] or "").startswith(RUNS)]
    assert links == [f"{RUNS}{i:032x}" for i in range(12)]
    assert "http://127.0.0.1:5000/#/x" in [a["href"] for a, _ in tree.all("a")]


def test_page_takes_web_addresses_alone(text: str) -> None:
    assert "javascript:" not in text


def test_page_heads_of_the_run_table_are_buttons(tree: Tree) -> None:
    heads = [a for a, _ in tree.all("th") if "data-key" in a]
    assert [a["data-key"] for a in heads][:4] == ["run", "lr", "iters", "final_error"]
    buttons = [text for a, text in tree.all("button") if a.get("type") == "button"]
    assert len(buttons) == len(heads) + 1  # and "show all"


def test_page_holds_exact_numbers(text: str) -> None:
    assert repr(float(stored.decay(0.05, 100)[-1])) in text


def test_page_is_small(text: str) -> None:
    assert len(text) < 300_000


def test_page_without_links_has_none(tmp_path: Path) -> None:
    tree = Tree(built(tmp_path, {"lr": [0.1], "iters": [1]}))
    assert {(a["href"] or "")[:1] for a, _ in tree.all("a")} == {"#"}


def test_page_holds_any_text(tmp_path: Path) -> None:
    sweep, runs = stored.grid(
        tmp_path / "store", {"lr": [0.1], "iters": [1], "network": HOSTILE[:-1]}
    )
    runs = [replace(run, name=name) for run, name in zip(runs, HOSTILE, strict=False)]
    runs[0].tags["sweep.versions"] = HOSTILE[0]
    build_report(
        replace(sweep, sweep_id=HOSTILE[1]),
        runs,
        tmp_path / "report",
        command_ui=HOSTILE[2],
        links={HOSTILE[0]: "https://x.example/?a='\"<b>"},
    )
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    tree = Tree(text)
    assert len(tree.all("script")) == len(tree.all("style")) == 1
    names = {name for _, a, _ in tree.elements for name in a}
    assert not {"onmouseover", "onfocus", "autofocus"} & names
    assert not re.search(r"[\x00-\x08\x1b]", text)


def test_tag_escapes_all_but_markup() -> None:
    assert tag("b", "<i>", raw("<i>")) == "<b>&lt;i><i></b>".replace("&lt;i>", "&lt;i&gt;")
    assert tag("a", href='"<', hidden=True, title=None) == '<a href="&quot;&lt;" hidden></a>'
    assert tag("img", alt="x") == '<img alt="x">'
    assert isinstance(tag("b"), Markup)
