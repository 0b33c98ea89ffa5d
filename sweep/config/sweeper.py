"""Models of what a sweep can say beside its runs: its grid and its budget; see `config.models`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sweep.config.models import Positive, Whole

__all__ = ["Budget", "Sweeper"]


class Sweeper(BaseModel):
    """What ``hydra.sweeper`` can say; the axes and points in it are read where they are parsed."""

    model_config = ConfigDict(strict=True, extra="ignore")

    max_batch_size: int | None = Field(None, ge=1, description="give a whole number above 0")
    params: dict[str, Any] | None = Field(None, description="give a mapping, as {lr: '0.1,0.2'}")
    points: Any = None
    skip: str | list[str] = Field(
        [], description="give a list of conditions, as ['lr > 1 and iters > 1000']"
    )
    misfits: Literal["refuse", "skip"] = Field("refuse", description="use refuse or skip")
    samples: Whole | None = Field(None, ge=1, description="give a whole number above 0")

    @property
    def conditions(self) -> list[str]:
        """Return the conditions that leave points out."""
        return [self.skip] if isinstance(self.skip, str) else self.skip


class Budget(BaseModel):
    """The group `budget`: what a whole sweep may take."""

    model_config = ConfigDict(strict=True, extra="forbid")

    seconds: Positive | None = Field(
        None, description="give a finite number of seconds above 0, or null for no limit"
    )
    runs: Whole | None = Field(
        None, ge=1, description="give a whole number of at least 1, or null for no limit"
    )
