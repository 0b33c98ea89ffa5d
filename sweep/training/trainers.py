"""Import, hash and build trainers: the built-in one, or a user's class or generator function."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.checks import did_you_mean
from sweep.errors import ConfigError, RunFailed
from sweep.training.function import Function
from sweep.training.protocol import Batch, BatchOfOne
from sweep.training.stopping import Stopping
from sweep.training.surroundings import Failure, hold_blas, importing

if TYPE_CHECKING:
    from sweep.config.spec import RunSpec

METHODS = ("advance", "error", "weights")

GIVEN = ("data", "lr", "network", "seed")
"""Values passed to a user's trainer if it has a parameter of that name."""


def locate(target: str) -> Callable[..., Any]:
    """Return the class or generator function `target`, a name such as ``package.module.Name``.

    Raises ConfigError if it cannot be imported, is neither, or lacks a method of the protocol.
    """
    module_name, _, name = target.rpartition(".")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # `python -m` does this, the script `sweep` does not
    try:
        with importing(module_name):
            found: Callable[..., Any] = getattr(importlib.import_module(module_name), name)
    except (Exception, SystemExit) as error:
        kind = type(error)
        reason = f"it cannot be imported ({Failure.of(error).sentence}); "
        reason += "name a class or a function as package.module.name."
        if kind is SystemExit:
            reason = "as it is imported, it ends the process; move what does that below "
            reason += '`if __name__ == "__main__"`.'
        elif kind is RunFailed:
            reason = f"as it is imported, {error}"
        elif kind.__module__.startswith("mlflow"):
            reason = f"as it is imported, MLflow is called ({kind.__name__}); "
            reason += "call it in training, when the sweep's store is open."
        raise ConfigError(f"trainer._target_={target}: {reason}") from error
    if is_function(found):
        return found
    if inspect.isfunction(found):
        raise ConfigError(
            f"trainer._target_={target}: this function does not yield; yield the error before "
            "training and after each iteration, or name a class."
        )
    if not inspect.isclass(found):
        raise ConfigError(
            f"trainer._target_={target}: name the class or the generator function that trains, "
            f"not a {type(found).__name__}."
        )
    missing = [method for method in METHODS if not callable(getattr(found, method, None))]
    if missing:
        raise ConfigError(
            f"trainer._target_={target}: the class lacks {', '.join(f'{m}()' for m in missing)}; "
            "a trainer has advance(iterations), error() and weights()."
        )
    return found


def is_function(trainer: Any) -> bool:
    """Return whether a trainer is a generator function, decorated or not."""
    function = inspect.unwrap(trainer)
    return not isinstance(function, partial) and inspect.isgeneratorfunction(function)


@cache
def source_of(trainer: Callable[..., Any]) -> bytes:
    """Return the source file of a class or function.

    It is read once, soon after its import: later changes have no effect in this process. Raises
    ConfigError if there is no source file.
    """
    with suppress(TypeError):
        if path := inspect.getsourcefile(inspect.unwrap(trainer)):
            return Path(path).read_bytes()
    raise ConfigError(
        f"trainer._target_={trainer.__module__}.{trainer.__qualname__}: its source cannot be "
        "found; put it into a file of its own."
    )


def source_hash(trainer: Callable[..., Any]) -> str:
    """Return SHA-256 of the source file of a class or function, a part of the signature."""
    return hashlib.sha256(source_of(trainer)).hexdigest()


def _parameters(trainer: Callable[..., Any]) -> dict[str, inspect.Parameter] | None:
    """Return the parameters of a trainer, None if it has no signature."""
    try:
        return dict(inspect.signature(trainer).parameters)
    except ValueError:  # a subclass of a built-in type without an __init__
        return None


def _named(parameters: Mapping[str, inspect.Parameter]) -> dict[str, inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: one for name, one in parameters.items() if one.kind in kinds}


def not_taken(trainer: Callable[..., Any], options: Iterable[str]) -> list[str]:
    """Return the options that a trainer has no parameter for."""
    parameters = _parameters(trainer)
    if parameters is None or any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return []
    return [name for name in options if name not in _named(parameters)]


def check_options(trainer: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raise ConfigError if a trainer lacks a parameter for an option or requires another one."""
    called, named = trainer.__name__, _named(_parameters(trainer) or {})
    takes = f"; it takes {', '.join(named) or 'none'}."
    problems = [
        f"trainer.{name}: {called} takes no such argument{did_you_mean(name, named) or takes}"
        for name in not_taken(trainer, options)
    ]
    problems += [
        f"trainer: {called} needs the argument {name}; {_advice(name, trainer)}."
        for name, parameter in named.items()
        if parameter.default is parameter.empty and name not in {*options, *GIVEN}
    ]
    if problems:
        raise ConfigError(*problems)


def _advice(name: str, trainer: Callable[..., Any]) -> str:
    if name == "iters" and is_function(trainer):
        return (
            "leave it out and yield without end (`while True:`): a run takes as many values as it "
            "needs. Only with `iters: ${iters}` in its file is it passed, and then no training is "
            "shared"
        )
    return f"add `{name}: ...` to its file"


def build_batch(specs: Sequence[RunSpec]) -> Batch:
    """Build trainers at step 0 for trajectories that train in one batch.

    Several specs must have the built-in trainer without `stop` and differ only in weights and rate.
    A user's trainer gets its own options, and the values of GIVEN that it has parameters for.
    Raises RunFailed if the trainer's source or the data differs from that of the signature.
    """
    first = specs[0]
    if first.trainer.built_in:
        from sweep.training.backprop import Backprop  # imported late: loads SciPy or LLVM

        assert first.rule is not None
        batch: Batch = Backprop(
            [spec.network for spec in specs],
            first.data(),
            lrs=[spec.lr for spec in specs],
            rule=first.rule,
            seed=first.seed,
            **first.trainer.options,
        )
    else:
        batch = _own(first)
    return Stopping(batch, **first.stop) if first.stop else batch


def _own(spec: RunSpec) -> Batch:
    found = locate(spec.trainer.target)
    if source_hash(found) != spec.trainer.source:
        raise RunFailed(
            f"trainer._target_={spec.trainer.target}: where it trains its source is not the one "
            "that the run was planned with; put the file back or bring the same one there, or "
            "begin a new sweep."
        )
    options, parameters = dict(spec.trainer.options), _parameters(found) or {}
    for name in GIVEN:
        if name in parameters and name not in options:
            options[name] = spec.data() if name == "data" else getattr(spec, name)
    hold_blas()
    made = found(**options)
    batch = Function(found.__name__, made) if is_function(found) else BatchOfOne(made)
    hold_blas()  # libraries that the trainer has loaded
    return batch
