"""Markdown that shows any text as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.report.content import content_of
from sweep.report.facts import facts_of
from sweep.report.markdown import code, escaped, markdown, note, table_lines
from sweep.report.tables import Table
from tests.report import stored

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    r"$\frac{1}$",
    "a|b",
    "a\nb\r\n\r\n# c",
    "[x](javascript:alert(1))",
    "**bold** _it_ `code`",
    "http://evil.example www.evil.example a@evil.example",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_leaves_no_markup(text: str) -> None:
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
        ("python -m sweep -m lr=0.1,1", "`python -m sweep -m lr=0.1,1`"),
        ("a\nb", "`a b`"),
        ("a`b", "a&#96;b"),
        ("<b>", "&#60;b&#62;"),
        ("", ""),
    ],
)
def test_code_is_code_where_that_is_safe(text: str, shown: str) -> None:
    assert code(text) == shown


def test_table_lines_say_what_is_left_out() -> None:
    table = Table("t", ("a", "b"), (("1", "x|y"),) * 5, (True, False), marked=frozenset({(0, 0)}))
    lines = table_lines(table, 2)
    assert lines[:3] == ["| a | b |", "|---:|---|", "| **1** | x&#124;y |"]
    assert lines[-1] == "… and 3 rows more."
    assert len(table_lines(table)) == 7


def test_report_begins_with_the_answer_and_holds_all_tables(tmp_path: Path) -> None:
    facts = facts_of(*stored.grid(tmp_path, stored.DEFAULT))
    text = markdown(content_of(facts, "mlflow ui --port 5000", {}))
    lines = text.splitlines()
    assert lines[0].startswith("Best of 12 runs: lr=1.0, 1000 iterations, final error 5.988e-07")
    for title in ("## Final error E", "## Iterations needed", "## Best run for each budget"):
        assert any(line.startswith(title) for line in lines)
    assert "- command: `python -m sweep -m lr=0.01,0.05`" in lines
    assert "- MLflow UI: `mlflow ui --port 5000`" in lines
    assert "![" in text and "(error_curves.png)" in text


def test_report_with_hostile_names(tmp_path: Path) -> None:
    facts = facts_of(*stored.grid(tmp_path, {"lr": [0.1], "iters": [1], "network": HOSTILE}))
    text = markdown(content_of(facts, "mlflow ui", {"bad": "javascript:alert(1)"}))
    assert "<script" not in text and "<img" not in text and "javascript:alert(1)](" not in text
    columns = {line.count("|") for line in text.splitlines() if line.startswith("| 0.1 |")}
    assert columns == {4, 5}  # final errors and thresholds: no cell broke its row


def test_note_is_short_and_begins_with_the_answer(tmp_path: Path) -> None:
    axes = {"lr": [0.001 * i for i in range(1, 60)], "iters": [1, 10]}
    sweep, runs = stored.grid(tmp_path, axes)
    content = content_of(facts_of(sweep, runs), "mlflow ui", {})
    text = note(content)
    assert text.splitlines()[0] == content.answer
    assert "… and 39 rows more." in text and len(text) < 5000
