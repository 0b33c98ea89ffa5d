"""Write the runs of one process to the store: create them, log their curves, finish them.

A run takes three requests: creation, one batch with all values, and status, before which its files
are in place. Every step may be repeated: files are replaced, and points with equal time and value
are stored once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.errors import RunGoneError, StoreBusyError, StoreError, UnreachableError
from sweep.tracking import locks, read, results
from sweep.tracking.entities import (
    NOTE,
    NOTE_LENGTH,
    PARAM,
    Point,
    curves_of,
    entity_name,
    finite_points,
    is_plain_id,
    run_name,
    short,
    short_lines,
)
from sweep.tracking.results import RunRecord
from sweep.tracking.settings import retry
from sweep.training.names import CURVES

if TYPE_CHECKING:
    from sweep.tracking.store import Store, Value
    from sweep.training.curve import CurveSlice

UPLOADS = 4
"""Number of concurrent uploads; faster if the server has several processors."""

PAUSES = (0.0, 0.1, 0.5)
"""Seconds before each probe of a server that did not answer."""

LOCK_SECONDS = 0.5


@dataclass(frozen=True)
class Finished:
    """The outcome of storing a result file."""

    cell: int
    state: str  # stored, waiting (no answer), gone (run deleted), refused, damaged (incomplete)
    run_id: str = ""  # empty unless stored
    problem: str = ""  # why it is not stored, in one sentence; empty while waiting


class RunWriter:
    """Writes the runs of one process.

    Once `stopping` is true, locks are no longer waited for. `pid` is the command's process id.
    """

    store: Store

    def __init__(self, stopping: Callable[[], bool], pid: int) -> None:
        self.stopping, self.pid = stopping, pid
        self._held = ExitStack()
        self._run_lock: str | None = None  # path template, if runs have separate locks
        self._resumed = False  # grid points may have runs of another process
        self._ids: dict[int, str] = {}
        self._asked: set[int] = set()  # cells whose run may exist although the request failed

    def start_run(self, record: RunRecord) -> str | None:
        """Create a run at its start, so that it is visible while it trains; return its id.

        If a server does not answer, it is created when it ends; return None then.
        """
        with suppress(UnreachableError):
            if not self.stopping() and record.cell not in self._ids:
                self._create(record)
        return self._ids.get(record.cell)

    def _create(self, record: RunRecord) -> None:
        again = record.cell in self._asked  # its lock is held then
        self._asked.add(record.cell)
        if self._run_lock is None:
            self._ids[record.cell] = create_run(self.store, record)
            return
        path = self._run_lock.format(cell=record.cell)
        beat = locks.Beat.of(path, self.pid) if again else self._lock(path)
        run_id = create_run(self.store, record, {locks.HEARTBEAT: beat.to_json()})
        self._ids[record.cell] = run_id
        self._keep_beating(run_id, beat)

    def log_curve(self, cell: int, start_time: int, part: CurveSlice) -> None:
        """Log points of a training run's curve; all are written again at the run's end."""
        if cell not in self._ids or self.stopping():
            return
        points = finite_points(curves_of(part.steps, part.errors, part.validation))
        with suppress(StoreError):  # raised again at the end of the run
            self.store.log(self._ids[cell], _values(points, start_time, start_time))

    def finish_runs(self, paths: Sequence[Path]) -> list[Finished]:
        """Store result files, the status of each run last, and remove them.

        Raises StoreError if the disk is full or the database cannot be written; the files stay.
        """
        if self.store.tracking.kind == "local":
            return [self._finish(path) for path in paths]
        with ThreadPoolExecutor(UPLOADS, thread_name_prefix="sweep-upload") as pool:
            return list(pool.map(self._upload, paths))

    def _upload(self, path: Path) -> Finished:
        """Store a result file on a server; ``refused`` if that fails twice while it answers."""
        for _ in range(2):
            one = self._finish(path)
            if one.state != "waiting" or not self._answers():
                return one
        problem = f"The result waits in {path}: {self.store.where} refuses it."
        return replace(one, state="refused", problem=problem)

    def _answers(self) -> bool:
        """Return whether the server answers a small request."""
        store = self.store
        ask = partial(store.client.get_experiment, store.experiment_id)
        for pause in PAUSES:
            if self.stopping():
                break
            time.sleep(pause)
            with suppress(StoreError):
                retry(ask, store.where, lambda sentence: None)
                store.silent_until = 0.0
                return True
        return False

    def _finish(self, path: Path) -> Finished:
        cell, store = int(path.name), self.store
        record = results.read(path)
        if record is None:
            return Finished(cell, "damaged", problem=f"{path} is not complete.")
        run_id, finished = self._ids.get(cell), False
        try:
            if run_id is None and (self._resumed or cell in self._asked):
                run_id, finished = find_run(store, record)
            if run_id is not None and finished:
                results.remove(path)
                return Finished(cell, "stored", run_id)
            if not (path / results.FILES).is_dir():  # stored already, or lost
                if run_id is None or not store.artifacts.is_whole(run_id):
                    return Finished(cell, "damaged", problem=f"{path} has no files.")
            if run_id is None and self._run_lock is not None:
                self._create(record)  # a run without heartbeat would stay open after a crash
                run_id = self._ids[cell]
            self._asked.add(cell)
            run_id = store_result(store, path, record, run_id)
        except UnreachableError:
            return Finished(cell, "waiting")
        except RunGoneError as error:
            self._ids.pop(cell, None)
            return Finished(cell, "gone", problem=str(error))
        except StoreBusyError:
            raise
        except StoreError as error:
            if store.tracking.kind == "local":
                raise  # disk or database: the next run would fail as well
            problem = f"The result of run {record.name} waits in {path}: {error}"
            return Finished(cell, "refused", problem=problem)
        return Finished(cell, "stored", run_id)

    def _lock(self, path: str) -> locks.Beat:
        """Hold a lock, relative to the folder of outputs, until `close`; return its heartbeat."""
        file = self.store.tracking.outputs / path
        if (lock := locks.acquire(file, LOCK_SECONDS)) is None:
            sweep_id = path.split("/")[1]
            raise busy(sweep_id, locks.Beat.read(read.find_sweep(self.store, sweep_id).tags))
        self._held.callback(locks.release, lock, file)
        return locks.Beat.of(path, self.pid)

    def _keep_beating(self, run_id: str, beat: locks.Beat) -> None:
        """Renew a run's heartbeat on a server; in a local store the lock itself is checked."""
        if self.store.tracking.kind == "local":
            return
        ended, store = threading.Event(), self.store

        def renew() -> None:
            while not ended.wait(locks.BEAT):
                with suppress(StoreError):  # raised again by the next result
                    store.call(store.client.set_tag, run_id, locks.HEARTBEAT, beat.to_json())

        threading.Thread(target=renew, name="sweep-heartbeat", daemon=True).start()
        self._held.callback(ended.set)


def busy(sweep_id: str, beat: locks.Beat | None) -> StoreBusyError:
    who = beat.name if beat is not None else "another process"
    return StoreBusyError(
        f"Sweep {sweep_id} is held by {who}; wait until it is done, or end that process."
    )


def create_run(store: Store, record: RunRecord, more: Mapping[str, str] = {}) -> str:
    """Create a run with status RUNNING and return its id; `more` are further tags."""
    tags, create = _valid({**record.tags, **more}), store.client.create_run
    run = store.call(create, store.experiment_id, record.start_time, tags, run_name(record.name))
    store.artifacts.remember(run)
    return str(run.info.run_id)


def _valid(texts: Mapping[str, str]) -> dict[str, str]:
    """Return tags or params with names and values that MLflow takes."""
    return {
        entity_name(key): short_lines(text, NOTE_LENGTH) if key == NOTE else short(text)
        for key, text in texts.items()
    }


def find_run(store: Store, record: RunRecord) -> tuple[str | None, bool]:
    """Return the id of a grid point's run and whether it is finished; the id is None without one.

    A finished run is preferred, else the one of the same attempt is returned.
    """
    sweep_id, signature = record.sweep_id, record.tags.get("sweep.signature", "")
    if not is_plain_id(signature if sweep_id is None else sweep_id):
        return None, False
    if sweep_id is None:
        same = f"tags.`sweep.signature` = '{signature}'"
        condition = f"{same} and attributes.start_time = {record.start_time}"
    else:
        condition = f"tags.`sweep.id` = '{sweep_id}' and tags.`sweep.cell` = '{record.cell}'"
    attempt = None
    for run in read.search(store, condition):
        run_id, tags = str(run.info.run_id), run.data.tags
        if tags.get("sweep.id") != sweep_id or read.SUPERSEDED in tags:
            continue
        if run.info.status == "FINISHED" and store.artifacts.is_whole(run_id):
            return run_id, True
        if run.info.start_time == record.start_time:
            attempt = run_id
    return attempt, False


def store_result(store: Store, path: Path, record: RunRecord, run_id: str | None) -> str:
    """Store a result file, its status last, and remove it; return the run's id.

    `run_id` is None if the run is yet to be created. Raises RunGoneError if the run was deleted,
    StoreError if the disk is full or the server does not answer or refuses it. The result file
    stays then.
    """
    tags = _valid(record.end_tags)
    try:
        if run_id is None:
            run_id, tags = create_run(store, record, tags), {}
        params = _valid(record.params)
        values = [*_values(record.metrics, record.start_time, record.end_time)]
        try:
            store.log(run_id, values, params, tags)  # first: it fails if the run was deleted
        except StoreError:
            taken = _taken_params(store, run_id, record.name, params)
            if not taken:
                raise
            others = {key: text for key, text in params.items() if key not in taken}
            ours = {entity_name(PARAM + key): params[key] for key in taken}
            store.log(run_id, values, others, tags | ours)
        files = path / results.FILES
        if files.is_dir():
            store.call(store.artifacts.put, run_id, files)
        end = max(record.start_time, record.end_time)
        store.call(store.client.set_terminated, run_id, record.status, end)
    except RunGoneError as error:
        store.check_experiment()
        raise RunGoneError(
            f"Run {record.name} was deleted while it was written; its result lies in {path}, and "
            f"resume stores it; {store.restore_command(run_id or 'ID')} brings back the run."
        ) from error
    results.remove(path)
    return run_id


def _taken_params(store: Store, run_id: str, name: str, params: Mapping[str, str]) -> list[str]:
    """Return which params of ours training code has logged with another value; print them."""
    stored = store.call(store.client.get_run, run_id).data.params
    taken = [key for key, text in params.items() if stored.get(key, text) != text]
    if taken:
        pairs = ", ".join(f"{key}={stored[key]} (ours: {params[key]})" for key in taken)
        store.echo(
            f"{name}: its training code logged {pairs}, which MLflow shows as the run's params; "
            f"the tags {PARAM}NAME have ours."
        )
    return taken


def _values(points: Iterable[Point], start_time: int, end_time: int) -> Iterator[Value]:
    """Yield metric values; points of curves have the start time, both during and after training."""
    for key, value, step in points:
        yield key, value, start_time if key in CURVES else end_time, step
