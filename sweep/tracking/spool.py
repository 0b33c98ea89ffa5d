"""Results before records: a finished run is safe on disk before MLflow hears of it.

``spool/<sweep>/<process>-<attempt>/`` holds the run's artifacts, and a JSON file beside it, of the
same name, all the rest: it is written last, and without it the folder counts for nothing. When
the store has both, both are gone. What a dying server or a full disk left is brought there later
(see `deliver`). A local store takes the folder as it is: to remove one costs more than to make it.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from mlflow.entities import Metric, Param, RunTag

from sweep.tracking.entry import Entry
from sweep.tracking.holder import me
from sweep.tracking.metrics import NOT_FINITE, ORIGINAL
from sweep.tracking.patience import GoneError, UnreachableError, translated
from sweep.tracking.store import Store

__all__ = [
    "PART",
    "create",
    "entry_of",
    "forget",
    "hand_over",
    "lease",
    "listed",
    "save",
    "staging",
    "tidy",
]

FILES = "files"

PART = ".part-"
"""How the names of folders begin that are put aside; the writing process follows."""

T = TypeVar("T")


def lease() -> str:
    """Return this process as the text of a lease: who, and when it was last heard of."""
    return json.dumps({**asdict(me()), "time": round(time.time(), 3)})


@contextmanager
def staging(store: Store, copy_of: Path | None = None) -> Iterator[Path]:
    """Yield a folder on the store's disk whose files are about to be put into it."""
    aside = _persistently(lambda: _new_folder(store.tracking.spool))
    try:
        folder = aside / FILES
        if copy_of is None:
            folder.mkdir()
        else:
            # Hidden is what somebody is writing.
            shutil.copytree(copy_of, folder, ignore=shutil.ignore_patterns(".*"))
        yield folder
    except OSError as error:
        raise translated(error, store.where) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        tidy(store)


def listed(store: Store, pattern: str) -> list[Path]:
    """Return what is in the spool by a pattern, sorted.

    Others may remove its folders meanwhile, over which `Path.glob` stumbles.
    """
    spool = store.tracking.spool
    return [spool / name for name in sorted(glob.glob(pattern, root_dir=spool))]


def entry_of(folder: Path) -> Path:
    """Return the file that makes a folder of the spool count."""
    return folder.with_name(f"{folder.name}.json")


def save(store: Store, entry: Entry, files: Mapping[str, bytes]) -> Path:
    """Write the end of a run to disk, whole or not at all; return its folder.

    It survives the death of this process, not that of the machine: nothing is forced
    through the disk's cache, which would cost more than all the rest.

    Raises
    ------
    StoreError
        The disk is full or cannot be written.
    """
    sweep, _, attempt = entry.delivery.replace("..", "_").partition("/")
    name = f"{me().key}-{attempt.replace('/', '-') or 'run'}"
    folder = store.tracking.spool / sweep / name
    part = folder.with_name(f"{name}.part")
    try:
        if folder.exists():  # an earlier end of the same attempt
            forget(folder)
        _persistently(lambda: folder.mkdir(parents=True))
        for file, content in files.items():
            (folder / file).write_bytes(content)
        part.write_bytes(replace(entry, store=store.tracking.name).to_json())
        os.rename(part, entry_of(folder))
    except OSError as error:
        part.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        tidy(store)
        raise translated(error, store.where) from error
    return folder


def hand_over(store: Store, folder: Path, entry: Entry, *, search: bool = True) -> str | None:
    """Bring a saved end of a run into the store, and remove it from the disk.

    Every step may be repeated: files replace themselves, and a batch that is there already
    changes nothing.

    Parameters
    ----------
    search
        Whether an entry without run may have one in the store: this process is not the first
        that asks for it.

    Returns
    -------
    The run's id; None where the server does not answer, and the result stays on disk.
    """
    run_id = entry.run_id
    late = ("sweep.outcome", ORIGINAL, NOT_FINITE)  # not known before the end
    tags = {key: text for key, text in entry.tags.items() if key.startswith(late)}
    try:
        if run_id is None and search:
            run_id = _find(store, entry)
        if run_id is None:
            run_id, tags = create(store, entry, tags), {}
        _log(store, run_id, entry, tags)  # first, for it tells where the run was deleted
        if folder.is_dir():
            store.call(lambda: store.artifacts.put(run_id, folder))
        store.call(lambda: store.client.set_terminated(run_id, entry.status, entry.end_time))
    except UnreachableError:
        return None
    except GoneError as error:
        store.check_experiment()
        restore = f"MLFLOW_TRACKING_URI='{store.uri}' mlflow runs restore --run-id {run_id}"
        raise GoneError(
            f"Run {entry.name} was deleted while it was written; its result waits in {folder}, "
            f"and the next command stores it after: {restore}"
        ) from error
    forget(folder)
    return run_id


def forget(folder: Path) -> None:
    """Remove what waited; a server has copies of the files."""
    entry_of(folder).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def tidy(store: Store) -> None:
    """Remove the folders of the spool in which nothing waits."""
    for folder in (*listed(store, "[!.]*/"), store.tracking.spool):
        try:
            folder.rmdir()
        except OSError:  # not empty: something waits, or another process is at work
            continue


def create(store: Store, entry: Entry, outcome: Mapping[str, str] = {}) -> str:
    """Create the run of an entry, status RUNNING, and return its id."""
    tags = {key: text for key, text in entry.tags.items() if key != "sweep.outcome"}
    run = store.call(
        lambda: store.client.create_run(
            store.experiment_id,
            start_time=entry.start_time,
            tags={**tags, **outcome},
            run_name=entry.name,
        )
    )
    store.remember(run)
    return str(run.info.run_id)


def _find(store: Store, entry: Entry) -> str | None:
    """Return the run that an earlier attempt to deliver the entry has created."""
    condition = f"tags.`sweep.delivery` = '{entry.delivery}'"
    found = store.call(
        lambda: store.client.search_runs([store.experiment_id], condition, max_results=1)
    )
    return str(found[0].info.run_id) if found else None


def _log(store: Store, run_id: str, entry: Entry, texts: Mapping[str, str]) -> None:
    """Write metrics, params and tags: one batch, unless there are too many for one."""
    metrics = [Metric(p.key, p.value, entry.end_time, p.step) for p in entry.metrics]
    params = [Param(key, text) for key, text in entry.params.items()]
    tags = [RunTag(key, text) for key, text in texts.items()]
    while metrics or params or tags:
        part = params[:100], tags[:100]
        room = 1000 - len(part[0]) - len(part[1])
        some = metrics[:room]
        store.call(partial(store.client.log_batch, run_id, some, *part))
        metrics, params, tags = metrics[room:], params[100:], tags[100:]


def _new_folder(spool: Path) -> Path:
    spool.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{PART}{me().key}-", dir=spool))


def _persistently(action: Callable[[], T]) -> T:
    """Repeat an action while others remove the folder around it, which was empty for a moment."""
    for _ in range(100):
        try:
            return action()
        except (FileNotFoundError, FileExistsError):  # the latter: it was there, and is gone
            time.sleep(0.001)
    return action()
