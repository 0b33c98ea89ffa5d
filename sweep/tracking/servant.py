"""The process that keeps a ledger for a command; see `apart`."""

from __future__ import annotations

import gc
import os
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from sweep import errors
from sweep.errors import SweepError
from sweep.tracking import holder
from sweep.tracking.ledger import Ledger
from sweep.tracking.messages import HURRY, Answer, receive, send

__all__ = ["serve"]

IDLE = 0.02
"""Seconds without a request after which there is time to create the runs that have begun."""

SOON = 1.0
"""Seconds that the creation of a run may wait for its end, which saves a request."""


def serve(driver: int) -> None:
    """Keep a ledger for the process `driver`, by requests on stdin and answers on stdout."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)  # the command decides
    requests, answers = (os.fdopen(os.dup(number), mode) for number, mode in ((0, "rb"), (1, "wb")))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # whatever a library prints is no answer
    holder.stand_for(driver)
    hurried, waiting, sending = threading.Event(), queue.SimpleQueue[bytes](), threading.Lock()
    loaded, gone = threading.Event(), threading.Event()

    def listen() -> None:
        while (body := receive(requests)) is not None:
            if body == HURRY:
                hurried.set()
            else:
                waiting.put(body)
        if not loaded.is_set():
            os._exit(0)  # nothing was carried out, so there is nothing to keep
        hurried.set()
        gone.set()  # the command has ended, and perhaps not as it should

    def answer(value: Answer) -> None:
        try:
            body = pickle.dumps(value, protocol=5)
        except Exception:
            body = pickle.dumps(Answer(value.number, trouble=traceback.format_exc()), protocol=5)
        with sending, suppress(OSError):  # nobody listens any more: see `gone`
            send(answers, body)

    threading.Thread(target=listen, daemon=True).start()
    ledger = Ledger(lambda sentence: answer(Answer(None, sentence=sentence)), hurried.is_set)
    with suppress(Exception):  # the first request meets it again, and tells
        _load()
    loaded.set()

    def create_begun(after: float) -> None:
        created = _outcome(None, lambda: ledger.create_begun(after))
        if created.error or created.trouble:
            answer(created)

    closed = False
    while not closed:
        try:
            number, method, args, kwargs = pickle.loads(waiting.get(timeout=IDLE))
        except queue.Empty:
            if gone.is_set() or os.getppid() != driver:
                break
            create_begun(0.0)
            continue
        closed = method is Ledger.close
        if gone.is_set() and method not in (Ledger.start, Ledger.record):
            continue  # what was trained is kept, and nothing else done for nobody
        told = _outcome(number, partial(method, ledger, *args, **kwargs))
        # Who hears that a run is stored finds those that train on in the store, unless there
        # is so much to write that they would end meanwhile.
        create_begun(0.0 if told.value is not None and waiting.empty() else SOON)
        answer(told)
    os._exit(0)


def _outcome(number: int | None, call: Callable[[], Any]) -> Answer:
    try:
        return Answer(number, call())
    except SweepError as error:
        # Of a class that the command knows without loading MLflow.
        known = next(cls for cls in type(error).__mro__ if cls.__module__ == errors.__name__)
        return Answer(number, error=known(str(error)))
    except Exception:
        return Answer(number, trouble=traceback.format_exc())


def _load() -> None:
    """Load MLflow, and keep the collector away from what stays for good."""
    gc.disable()
    from sweep.tracking import deliver, leases, pages, parent, tending, write  # noqa: F401

    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()
