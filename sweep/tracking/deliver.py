"""Deliver what an earlier command could not, exactly once, and keep one run a cell."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import filelock

from sweep.errors import StoreError
from sweep.tracking import read, spool
from sweep.tracking.claims import is_claimed
from sweep.tracking.entry import Entry
from sweep.tracking.holder import Holder, is_left_behind, me
from sweep.tracking.patience import GoneError, UnreachableError, patiently
from sweep.tracking.store import Store
from sweep.tracking.stored import SUPERSEDED, StoredRun, cell_key
from sweep.tracking.texts import is_plain_id

__all__ = [
    "EXPIRY",
    "await_delivery",
    "deliver",
    "supersede",
    "waiting",
    "waiting_elsewhere",
]

EXPIRY = 15 * 60.0
"""Seconds without a word after which a process on another machine is taken for gone."""

SERVER_RETURNS = 20.0

PAUSES = (0.0, 0.1, 0.5)
"""Seconds before each question whether a server that was silent is there at all."""


def waiting(store: Store) -> Iterator[tuple[Path, Entry]]:
    """Yield what waits on disk for this store: its folder, and the end of a run that is in it."""
    name = store.tracking.name
    return ((folder, entry) for folder, entry in _every(store) if entry.store == name)


def waiting_elsewhere(store: Store) -> Counter[str]:
    """Return the names of other stores for which results wait on disk, and how many."""
    names = (entry.store for _, entry in _every(store))
    return Counter(name for name in names if name != store.tracking.name)


def _every(store: Store) -> Iterator[tuple[Path, Entry]]:
    for path in spool.listed(store, "[!.]*/*.json"):
        try:
            yield path.with_suffix(""), Entry.from_json(path.read_bytes())
        except FileNotFoundError:  # its process has delivered it meanwhile
            continue
        except ValueError:
            store.say(f"{path} cannot be read; it was left alone.")


def deliver(store: Store, patience: float = 0.0) -> int:
    """Bring to the store what this process or one that is gone has left; return how many.

    What a living process still works on, here or on another machine, is not touched.

    Parameters
    ----------
    patience
        Seconds to wait for another process that is at it.
    """
    if store.mode == "read" or not store.tracking.spool.is_dir():
        return 0
    store.tracking.locks.mkdir(exist_ok=True)
    lock = filelock.FileLock(store.tracking.locks / "deliver.lock")
    try:
        lock.acquire(timeout=patience)
    except filelock.Timeout:
        return 0
    count = own = 0
    try:
        _remove_parts(store)
        for folder, entry in list(waiting(store)):
            if folder in store.aside or not _is_free(store, entry, folder):
                continue
            if not _deliver_one(store, folder, entry):
                break
            delivered = not spool.entry_of(folder).exists()
            count += delivered
            own += _holder(entry) == me() and (delivered or folder in store.aside)
    finally:
        spool.tidy(store)
        lock.release()
    store.waiting = max(0, store.waiting - own)
    return count


def _deliver_one(store: Store, folder: Path, entry: Entry) -> bool:
    """Deliver one entry, or put it aside with a word; return False when no server answers."""
    try:
        faster = _finished(store, entry)
        if faster and entry.run_id is None:
            spool.forget(folder)
            return True
        for _ in range(2):  # the second time the server has just answered
            run_id = spool.hand_over(store, folder, entry)
            if run_id is not None:
                if faster:
                    store.call(partial(store.client.set_tag, run_id, SUPERSEDED, faster))
                return True
            if not _answers(store):
                return False
        refusal = f"The result of run {entry.name} waits in {folder}: {store.where} refuses it."
        store.refused.append(StoreError(refusal))
    except UnreachableError:
        return False
    except GoneError as error:
        refusal = str(error)
    except StoreError as error:
        if store.tracking.kind == "local":
            raise  # the disk or the database, which the next one meets, too
        refusal = f"The result of run {entry.name} waits in {folder}: {error}"
        store.refused.append(error)
    if _finished(store, entry):
        spool.forget(folder)
    else:
        store.aside.add(folder)
        store.say(refusal)
    return True


def _answers(store: Store) -> bool:
    """Ask a server that was silent for something small, and again: it may have hung up on us."""
    for pause in PAUSES:
        if store.hurried():
            return False
        time.sleep(pause)
        try:
            patiently(partial(store.client.get_experiment, store.experiment_id), store.where, _hush)
        except StoreError:
            continue
        store.silent_until = 0.0
        return True
    return False


def _hush(sentence: str) -> None:
    """Say nothing."""


def _finished(store: Store, entry: Entry) -> str | None:
    """Return the run of another attempt at the entry's cell that has finished, if there is one."""
    if entry.sweep_id is None or not is_plain_id(entry.sweep_id):
        return None
    signature = entry.tags.get("sweep.signature", "")
    if not is_plain_id(signature):
        return None
    condition = (
        f"tags.`sweep.id` = '{entry.sweep_id}' and tags.`sweep.signature` = '{signature}' "
        "and attributes.status = 'FINISHED'"
    )
    for run in read.search(store, condition):
        other = run.data.tags.get("sweep.delivery") != entry.delivery
        if other and run.info.run_name == entry.name and SUPERSEDED not in run.data.tags:
            return str(run.info.run_id)
    return None


def _is_free(store: Store, entry: Entry, folder: Path) -> bool:
    if store.writers is not None and folder in store.writers.in_flight:
        return False
    holder = _holder(entry)
    if holder == me():
        return True
    if entry.sweep_id is not None and is_claimed(store.tracking, entry.sweep_id):
        return False
    gone = holder.is_gone() if holder else None
    return _is_old(spool.entry_of(folder)) if gone is None else gone


def _holder(entry: Entry) -> Holder | None:
    return Holder.from_json(entry.tags.get("sweep.holder") or entry.tags.get("sweep.lease") or "")


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > EXPIRY
    except OSError:
        return False


def _remove_parts(store: Store) -> None:
    """Remove what processes that are gone did not finish: nothing in it was promised yet."""
    for part in spool.listed(store, f"{spool.PART}*"):
        if _is_left(part):
            shutil.rmtree(part, ignore_errors=True)
    for path in spool.listed(store, "[!.]*/*"):
        if path.suffix == ".json" or is_claimed(store.tracking, path.parent.name):
            continue
        if _is_left(path) and not spool.entry_of(path).exists():  # in this order: it ends with one
            if path.suffix == ".part":
                path.unlink(missing_ok=True)
            else:
                shutil.rmtree(path, ignore_errors=True)


def _is_left(path: Path) -> bool:
    """Tell whether the process that a path of the spool is named after has ended."""
    gone = is_left_behind("-".join(path.name.removeprefix(spool.PART).split("-")[:3]))
    return _is_old(path) if gone is None else gone


def await_delivery(store: Store, *, hurry: bool = False) -> None:
    """Deliver what this process left waiting; give a server some seconds to come back.

    Parameters
    ----------
    hurry
        The command was asked to end: what is not delivered in a second waits for the next.

    Raises
    ------
    StoreError
        The server did not come back, or refused something; that stays on disk.
    """

    def hurried() -> bool:
        return hurry or store.hurried()

    if store.writers is not None:
        store.waiting += store.writers.settle(hurried)
        store.refused += store.writers.refused
        store.writers.refused.clear()
        while store.writers.gone:
            store.say(store.writers.gone.pop(0))
    until = time.monotonic() + (0.0 if hurried() else SERVER_RETURNS)
    while store.waiting:
        deliver(store, patience=max(0.0, until - time.monotonic()))
        if not store.waiting:
            break
        if time.monotonic() > until or hurried():
            why = "does not answer" if store.silent_until else "does not have all"
            raise StoreError(
                f"{store.where} {why}: {store.waiting} results wait in "
                f"{store.tracking.spool}; start the server and run the command again with "
                "resume=last."
            )
        time.sleep(0.5)
    spool.tidy(store)
    if store.refused:
        refused, store.refused = store.refused, []
        raise refused[0]


def supersede(store: Store, every: Sequence[StoredRun], counting: Sequence[StoredRun]) -> int:
    """Tag every attempt at a cell but the one that counts; return how many were tagged.

    A cell's first finished run counts, so at most one FINISHED run a cell remains for
    every reader.

    Parameters
    ----------
    every, counting
        All attempts at a sweep's cells, and those that count.
    """
    kept = {run.run_id for run in counting}
    by_cell = {cell_key(run): run.run_id for run in reversed(counting)}
    by_name = {run.name: run.run_id for run in reversed(counting)}  # the trainer was mended
    count = 0
    for run in every:
        if run.run_id in kept or SUPERSEDED in run.tags or run.status == "RUNNING":
            continue
        winner = by_cell.get(cell_key(run)) or by_name[run.name]
        store.call(partial(store.client.set_tag, run.run_id, SUPERSEDED, winner))
        count += 1
    return count
