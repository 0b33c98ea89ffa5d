"""What a command and the process that records for it say to each other, and how."""

from __future__ import annotations

from typing import IO, Any, NamedTuple

from sweep.errors import SweepError

__all__ = ["HURRY", "TICK", "Answer", "Recorded", "receive", "send"]

HURRY = b""
"""The message that no lock shall hold up what is asked: the command was told to end."""

TICK = 0.1
"""Seconds after which each side looks whether the other one still wants something."""


class Answer(NamedTuple):
    """What the other process says: a sentence, or the end of a request.

    Attributes
    ----------
    number
        The request's; None for a sentence, and for what failed without having been asked for.
    """

    number: int | None
    value: Any = None
    error: SweepError | None = None
    trouble: str | None = None
    sentence: str | None = None


class Recorded(NamedTuple):
    """What became of the end of a run.

    Attributes
    ----------
    key
        The run's, as its `start` gave it.
    run_id
        Empty where it is not known yet, None where the result waits on disk.
    gone
        Why the result was not stored, in one sentence: the run was deleted meanwhile.
    """

    key: int
    run_id: str | None
    gone: str | None = None


def send(stream: IO[bytes], body: bytes) -> None:
    stream.write(len(body).to_bytes(8, "big") + body)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """Return the next message; None at the end of the stream."""
    head = stream.read(8)
    size = int.from_bytes(head, "big")
    body = stream.read(size) if size else HURRY
    return body if len(head) == 8 and len(body) == size else None
