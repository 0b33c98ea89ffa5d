"""Every file of a report, named once."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ReportPaths", "write"]


@dataclass(frozen=True)
class ReportPaths:
    """The files below one report's folder."""

    folder: Path

    @property
    def page(self) -> Path:
        """Return the page that stands alone."""
        return self.folder / "index.html"

    @property
    def markdown(self) -> Path:
        """Return the report as Markdown."""
        return self.folder / "report.md"

    @property
    def runs(self) -> Path:
        """Return the table with a row a run."""
        return self.folder / "runs.csv"

    @property
    def final_error(self) -> Path:
        """Return the table of lr and iters."""
        return self.folder / "final_error.csv"

    def picture(self, name: str, kind: str) -> Path:
        """Return a picture's file; `kind` is png or svg."""
        return self.folder / f"{name}.{kind}"


def write(path: Path, content: str | bytes) -> Path:
    """Write a file under a temporary name and move it into place; return `path`."""
    if isinstance(content, str):
        content = content.encode("utf-8", errors="backslashreplace")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
