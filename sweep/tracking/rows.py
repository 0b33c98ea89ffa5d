"""The runs of a sweep, or one single run, in the store: created, shown, finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sweep.errors import RunGoneError, StoreBusyError, StoreError

if TYPE_CHECKING:
    from sweep.tracking.results import RunRecord
    from sweep.tracking.store import Store

__all__ = ["UPLOADS", "Finished", "Rows"]

UPLOADS = 4
"""Runs that are uploaded at once; a server with processors of its own gains by it."""


PAUSES = (0.0, 0.1, 0.5)
"""Seconds before each question whether a server that was silent is there at all."""


@dataclass(frozen=True)
class Finished:
    """What became of a result file.

    Attributes
    ----------
    state
        ``stored``; ``waiting``: the server does not answer; ``gone``: its run was deleted;
        ``refused``: the store does not take it; ``damaged``: it is not whole.
    run_id
        The run's id where it is stored.
    problem
        Why it is not, in one sentence.
    """

    cell: int
    state: str
    run_id: str = ""
    problem: str = ""


class Rows:
    """The runs that one process writes.

    Parameters
    ----------
    stopping
        True once the command was asked to end.
    pid
        The command's process id.
    alone
        Whether each run has a lock and a heartbeat of its own: it is a single run, or the job of
        a launcher in another process than the sweep's.
    resumed
        Whether grid points may have runs already, of another process.
    """

    def __init__(
        self,
        store: Store,
        held: ExitStack,
        stopping: Callable[[], bool],
        pid: int,
        *,
        alone: str | None = None,
        resumed: bool = False,
    ) -> None:
        self._store, self._held, self._stopping, self._pid = store, held, stopping, pid
        self._alone, self._resumed = alone, resumed
        self._ids: dict[int, str] = {}
        self._asked: set[int] = set()  # cells whose creation was asked for, perhaps in vain

    def start(self, records: Sequence[RunRecord]) -> None:
        """Create runs that have begun, so that they are seen while they train.

        Where a server does not answer they are created when they end.
        """
        from sweep.tracking.retry import UnreachableError

        for record in records:
            if self._stopping() or record.cell in self._ids:
                continue
            try:
                self._create(record)
            except UnreachableError:
                return

    def id_of(self, cell: int) -> str | None:
        """Return a cell's run; None where it is not created yet."""
        return self._ids.get(cell)

    def _create(self, record: RunRecord) -> None:
        from sweep.tracking import write
        from sweep.tracking.hold import hold, keep_beating
        from sweep.tracking.locks import HEARTBEAT

        more = {}
        if self._alone is not None:
            path = self._alone.format(cell=record.cell)
            more = {HEARTBEAT: hold(self._store, self._held, path, self._pid)}
        self._asked.add(record.cell)
        self._ids[record.cell] = run_id = write.create_run(self._store, record, more)
        if self._alone is not None:
            keep_beating(self._store, self._held, run_id, path, self._pid)

    def log_curve(
        self,
        cell: int,
        start_time: int,
        steps: npt.NDArray[np.int64],
        errors: npt.NDArray[np.float64],
        validation: npt.NDArray[np.float64] | None,
    ) -> None:
        """Show a part of the curve of a run that still trains.

        Nothing depends on it: the whole curve comes at the end.
        """
        from sweep.tracking import write

        if self._stopping() or cell not in self._ids:
            return
        run_id = self._ids[cell]
        with suppress(StoreError):  # the end of the run meets the same obstacle
            write.log_curve(self._store, run_id, start_time, steps, errors, validation)

    def finish(self, paths: Sequence[Path]) -> list[Finished]:
        """Store result files, each whole and its status last, and remove them.

        Raises
        ------
        StoreError
            The disk is full, or the database cannot be written; the files stay.
        """
        if self._store.tracking.kind == "local":
            return [self._finish(path) for path in paths]
        with ThreadPoolExecutor(UPLOADS, thread_name_prefix="sweep-upload") as pool:
            return list(pool.map(self._upload, paths))

    def _upload(self, path: Path) -> Finished:
        """Store a result file on a server; one that cuts the connection twice refuses it."""
        one = self._finish(path)
        if one.state == "waiting" and self._answers():
            one = self._finish(path)
            if one.state == "waiting" and self._answers():
                where = self._store.where
                return replace(
                    one, state="refused", problem=f"The result waits in {path}: {where} refuses it."
                )
        return one

    def _answers(self) -> bool:
        """Return whether a server that did not answer answers something small."""
        from sweep.tracking.retry import retry

        store = self._store
        for pause in PAUSES:
            if self._stopping():
                return False
            time.sleep(pause)
            ask = partial(store.client.get_experiment, store.experiment_id)
            with suppress(StoreError):
                retry(ask, store.where, lambda sentence: None)
                store.silent_until = 0.0
                return True
        return False

    def _finish(self, path: Path) -> Finished:
        from sweep.tracking import results, write
        from sweep.tracking.retry import UnreachableError

        cell = int(path.name)
        record = results.read(path)
        if record is None:
            return Finished(cell, "damaged", problem=f"{path} is not whole.")
        run_id = self._ids.get(cell)
        try:
            if run_id is None and (self._resumed or cell in self._asked):
                found = write.find(self._store, record)
                if found is not None and found.finished:
                    results.remove(path)
                    return Finished(cell, "stored", found.run_id)
                run_id = found.run_id if found is not None else None
            if not self._has_files(path, run_id):
                return Finished(cell, "damaged", problem=f"{path} has no files.")
            self._asked.add(cell)
            run_id = write.store_result(self._store, path, record, run_id)
        except UnreachableError:
            return Finished(cell, "waiting")
        except RunGoneError as error:
            self._ids.pop(cell, None)
            return Finished(cell, "gone", problem=str(error))
        except StoreBusyError:
            raise
        except StoreError as error:
            if self._store.tracking.kind == "local":
                raise  # the disk or the database, which the next one meets, too
            problem = f"The result of run {record.name} waits in {path}: {error}"
            return Finished(cell, "refused", problem=problem)
        return Finished(cell, "stored", run_id)

    def _has_files(self, path: Path, run_id: str | None) -> bool:
        """Return whether a result's artifacts are still there, or in its run already."""
        from sweep.tracking.results import FILES

        if (path / FILES).is_dir():
            return True
        return run_id is not None and self._store.artifacts.is_whole(run_id)
