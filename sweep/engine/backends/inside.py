"""What runs inside a worker process: works, one after another, as they come over a socket.

The process leads a process group of its own: Ctrl-C in the terminal reaches the driver
alone, which decides; and one kill reaches the worker with all that it started. The end of
the socket says that the driver is gone, whatever killed it, and the group kills itself.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from sweep.engine.backends.seam import Stop, WorkError, carry_out, limit_blas

__all__ = ["END", "STOP", "last_line", "serve"]

STOP, END = b"stop", b"end"
"""What the driver sends beside pickled works, none of which begins like these."""

Inbox = queue.SimpleQueue[bytes | None]


def serve(connection: Connection[Any, Any]) -> None:
    """Carry out the works that come, until END; the target of a worker process."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inbox: Inbox = queue.SimpleQueue()
    stopping = threading.Event()
    listener = threading.Thread(target=listen, args=(connection, inbox, stopping), daemon=True)
    listener.start()
    sender = Sender(connection)
    while (payload := inbox.get()) is not None:
        error, text = work_on(payload, sender, stopping.is_set)
        del payload
        sender.end(error, text)


def listen(connection: Connection[Any, Any], inbox: Inbox, stopping: threading.Event) -> None:
    """Take what the driver sends; once it is dead, kill this process and its children."""
    try:
        while True:
            message = connection.recv_bytes()
            if message in (STOP, END):
                stopping.set()
            if message != STOP:
                inbox.put(None if message == END else message)
    except (EOFError, OSError):
        os.killpg(0, signal.SIGKILL)


def work_on(payload: bytes, sender: Sender, stop: Stop) -> tuple[BaseException | None, str | None]:
    """Unpickle a work and carry it out; failing to unpickle is an error of the work."""

    def unpickled(emit: Any, stop: Stop) -> None:
        work = cloudpickle.loads(payload)
        limit_blas()  # what was loaded only now to unpickle it
        work(emit, stop)

    error, text = carry_out(unpickled, sender.emit, stop)
    with suppress(OSError, ValueError):  # nobody reads any more, or the work closed it
        sys.stdout.flush()
    return error, text


class Sender:
    """Sends (pickled value, is it the end?, traceback); works may emit from several threads."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def emit(self, value: object) -> None:
        """Send a value; waits while the driver is busy.

        Raises
        ------
        WorkError
            The value cannot be pickled.
        """
        try:
            body = cloudpickle.dumps(value)
        except Exception as error:
            raise WorkError(
                f"The work emitted a {type(value).__name__}, which cannot be sent from a "
                f"worker process ({error})."
            ) from error
        self._send(body, False, None)

    def end(self, error: BaseException | None, text: str | None) -> None:
        """Send the end of a work, and in place of an error that cannot be pickled its words."""
        try:
            body = cloudpickle.dumps(error)
        except Exception:
            body = cloudpickle.dumps(WorkError(last_line(text)))
        self._send(body, True, text)

    def _send(self, body: bytes, ended: bool, text: str | None) -> None:
        with self._lock:
            self._connection.send((body, ended, text))


def last_line(text: str | None) -> str:
    """Return the last line of a traceback, which names the error."""
    return (text or "").strip().rpartition("\n")[2]
