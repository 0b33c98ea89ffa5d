"""Settings of a command (output folder, tracking, resume, ...); not part of signatures.

Import this module lazily: it loads pydantic.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from sweep.checks import without_password
from sweep.config.models import Finite, Flag, Group, Open, Positive, Whole
from sweep.config.validation import validated

NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}$"
TAG = r"^\w[\w\-]*$"  # no length limit here: pydantic would compile it for 70 ms


def _folder(value: Any) -> Any:
    if not isinstance(value, str) or "\0" in value or not value.strip():
        raise ValueError(value)
    return Path(value)


def _name(value: Any) -> Any:
    """Raise ValueError for reserved words and for names that look like an id."""
    if isinstance(value, str) and re.match(r"(last|none|null)$|\d{8}-\d{6}-", value):
        raise ValueError(value)
    return value


class Tracking(Group):
    """The group `tracking`: the store of a command, SQLite below `outputs` or a server at `uri`."""

    kind: Literal["local", "server"] = Field(description="use local or server")
    experiment: str = Field(
        default="sweep",
        pattern=r"\S",
        max_length=250,
        description="give a name of 1 to 250 characters",
    )
    uri: str | None = Field(
        default=None,
        description="give the server's address and write tracking=server too, or leave it out",
    )
    outputs: Path = Field(
        default=Path(), exclude=True, description="set outputs=FOLDER"
    )  # absolute

    @field_validator("uri")
    @classmethod
    def _of_a_server(cls, uri: str | None, info: ValidationInfo) -> str | None:
        if uri is not None and info.data.get("kind") == "local":
            raise ValueError(uri)
        return uri

    @property
    def database(self) -> Path:
        """The SQLite file of a local store."""
        return self.outputs / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """The folder of a local store's artifacts, with a subfolder for each run id."""
        return self.outputs / "artifacts"

    @property
    def locks(self) -> Path:
        """The folder of lock files."""
        return self.outputs / ".locks"

    @property
    def address(self) -> str:
        """MLflow's tracking URI; empty for a server that is not named."""
        return f"sqlite:///{self.database}" if self.kind == "local" else self.uri or ""

    @property
    def location(self) -> str:
        """The database's path or the server's address without a password, for messages."""
        return str(self.database) if self.kind == "local" else without_password(self.address)

    @property
    def name(self) -> str:
        """The store and its experiment, for messages, without a password."""
        where = "the local store" if self.kind == "local" else self.location.rstrip("/")
        return f"{where}, experiment '{self.experiment}'"


class Budget(Group):
    """The group `budget`: limits for a sweep."""

    seconds: Positive | None = Field(
        None, description="give a finite number of seconds above 0, or null for no limit"
    )
    runs: Whole | None = Field(
        None, ge=1, description="give a whole number of at least 1, or null for no limit"
    )


class Settings(Open):
    """Settings common to all runs of a command; commands that only read have only some.

    None for `metric`, `mode` and `repeats` means those of the sweep's plan, or the default.
    """

    outputs: Annotated[Path, BeforeValidator(_folder)] = Field(
        description="give the path of a folder"
    )
    tracking: Tracking
    name: Annotated[str, Field(pattern=NAME), BeforeValidator(_name)] | None = Field(
        None,
        description="give a name of letters, digits (digits alone in quotes), '.', '_' and '-', "
        "which is no id",
    )
    note: str | None = Field(None, description="give a text")
    tags: (
        dict[Annotated[str, Field(pattern=TAG, max_length=100)], str | int | Finite | bool] | None
    ) = Field(
        None,
        description="give a mapping, as {paper: figure3}; keys have no dot or blank, and numbers "
        "are finite",
    )
    resume: str | None = Field(None, description="give `last`, or a sweep's id or name")
    reuse: Flag = False
    dry_run: Flag = False
    fail_fast: Flag = False
    max_seconds: Positive | None = Field(
        None, description="give a finite number of seconds above 0, or null for no limit"
    )
    budget: Budget = Budget(seconds=None, runs=None)
    model: Literal["best"] | None = Field(None, description="write best, or null for no model")
    metric: str | None = Field(
        None, pattern=r"\S", description="give the name of one of the runs' metrics"
    )
    mode: Literal["min", "max"] | None = Field(None, description="use min or max")
    repeats: Annotated[tuple[str, ...], Field(strict=False)] | None = Field(
        None, description="list the axes, as [seed]"
    )
    parent: str | None = Field(
        None, description="the sweep gives this key to its jobs; leave it out"
    )

    @property
    def about(self) -> dict[str, Any]:
        """The sweep's ``name``, ``note`` and ``tags``, if set."""
        return self.model_dump(include={"name", "note", "tags"}, exclude_none=True)


def settings(config: Mapping[str, Any], cwd: Path) -> Settings:
    """Validate the control keys of a resolved configuration; a relative `outputs` is below `cwd`.

    Raises ConfigError with one message for each mistake.
    """
    found = validated(Settings, config)
    outputs = (cwd / found.outputs).resolve()
    tracking = found.tracking.model_copy(update={"outputs": outputs})
    if tracking.kind == "server" and not tracking.uri:  # read once: training code may set it
        tracking = tracking.model_copy(update={"uri": os.environ.get("MLFLOW_TRACKING_URI")})
    return found.model_copy(update={"outputs": outputs, "tracking": tracking})
