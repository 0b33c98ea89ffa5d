"""The samples that a network is trained on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sweep.training.data.preparation import Preparation

__all__ = ["Data"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Data:
    """Samples, a row each; all arrays float64, C-contiguous and read-only.

    Attributes
    ----------
    inputs, targets
        Shapes (samples, features) and (samples, outputs).
    validation_inputs, validation_targets
        The samples that are kept back from training, or None.
    preparation
        How they were prepared.
    summary
        What was done with the rows of a file, one sentence; empty for inline rows.
    """

    inputs: Array
    targets: Array
    validation_inputs: Array | None = None
    validation_targets: Array | None = None
    preparation: Preparation = Preparation((), ())
    summary: str = ""

    def __post_init__(self) -> None:
        for array in self._arrays():
            array.setflags(write=False)

    @property
    def prepared(self) -> bool:
        """Whether new rows need the preparation: columns have names, or anything was done."""
        columns = (*self.preparation.inputs, *self.preparation.targets)
        scaled = any(column.mean is not None for column in columns)
        return bool(self.summary) or scaled or self.preparation.classes is not None

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of all arrays, their shapes and bytes, as hexadecimal digits."""
        total = hashlib.sha256()
        for array in self._arrays():
            total.update(repr(array.shape).encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    def _arrays(self) -> list[Array]:
        arrays = (self.inputs, self.targets, self.validation_inputs, self.validation_targets)
        return [array for array in arrays if array is not None]
