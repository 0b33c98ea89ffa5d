"""Readdress the artifacts of a local store whose folder was moved or copied.

MLflow freezes absolute addresses into two columns when a run is made. This is the one place
that writes into its tables, guarded by the schema version that `database` has checked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

from mlflow.entities import Experiment

from sweep.errors import StoreError
from sweep.tracking.create import STORE_TAG, store_lock
from sweep.tracking.database import check_version, connect
from sweep.tracking.retry import retry
from sweep.tracking.settings import Tracking

__all__ = ["readdress"]

COLUMNS = (("experiments", "artifact_location"), ("runs", "artifact_uri"))


def readdress(tracking: Tracking, experiment: Experiment, say: Callable[[str], None]) -> None:
    """Point every artifact address below the old folder to the present one, and say so.

    Raises
    ------
    StoreError
        The experiment keeps its artifacts somewhere else by intention: it is not ours.
    """
    old, new = experiment.artifact_location, tracking.artifacts.as_uri()
    if old == new:
        return
    if STORE_TAG not in experiment.tags:
        raise StoreError(
            f"tracking.experiment={experiment.name} keeps its artifacts in {old}, not below "
            f"{tracking.outputs}; choose another name."
        )
    with store_lock(tracking, say):
        check_version(tracking.database, "ro")
        count = retry(partial(_rewrite, tracking, old, new), str(tracking.database), say)
    say(f"The store was moved: {count} artifact addresses now point to {tracking.artifacts}.")


def _rewrite(tracking: Tracking, old: str, new: str) -> int:
    """Replace the addresses in one transaction; return how many."""
    count = 0
    try:
        with connect(tracking.database, "rw") as connection:
            connection.execute("BEGIN IMMEDIATE")
            for table, column in COLUMNS:
                changed = connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, length(?) + 1) "
                    f"WHERE {column} = ? OR substr({column}, 1, length(?) + 1) = ? || '/'",
                    (new, old, old, old, old),
                )
                count += changed.rowcount
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        import sqlalchemy.exc

        # In SQLAlchemy's clothes, so that waiting for a lock is decided in one place.
        raise sqlalchemy.exc.OperationalError("UPDATE", None, error) from error
    return count
