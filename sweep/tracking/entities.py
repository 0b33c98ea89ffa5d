"""What a run has in MLflow: its tags and metrics, with names and values that MLflow takes."""

from __future__ import annotations

import getpass
import hashlib
import math
import os
import posixpath
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sweep.tracking.files import scalars
from sweep.training.curve import charted
from sweep.training.history import RunResult

if TYPE_CHECKING:
    from sweep.config.spec import RunSpec

NAME_LENGTH = 250
VALUE_LENGTH = 500
"""Longest param or tag that is written; nothing is ever read back from a cut one."""

METRIC_LENGTH = 220
"""Longest name of a user's metric: tags are named after it."""

ZERO_LOG10 = -324.0

CURVES = ("error", "validation_error")
SINGLE = (
    "initial_error",
    "best_error",
    "best_step",
    "best_validation_error",
    "final_validation_error",
    "diverged_at",
    "stalled_at",
    "stopped_at",
)
OWN = (*SINGLE, "final_error", "final_error_log10", "train_seconds")

BUILT_IN = (*OWN, "accuracy", "validation_accuracy")
"""Metrics of the built-in trainer beside weights; accuracies where targets are classes."""

OURS = (*CURVES, *OWN)
"""What the contract names; a user's metric of such a name is stored below ``trainer/``."""

ORIGINAL = "sweep.metric."
NOT_FINITE = "sweep.not_finite."
"""Prefixes of the tags, before a metric's name in the store, that hold the user's name of it and
a value that cannot be stored: nan, inf or -inf."""


# --- names and values --------------------------------------------------------------------


def short(value: object, length: int = VALUE_LENGTH) -> str:
    """Return `value` as text of at most `length` characters; a cut one ends in ``…``.

    What no database stores (NUL, halves of surrogate pairs) is shown by its escape.
    """
    text = str(value).replace("\0", "\\x00")
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= length else text[: length - 1] + "…"


def short_lines(text: str, length: int) -> str:
    """Return the first lines of `text` that fit into `length` characters."""
    text = short(text, max(len(text) * 10, 1))
    if len(text) <= length:
        return text
    head = text[: length - 2]
    return head[: head.rfind("\n") + 1 or len(head)] + "…"


def entity_name(name: str) -> str:
    """Return `name` as MLflow accepts it for a param, metric or tag.

    Letters, digits and ``_ - . : /`` and spaces stay; anything else becomes ``_``. A name
    that would mean another one as a path has its slashes replaced.
    """
    name = re.sub(r"[^/\w.\- :]", "_", short(name, NAME_LENGTH)) or "_"
    if name.startswith("/") or posixpath.normpath(name) != name or name.startswith(".."):
        name = name.replace("/", "_").strip(".") or "_"
    return name


def is_plain_id(text: str) -> bool:
    """Return whether `text` can be an id: safe in a search filter and as a folder's name."""
    return re.fullmatch(r"\w[\w.\-]{0,199}", text, re.ASCII) is not None


# --- metrics -----------------------------------------------------------------------------


class Point(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    step: int = 0


def run_metrics(result: RunResult) -> list[Point]:
    """Return all metrics of a run; none is NaN or infinite, names are MLflow's."""
    chosen = chart_steps(result.steps, result.best_step)
    points = curve_points(result.steps, result.errors, result.validation, chosen)
    for name, (steps, values) in result.curves.items():
        points += _points(_metric_key(name), steps, values, chart_steps(steps, None))
    points += [point for point in _scalars(result) if math.isfinite(point.value)]
    return points + [
        Point(_metric_key(name), float(value))
        for name, value in result.metrics.items()
        if math.isfinite(value) and name not in result.curves
    ]


def metric_tags(result: RunResult) -> dict[str, str]:
    """Return the tags that hold what MLflow cannot take of a user's metrics."""
    tags = {}
    for name in (*result.curves, *result.metrics):
        key = _metric_key(name)
        if key != name:
            tags[ORIGINAL + key] = name
        if not math.isfinite(result.metrics.get(name, 0.0)):
            tags[NOT_FINITE + key] = str(float(result.metrics[name]))
    return tags


def _metric_key(name: str) -> str:
    """Return the name that a user's metric has in the store.

    Part of the name's hash keeps apart names that differ in what MLflow does not take.
    """
    key = entity_name(name)[:METRIC_LENGTH]
    lossy = key != name or name.startswith("trainer/")
    if key in OURS or key.startswith("weights/"):
        key = f"trainer/{key}"
    if not lossy:
        return key
    return f"{key}-{hashlib.sha256(name.encode('utf-8', 'backslashreplace')).hexdigest()[:4]}"


def _scalars(result: RunResult) -> Iterator[Point]:
    for key in SINGLE:
        value = getattr(result, key)
        if value is not None:
            yield Point(key, float(value))
    if result.final_error is not None:
        error = result.final_error
        yield Point("final_error", error)
        yield Point("final_error_log10", math.log10(error) if error > 0 else ZERO_LOG10)
    yield Point("train_seconds", float(result.train_seconds))
    for name, weight in (scalars(result.final_weights) or {}).items():
        yield Point(entity_name(f"weights/{name}"), weight)


def curve_points(
    steps: npt.NDArray[np.int64],
    errors: npt.NDArray[np.float64],
    validation: npt.NDArray[np.float64] | None,
    chosen: npt.NDArray[np.int64],
) -> list[Point]:
    """Return the finite points of both curves at the positions `chosen`."""
    points = _points("error", steps, errors, chosen)
    if validation is not None:
        points += _points("validation_error", steps, validation, chosen)
    return points


def _points(
    key: str,
    steps: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    chosen: npt.NDArray[np.int64],
) -> list[Point]:
    return [
        Point(key, float(values[at]), int(steps[at])) for at in chosen if math.isfinite(values[at])
    ]


def chart_steps(steps: npt.NDArray[np.int64], best_step: int | None) -> npt.NDArray[np.int64]:
    """Return the positions in `steps` of the points for charts, ascending, at most 320.

    Step 0, the last and the best are among them; the others are spaced evenly in log(step),
    by a list that depends on the step alone.

    Parameters
    ----------
    steps
        The kept steps of the curve, ascending, shape (n,).
    """
    if not len(steps):
        return np.empty(0, dtype=np.int64)
    positions = np.searchsorted(steps, charted(int(steps[-1])))
    extra = [0, len(steps) - 1]
    if best_step is not None:
        extra.append(int(np.searchsorted(steps, best_step)))
    chosen = np.unique(np.append(positions, extra))
    return chosen[chosen < len(steps)]


# --- tags --------------------------------------------------------------------------------


def run_tags(spec: RunSpec) -> dict[str, str]:
    """Return the tags of a run that its specification, this machine and its user determine."""
    data = {"sweep.data": spec.data_summary} if spec.data_summary else {}
    own = {"sweep.role": "run", "sweep.signature": spec.signature}
    return own | data | platform_tags() | source_tags()


@cache
def platform_tags() -> dict[str, str]:
    """Return the tags with the kind of machine and the versions that determine a run's bits."""
    import platform
    from importlib.metadata import version

    libraries = ("numpy", "numba", "llvmlite", "scipy", "pandas", "mlflow", "hydra-core")
    versions = {name: version(name) for name in libraries}
    kind = [platform.machine(), platform.system(), f"Python {platform.python_version()}"]
    kind += [f"NumPy {versions['numpy']}", f"numba {versions['numba']}"]
    kind += [f"llvmlite {versions['llvmlite']}"]  # the LLVM that compiles small networks
    kind += [f"SciPy {versions['scipy']}"]  # its BLAS is the one that compiled kernels call
    return {
        "sweep.platform": ", ".join(kind),
        "sweep.versions": ", ".join(f"{name} {text}" for name, text in versions.items()),
    }


@cache
def source_tags() -> dict[str, str]:
    """Return MLflow's tags with the user and the source of a run."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have a number only
        user = str(os.getuid())
    tags = {"mlflow.user": user, "mlflow.source.name": "python -m sweep"}
    git = Path(__file__).resolve().parents[2] / ".git"
    if git.exists():
        command = ["git", f"--git-dir={git}", "rev-parse", "--verify", "--quiet", "HEAD"]
        with suppress(OSError):  # Git is not installed
            found = subprocess.run(command, capture_output=True, text=True, check=False)
            if found.returncode == 0:
                tags["mlflow.source.git.commit"] = found.stdout.strip()
    return tags | {"mlflow.source.type": "LOCAL"}
