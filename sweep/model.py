"""A trained network with its data preparation, to predict new rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from sweep.training.data.files import Source
    from sweep.training.data.preparation import Preparation
    from sweep.training.network import Network


@dataclass(frozen=True)
class Model:
    """A trained network, its data preparation, and the run's ``data.read`` but nrows."""

    network: Network
    preparation: Preparation
    read: Mapping[str, Any]

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The classes of the outputs; None if the outputs are numbers."""
        binary = self.preparation.binary and self.network.activations[-1] == "sigmoid"
        return ("0", "1") if binary else self.preparation.classes

    @property
    def columns(self) -> list[str]:
        """The names of the output columns; for classes the first one is the predicted class."""
        first, *others = (column.name for column in self.preparation.targets)
        shares = (self.labels or ())[-self.network.layers[-1] :]
        return [first, *others, *(f"{first}={label}" for label in shares)]

    def predict(self, source: Source, *, drop: bool = False) -> tuple[pd.DataFrame, Sequence[int]]:
        """Return the predictions, a row for each row of `source`, with the `columns`.

        With `drop`, rows with a missing value are left out; their numbers, from 1, are the second
        result. Raises ConfigError for a row that cannot be prepared.
        """
        import pandas as pd

        from sweep.training.data.preparation import new_rows
        from sweep.training.surroundings import hold_blas

        inputs, dropped = new_rows(self.preparation, source, drop=drop)
        hold_blas()
        outputs = self.preparation.outputs(self.network.forward(inputs)[-1])
        frame = pd.DataFrame(outputs, columns=self.columns[-outputs.shape[1] :])
        if (labels := self.labels) is not None:
            one = len(labels) > outputs.shape[1]
            positions = outputs[:, 0] >= 0.5 if one else outputs.argmax(axis=1)
            frame.insert(0, self.columns[0], [labels[int(at)] for at in positions])
        return frame, dropped


def model_of(
    config: Mapping[str, Any],
    weights: Mapping[str, Mapping[str, Any]],
    document: Mapping[str, Any] | None,
    *,
    what: str = "the model",
) -> Model:
    """Return the model in a run's files; `what` is the run's name in messages.

    `weights` are as stored: the ``best`` ones are used if early stopping kept them, else the
    ``final`` ones. `document` is the preparation of a file; that of inline rows is made again.
    Raises ConfigError if the built-in trainer made no network, or the files are damaged.
    """
    from sweep.config import models
    from sweep.config.spec import BUILT_IN
    from sweep.config.validation import validated
    from sweep.training.data import load_data
    from sweep.training.data.preparation import Preparation
    from sweep.training.network import Network

    trainer = config.get("trainer")
    target = trainer.get("_target_") if isinstance(trainer, Mapping) else None
    if target != BUILT_IN:
        raise ConfigError(
            f"{what}: trainer {target} made it; only a network of the built-in trainer can be "
            "given back."
        )
    final = weights.get("best") or weights.get("final")
    if not final:
        raise ConfigError(f"{what}: it has no final weights; name a run that is completed.")
    try:
        data, seed = config["data"], int(config["seed"])
        read = {key: one for key, one in (data.get("read") or {}).items() if key != "nrows"}
        if data.get("file") is None:
            preparation = load_data(data, seed=seed, base=Path()).preparation
        elif document is None:
            raise KeyError("preparation.json")
        else:
            preparation = Preparation.from_document(document)
        given = validated(models.Network, config["network"], "network")
        network = Network.build(**given.arguments(*preparation.widths), seed=seed)
        stored = [np.ravel(np.asarray(final[name], dtype=np.float64)) for name in network.named()]
        network = network.replace(np.concatenate(stored))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{what}: its files are damaged ({type(error).__name__}: {error})."
        ) from error
    return Model(network, preparation, read)
