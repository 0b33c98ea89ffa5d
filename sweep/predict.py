"""``python -m sweep.predict``: put new rows through the network of a stored run.

The rows are prepared as the run's data was (``preparation.json``), and what comes out is what the
trained network gives, to the last bit: in the targets' own units where they were standardized,
and beside the shares of the classes the largest one where they are labels.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.cli.app import tool

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from omegaconf import DictConfig

    from sweep.tracking.store import Store
    from sweep.tracking.stored import StoredRun
    from sweep.training.data.preparation import Preparation
    from sweep.training.network import Network

__all__ = ["Model", "model_of", "predict"]


@dataclass(frozen=True)
class Model:
    """A trained network with the preparation of its data.

    Attributes
    ----------
    read
        Options of data.read that the run had.
    """

    network: Network
    preparation: Preparation
    read: Mapping[str, Any]

    @property
    def columns(self) -> list[str]:
        """The names of what comes out."""
        targets, classes = self.preparation.targets, self.preparation.classes
        if classes is None:
            return [column.name for column in targets]
        name = targets[0].name
        return [name, *(f"{name}={label}" for label in classes)]

    def rows(self, inputs: npt.NDArray[np.float64]) -> Iterator[list[str | float]]:
        """Yield what comes out for prepared inputs, in the order of `columns`."""
        outputs = self.preparation.outputs(self.network.forward(inputs)[-1])
        classes = self.preparation.classes
        for values in outputs:
            label = [] if classes is None else [classes[int(values.argmax())]]
            yield [*label, *values.tolist()]


def predict(config: DictConfig) -> None:
    """Write the network's outputs for the rows of ``data.file`` into ``to``.

    Raises
    ------
    ConfigError
        The rows cannot be prepared, ``to`` exists, or the run has no network of our own.
    NotFoundError
        There is no such run.
    StoreError
        The store cannot be read, or the file cannot be written.
    """
    from sweep import console
    from sweep.cli.plain import plain_values
    from sweep.config.models import Data, validated
    from sweep.config.settings import reading_settings
    from sweep.errors import ConfigError, StoreError
    from sweep.tracking.settings import from_options
    from sweep.tracking.store import open_store
    from sweep.training.blas import hold_blas
    from sweep.training.data.new import new_inputs

    if config.data.get("file") is None:
        raise ConfigError("data.file: name the file with the new rows, as data.file=new.csv.")
    plain = plain_values(config)
    data = validated(Data, plain["data"], "data").without_unset()
    target = None if plain["to"] is None else Path.cwd() / str(plain["to"])
    if target is not None and target.suffix != ".csv":
        raise ConfigError(f"to={plain['to']}: name a file that ends with .csv.")
    if target is not None and (target.exists() or target.is_symlink()):
        raise ConfigError(f"to={plain['to']}: it exists already; name a file that does not.")
    store = open_store(from_options(reading_settings(plain, Path.cwd())), mode="read")
    run = _run(store, str(plain["run"]), str(plain["sweep"]))
    model = model_of(run)
    read = {**model.read, **(data["read"] or {})}
    inputs = new_inputs(model.preparation, str(data["file"]), read, Path.cwd())
    hold_blas()
    rows = model.rows(inputs)
    if target is None:
        _write(sys.stdout, model.columns, rows)
        return
    try:
        with open(target, "x", encoding="utf-8", newline="") as file:
            _write(file, model.columns, rows)
    except OSError as error:
        raise StoreError(f"to={target}: it cannot be written ({error.strerror}).") from error
    console.say(f"Wrote {len(inputs)} rows by run {run.run_id} ({run.name}) to {plain['to']}")


def model_of(run: StoredRun) -> Model:
    """Return the network of a finished run.

    Raises
    ------
    ConfigError
        It has none: another trainer made it, or it did not finish.
    """
    from sweep.config import models
    from sweep.config.spec import BUILT_IN
    from sweep.errors import ConfigError
    from sweep.training.network import Network

    config, weights = run.config(), run.weights()
    trainer = config.get("trainer")
    name = trainer.get("_target_") if isinstance(trainer, Mapping) else None
    if name != BUILT_IN:
        raise ConfigError(
            f"run={run.run_id}: trainer {name} made it; only a network of the built-in trainer "
            "can be given back."
        )
    final = weights.get("final") or {}
    if run.outcome != "completed" or not final:
        raise ConfigError(f"run={run.run_id} is {run.outcome}: name a run that is completed.")
    try:
        preparation = _preparation(run, config)
        arguments = models.validated(models.Network, config["network"], "network").arguments()
        first, *hidden, last = arguments["layers"]
        inputs, outputs = preparation.widths
        arguments["layers"] = [
            inputs if first == "auto" else first,
            *hidden,
            outputs if last == "auto" else last,
        ]
        network = Network.build(**arguments, seed=int(config["seed"]))
        network = network.replace(_flat(network, final))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"run={run.run_id}: its files are damaged ({type(error).__name__}: {error})."
        ) from error
    return Model(network, preparation, config["data"].get("read") or {})


def _preparation(run: StoredRun, config: Mapping[str, Any]) -> Preparation:
    """Return how the run's data was prepared; inline rows are taken as they stand."""
    from sweep.training.data.new import unprepared
    from sweep.training.data.preparation import Preparation

    document = run.preparation()
    if document is not None:
        return Preparation.from_document(document)
    data = config["data"]
    return unprepared(len(data["inputs"][0]), len(data["targets"][0]))


def _flat(network: Network, final: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """Return stored weights in the order of the network's scalars, shape (size,)."""
    import numpy as np

    return np.concatenate(
        [np.ravel(np.asarray(final[name], dtype=np.float64)) for name in network.named()]
    )


def _run(store: Store, run_id: str, sweep_id: str) -> StoredRun:
    from sweep.errors import NotFoundError
    from sweep.report.data import sweep_data
    from sweep.tracking import read

    if run_id != "best":
        return read.find_run(store, run_id)
    sweep = read.find_sweep(store, sweep_id)
    best = sweep_data(sweep, read.sweep_runs(store, sweep.sweep_id)).best
    if best is None:
        raise NotFoundError(f"run=best: no run of sweep {sweep.sweep_id} is completed.")
    found: StoredRun = best.run
    return found


def _write(file: Any, columns: list[str], rows: Iterable[list[str | float]]) -> None:
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(rows)  # floats by repr, to the last bit


if __name__ == "__main__":
    sys.exit(tool(predict, "predict"))
