"""The samples that a network is trained on: inline, or columns of data files.

files, text, arrays    rows of files, piece by piece
columns, rows          the chosen columns, gathered
split, preparation     training rows, and what is fitted on them
load, samples          all of it, once in a process
"""

from __future__ import annotations

from sweep.training.data.load import load_data
from sweep.training.data.samples import Data

__all__ = ["Data", "load_data"]
