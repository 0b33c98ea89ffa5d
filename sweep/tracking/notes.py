"""What MLflow's page says in words: the note of a sweep, and that of the experiment."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.tracking.texts import short_lines

__all__ = ["EXPERIMENT_NOTE_BEGINS", "NOTE", "experiment_note", "sweep_note"]

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as the description of a run or experiment."""

LONGEST = 7500
"""Characters of a note; MLflow cuts a tag at 8000."""

EXPERIMENT_NOTE_BEGINS = "Sweeps of `python -m sweep`"
"""A note that begins otherwise is the user's own and stays."""

CELL_END, SPACED_END = " |", " &emsp;|"


def sweep_note(text: str, links: Mapping[str, str], pictures: Mapping[str, str]) -> str:
    """Return a sweep's note: the answer, links, tables, pictures.

    Closed, a note shows its first lines alone: so the links stand right after the answer.

    Parameters
    ----------
    text
        Markdown whose first line is the answer; its tables follow, and are cut where the
        whole would become too long.
    links, pictures
        Names to addresses; a picture's name says what it shows.
    """
    answer, _, tables = text.partition("\n")
    head = f"{answer}\n\n{_links(links)}\n\n"
    shown = "".join(f"\n![{name}]({url})\n" for name, url in pictures.items())
    room = LONGEST - len(head) - len(shown)
    return head + short_lines(_spaced(tables.strip("\n")), max(room, 1)) + "\n" + shown


def experiment_note(links: Mapping[str, str]) -> str:
    """Return the experiment's note, whose first line says what this is and where to look."""
    return (
        f"{EXPERIMENT_NOTE_BEGINS}: each is one parent run with the answer, the report and its "
        f"runs below it. Look at {_links(links)}.\n\n"
        "A sweep's runs draw no chart in the list below, because they are nested; its view in the "
        "menu *Views* shows them flat, with error curves on logarithmic axes.\n"
    )


def _links(links: Mapping[str, str]) -> str:
    return " · ".join(f"[{name}]({url})" for name, url in links.items())


def _spaced(text: str) -> str:
    """Return Markdown whose table cells are apart: MLflow's style sheet sets no padding."""
    return "\n".join(_spaced_line(line) for line in text.split("\n"))


def _spaced_line(line: str) -> str:
    return line.replace(CELL_END, SPACED_END) if line.startswith("| ") else line
