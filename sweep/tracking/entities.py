"""Tags and metrics of runs, with names and values that MLflow accepts."""

from __future__ import annotations

import getpass
import hashlib
import math
import os
import posixpath
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sweep.checks import escaped
from sweep.training.curve import Points, charted
from sweep.training.history import RunResult
from sweep.training.names import CURVES, OWN, SINGLE, trainer_metric

if TYPE_CHECKING:
    from sweep.config.spec import RunSpec

NAME_LENGTH = 250
VALUE_LENGTH = 500
"""Maximum length of a param or tag; truncated values are only displayed, never parsed."""

NOTE = "mlflow.note.content"
NOTE_LENGTH = 7500
"""Tag of a note in Markdown, and its maximum length; MLflow truncates tags at 8000."""

METRIC_LENGTH = 220
"""Maximum length of a user's metric name, which leaves room for the prefixes of tags."""

ZERO_LOG10 = -324.0

SCALARS = 64
"""Maximum number of weights and biases that are stored as named scalars."""

BUILT_IN = (*OWN, "accuracy", "validation_accuracy")
"""Metrics of the built-in trainer except weights; accuracies exist for classification."""

ORIGINAL = "sweep.metric."
NOT_FINITE = "sweep.not_finite."
PARAM = "sweep.param."
"""Prefixes of tags: PREFIX + stored metric name -> original name, or the value nan, inf or -inf;
PREFIX + param -> our value, where training code logged another one first."""


def short(value: object, length: int = VALUE_LENGTH) -> str:
    """Return `value` as text, truncated to `length` characters with ``…`` as the last.

    NUL and lone surrogates, which databases cannot store, are escaped.
    """
    text = escaped(str(value).replace("\0", "\\x00"))
    return text if len(text) <= length else text[: length - 1] + "…"


def run_name(name: str) -> str:
    """Return `name` as a valid name of a run."""
    return short(name, 250) or "run"


def short_lines(text: str, length: int) -> str:
    """Return the first lines of `text` that fit into `length` characters."""
    text = short(text, max(len(text) * 10, 1))
    if len(text) <= length:
        return text
    head = text[: length - 2]
    return head[: head.rfind("\n") + 1 or len(head)] + "…"


def entity_name(name: str) -> str:
    """Return `name` as a valid MLflow name of a param, metric or tag.

    Characters other than letters, digits, spaces and ``_ - . : /`` become ``_``, and so do the
    slashes of a name that is no normalised relative path.
    """
    name = re.sub(r"[^/\w.\- :]", "_", short(name, NAME_LENGTH)) or "_"
    if name.startswith("/") or posixpath.normpath(name) != name or name.startswith(".."):
        name = name.replace("/", "_").strip(".") or "_"
    return name


def is_plain_id(text: str) -> bool:
    """Return whether `text` is a valid id, safe in search filters and as a folder name."""
    return re.fullmatch(r"\w[\w.\-]{0,199}", text, re.ASCII) is not None


class Point(NamedTuple):
    """A metric value."""

    key: str
    value: float
    step: int = 0


def run_metrics(result: RunResult) -> list[Point]:
    """Return all finite metric values of a run under valid MLflow names."""
    curves = curves_of(result.steps, result.errors, result.validation, result.curves)
    points = chart_points(curves, result.best_step)
    points += [point for point in _scalars(result) if math.isfinite(point.value)]
    return points + [
        Point(_metric_key(name), float(value))
        for name, value in result.metrics.items()
        if math.isfinite(value) and name not in result.curves
    ]


def curves_of(
    steps: npt.NDArray[np.int64],
    errors: npt.NDArray[np.float64],
    validation: npt.NDArray[np.float64] | None,
    named: Mapping[str, Points] = {},
) -> dict[str, Points]:
    """Return the curves of a run by their metrics' names; `named` are those of a user's trainer."""
    curves = {"error": (steps, errors)}
    if validation is not None:
        curves["validation_error"] = steps, validation
    return curves | {_metric_key(name): points for name, points in named.items()}


def chart_points(curves: Mapping[str, Points], best_step: float | None) -> list[Point]:
    """Return the points of a run's curves that charts show (see `chart_steps`)."""
    charts = {}
    for key, (steps, values) in curves.items():
        chosen = chart_steps(steps, best_step if key in CURVES else None)
        charts[key] = steps[chosen], values[chosen]
    return finite_points(charts)


def finite_points(curves: Mapping[str, Points]) -> list[Point]:
    """Return the finite points of curves by their metrics' names."""
    return [
        Point(key, float(value), int(step))
        for key, (steps, values) in curves.items()
        for step, value in zip(steps, values, strict=True)
        if math.isfinite(value)
    ]


def metric_tags(result: RunResult) -> dict[str, str]:
    """Return tags with the user's metric names and non-finite values that MLflow cannot store."""
    tags = {}
    for name in (*result.curves, *result.metrics):
        key = _metric_key(name)
        if key != name:
            tags[ORIGINAL + key] = name
        if not math.isfinite(result.metrics.get(name, 0.0)):
            tags[NOT_FINITE + key] = str(float(result.metrics[name]))
    return tags


def _metric_key(name: str) -> str:
    """Return the stored name of a user's metric; a hash suffix makes changed names unique."""
    key = entity_name(name)[:METRIC_LENGTH]
    lossy = key != name or name.startswith("trainer/")
    key = trainer_metric(key)
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


def scalars(weights: Mapping[str, Any]) -> dict[str, float] | None:
    """Return weights as named scalars, None if there are more than SCALARS.

    An array ``w`` of a user's trainer becomes ``w_1``, ``w_2``, … in row-major order.
    """
    if sum(np.size(value) for value in weights.values()) > SCALARS:
        return None
    named: dict[str, float] = {}
    for name, value in weights.items():
        if np.ndim(value) == 0:
            named[name] = float(value)
        else:
            flat = np.ravel(value)
            named |= {f"{name}_{at}": float(one) for at, one in enumerate(flat, start=1)}
    return named


def chart_steps(steps: npt.NDArray[np.int64], best_step: float | None) -> npt.NDArray[np.int64]:
    """Return the indices of the chart points in `steps`, ascending, at most 320.

    The first, last and best step are included; the others (`charted`) are spaced evenly in
    log(step). `steps` are the kept steps of the curve, ascending, shape (n,).
    """
    if not len(steps):
        return np.empty(0, dtype=np.int64)
    positions = np.searchsorted(steps, charted(int(steps[-1])))
    extra = [0, len(steps) - 1]
    if best_step is not None:
        extra.append(int(np.searchsorted(steps, best_step)))
    chosen = np.unique(np.append(positions, extra))
    return chosen[chosen < len(steps)]


def run_tags(spec: RunSpec) -> dict[str, str]:
    """Return the tags of a run: role, signature, data, platform and source."""
    data = {"sweep.data": spec.data_summary} if spec.data_summary else {}
    own = {"sweep.role": "run", "sweep.signature": spec.signature}
    return own | data | platform_tags() | source_tags()


@cache
def platform_tags() -> dict[str, str]:
    """Return tags with the platform and library versions, on which the last bits depend."""
    import platform
    from importlib.metadata import version

    libraries = ("numpy", "numba", "llvmlite", "scipy", "pandas", "mlflow", "hydra-core")
    versions = {name: version(name) for name in libraries}
    kind = [platform.machine(), platform.system(), f"Python {platform.python_version()}"]
    kind += [f"NumPy {versions['numpy']}", f"numba {versions['numba']}"]
    kind += [f"llvmlite {versions['llvmlite']}"]  # the LLVM that compiles small networks
    kind += [f"SciPy {versions['scipy']}"]  # compiled kernels call its BLAS
    return {
        "sweep.platform": ", ".join(kind),
        "sweep.versions": ", ".join(f"{name} {text}" for name, text in versions.items()),
    }


@cache
def source_tags() -> dict[str, str]:
    """Return MLflow's tags for the user, the source and its Git commit."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # the user id of a container may have no name
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
