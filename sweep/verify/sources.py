"""What is to be verified: a sweep or a run of the store, or of an exported folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.verify.cases import Origin

if TYPE_CHECKING:
    from sweep.tracking.histories import History
    from sweep.tracking.stored import StoredRun, StoredSweep

__all__ = ["Stored", "from_folder", "from_store"]


@dataclass(frozen=True)
class Stored:
    """What is to be verified, from a store or an exported folder.

    Attributes
    ----------
    sweep
        None where single runs alone are verified.
    whole
        Whether `runs` are all runs of the sweep.
    damaged
        A sentence for each file of a folder that is not as it was written.
    """

    where: str
    sweep: StoredSweep | None
    runs: Sequence[StoredRun]
    plan: Mapping[str, Any]
    history: Callable[[StoredRun], History]
    origin: Origin
    whole: bool
    damaged: tuple[str, ...] = ()


def from_store(plain: Mapping[str, Any], trainer: str) -> Stored:
    """Return what the command's keys name in the store, opened for reading alone.

    Parameters
    ----------
    trainer
        The class that the user's current configuration names.

    Raises
    ------
    NotFoundError, StoreError
        There is no such store, sweep or run, or it cannot be read.
    """
    from sweep.config.settings import reading_settings
    from sweep.tracking import histories, read
    from sweep.tracking import settings as tracking_settings
    from sweep.tracking import store as tracking_store

    options = reading_settings(plain, Path.cwd())
    store = tracking_store.open_store(tracking_settings.from_options(options), mode="read")
    sweep: StoredSweep | None
    if plain["run"] is None:
        sweep = read.find_sweep(store, str(plain["sweep"]))
        runs = read.sweep_runs(store, sweep.sweep_id)
    else:
        runs = [read.find_run(store, str(plain["run"]))]
        sweep_id = runs[0].tags.get("sweep.id")
        sweep = read.find_sweep(store, sweep_id) if sweep_id else None

    def history(run: StoredRun) -> History:
        return histories.histories(store, run)

    return _stored(store.where, sweep, runs, history, trainer, whole=plain["run"] is None)


def from_folder(plain: Mapping[str, Any], trainer: str) -> Stored:
    """Return what the command's keys name in an exported folder; see `from_store`."""
    from sweep.errors import NotFoundError
    from sweep.tracking.folder import read_folder

    exported = read_folder(Path.cwd() / str(plain["from"]))
    if plain["sweep"] not in ("last", exported.sweep.sweep_id):
        raise NotFoundError(
            f"sweep={plain['sweep']}: {exported.folder} holds sweep {exported.sweep.sweep_id}."
        )
    runs = [run for run in exported.runs if plain["run"] in (None, run.run_id)]
    if not runs and plain["run"] is not None:
        raise NotFoundError(f"run={plain['run']}: {exported.folder} holds no such run.")
    return _stored(
        str(exported.folder),
        exported.sweep,
        runs,
        exported.history,
        trainer,
        whole=plain["run"] is None,
        data_files=exported.data_files,
        damaged=exported.damaged,
    )


def _stored(
    where: str,
    sweep: StoredSweep | None,
    runs: Sequence[StoredRun],
    history: Callable[[StoredRun], History],
    trainer: str,
    *,
    whole: bool,
    data_files: Mapping[str, Path] | None = None,
    damaged: tuple[str, ...] = (),
) -> Stored:
    from sweep.errors import StoreError

    try:
        plan = sweep.plan() if sweep is not None else {}
    except ValueError as error:
        raise StoreError(f"plan.json of sweep {sweep and sweep.sweep_id}: {error}.") from error
    origin = Origin(Path(str(plan.get("base") or Path.cwd())), trainer, data_files)
    return Stored(where, sweep, runs, plan, history, origin, whole, damaged)
