"""Environment variables, threads, captured output and exceptions of a training."""

from __future__ import annotations

import io
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, update_wrapper
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any, NoReturn

from sweep.checks import escaped
from sweep.errors import RunFailed
from sweep.training.names import OWN_RUN, RUN_ID, trainer_metric

if TYPE_CHECKING:
    from sweep.training.history import RunResult


@dataclass(frozen=True)
class Failure:
    """An exception as one line and as formatted traceback, with the output printed before it."""

    sentence: str
    traceback: str | None = None
    printed: str = ""
    trained: RunResult | None = None  # what the run had trained before

    @classmethod
    def of(cls, error: BaseException, printed: str = "") -> Failure:
        """Return the failure for an exception."""
        shown = traceback.TracebackException.from_exception(error)  # also if its str() raises
        lines = escaped(f"{type(error).__name__}: {str(shown).strip()}").splitlines()
        return cls(lines[0], escaped("".join(shown.format())), printed)


_held = threading.local()  # `text`: output of a thread in training
_lock = threading.Lock()
_threads = 0
_before: dict[str, str | None] = {}
_users = 0


class _Output:
    """Standard output of the process; threads in training write to separate buffers."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def write(self, text: str) -> int:  # may be kept, and called in another thread
        written: int = getattr(_held, "text", self.original).write(text)
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        getattr(_held, "text", self.original).writelines(lines)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


@contextmanager
def captured() -> Iterator[None]:
    """Capture what this thread prints within; `take` returns it."""
    global _threads
    with _lock:
        _threads += 1
        if _threads == 1:
            sys.stdout = _Output(sys.stdout)
    _held.text = io.StringIO()
    try:
        yield
    finally:
        del _held.text
        with _lock:
            _threads -= 1
            if not _threads and isinstance(sys.stdout, _Output):
                sys.stdout = sys.stdout.original


def take() -> str:
    """Return what this thread has printed since the last call."""
    text = getattr(_held, "text", io.StringIO())
    printed = escaped(text.getvalue())
    text.seek(0)
    text.truncate()
    return printed


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables within; the last of concurrent users restores the old values."""
    global _users
    with _lock:
        _users += 1
        for name in variables:
            _before.setdefault(name, os.environ.get(name))
        os.environ.update(variables)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                for name, value in _before.items():
                    os.environ.pop(name, None)
                    if value is not None:
                        os.environ[name] = value
                _before.clear()


STORE_CALLS = ("set_tracking_uri", "set_experiment", "create_experiment")
"""Functions of MLflow that choose where it logs; they raise RunFailed in training code."""


@contextmanager
def importing(module: str) -> Iterator[None]:
    """Import a module of training code within: it cannot choose where MLflow logs, then or later.

    MLflow is not imported for this. Changes of its environment variables are undone.
    """
    if "mlflow" in sys.modules:
        _replace_calls()
    elif not any(isinstance(finder, _MlflowFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _MlflowFinder())
    if module in sys.modules:  # other threads may be in training
        yield
        return
    before = {name: text for name, text in os.environ.items() if name.startswith("MLFLOW_")}
    os.environ["MLFLOW_TRACKING_URI"] = "nowhere:"  # no run has begun yet
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            del os.environ[name]
        os.environ.update(before)


class _MlflowFinder(MetaPathFinder):
    """Replaces functions of MLflow as soon as it is imported, not where it is only looked for."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != "mlflow":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (one.find_spec(name, path, target) for one in others)), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                _replace_calls()
                sys.meta_path.remove(self)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _replace_calls() -> None:
    """Replace the functions of MLflow that training code must not, or may not plainly, call."""
    mlflow, fluent = sys.modules["mlflow"], sys.modules["mlflow.tracking.fluent"]
    for name in STORE_CALLS:
        for module in (mlflow, sys.modules["mlflow.tracking"], fluent):
            setattr(module, name, partial(_refuse, name))
    if isinstance(fluent.start_run, partial):
        return
    ours: Mapping[str, Callable[..., Any]] = {
        "start_run": _start_run,
        "end_run": _end_run,
        "log_metric": _log_metric,
        "log_metrics": _log_metrics,
    }
    for name, replacement in ours.items():
        original = getattr(fluent, name)
        for module in (mlflow, fluent):
            setattr(module, name, update_wrapper(partial(replacement, original), original))


def _start_run(
    original: Callable[..., Any],
    run_id: str | None = None,
    experiment_id: str | None = None,
    run_name: str | None = None,
    nested: bool = False,
    parent_run_id: str | None = None,
    **options: Any,
) -> Any:
    """Continue the grid point's run, active or not; with `nested` start a run below it."""
    own = os.environ.get(OWN_RUN)
    if own and not nested:
        os.environ[RUN_ID] = own
    elif own:
        os.environ.pop(RUN_ID, None)
        if sys.modules["mlflow"].active_run() is None:
            parent_run_id = parent_run_id or own
    with _own_run_named():
        return original(run_id, experiment_id, run_name, True, parent_run_id, **options)


def _end_run(original: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """End the active run."""
    with _own_run_named():
        return original(*args, **options)


@contextmanager
def _own_run_named() -> Iterator[None]:
    """Set RUN_ID again after a call in which MLflow removes it."""
    try:
        yield
    finally:
        if OWN_RUN in os.environ:
            os.environ[RUN_ID] = os.environ[OWN_RUN]


def _log_metric(original: Callable[..., Any], key: str, *args: Any, **options: Any) -> Any:
    """Log a metric; one with a name of ours as ``trainer/NAME``."""
    return original(trainer_metric(key), *args, **options)


def _log_metrics(
    original: Callable[..., Any], metrics: Mapping[str, float], *args: Any, **options: Any
) -> Any:
    """Log metrics; those with names of ours as ``trainer/NAME``."""
    named = {trainer_metric(key): value for key, value in metrics.items()}
    return original(named, *args, **options)


def _refuse(name: str, *_: Any, **__: Any) -> NoReturn:
    raise RunFailed(
        f"mlflow.{name} is called; leave it out, as the sweep names its own store and experiment "
        "(tracking.uri, tracking.experiment)."
    )


ONE_THREAD = dict.fromkeys(
    (
        "BLIS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)
"""Limit BLAS and OpenMP, as the bits of a product depend on the number of threads.

The libraries read these variables when they are loaded.
"""


def hold_blas() -> None:
    """Limit libraries to one thread: those already loaded, in this thread, and those to come."""
    import threadpoolctl  # imported late: 30 ms, for users' trainers only

    os.environ.update(ONE_THREAD)
    threadpoolctl.threadpool_limits(1)
