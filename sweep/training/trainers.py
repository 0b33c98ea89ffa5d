"""Find, hash and build what trains: the built-in trainer, or a class that a user names."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from sweep.checks import did_you_mean, no_such_key, refuse_quotes, told
from sweep.errors import ConfigError, ConfigErrors, RunFailed

if TYPE_CHECKING:
    from sweep.config.spec import RunSpec
    from sweep.training.backprop import Backprop
    from sweep.training.data import Data
    from sweep.training.training import Trainer

__all__ = [
    "Single",
    "build_trainer",
    "built_in_options",
    "check_options",
    "locate",
    "source_hash",
]

METHODS = ("advance", "error", "weights")

GIVEN = ("data", "network")
"""What a user's class gets from the program where its constructor has a parameter of the name."""

BUILT_IN_KEYS = ("batch_size", "shuffle")


def locate(target: str) -> type:
    """Import the class that `target` names, as ``package.module.Class``.

    Raises
    ------
    ConfigError
        It cannot be imported, is no class, or lacks a method of the protocol.
    """
    module_name, _, class_name = target.rpartition(".")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # as `python -m` has it; an installed `sweep` has not
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:
        raise ConfigError(
            f"trainer._target_={target}: it cannot be imported ({type(error).__name__}: {error}); "
            "name a class as package.module.Class."
        ) from error
    if not inspect.isclass(found):
        raise ConfigError(
            f"trainer._target_={target}: name the class that trains, not a {type(found).__name__}."
        )
    missing = [method for method in METHODS if not callable(getattr(found, method, None))]
    if missing:
        raise ConfigError(
            f"trainer._target_={target}: the class lacks {', '.join(f'{m}()' for m in missing)}; "
            "a trainer has advance(iterations), error() and weights()."
        )
    return found


@cache
def source_hash(cls: type) -> str:
    """Return SHA-256 of the source file of a class, so that a changed class makes new runs.

    The file is read once, soon after it was imported: what it says later is not what runs.

    Raises
    ------
    ConfigError
        The class has no source file.
    """
    try:
        path = inspect.getsourcefile(cls)
    except TypeError:
        path = None
    if path is None:
        raise ConfigError(
            f"trainer._target_={cls.__module__}.{cls.__qualname__}: its source cannot be found; "
            "put the class into a file of its own."
        )
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def built_in_options(options: Mapping[str, Any], data: Data | None) -> dict[str, Any]:
    """Check the settings of the built-in trainer; return those that change a number.

    A batch size that takes all samples is the full batch and `shuffle` then says nothing, so
    that equal numbers have one signature.

    Raises
    ------
    ConfigErrors
        Everything that is wrong, one sentence each.
    """
    problems = [
        no_such_key("trainer", key, BUILT_IN_KEYS) for key in options if key not in BUILT_IN_KEYS
    ]
    size, shuffle = options.get("batch_size"), options.get("shuffle", True)
    try:
        _check_batch_size(size)
    except ConfigError as error:
        problems.append(str(error))
    if not isinstance(shuffle, bool):
        problems.append(told("trainer.shuffle", shuffle, "say true or false"))
    if problems:
        raise ConfigErrors(problems)
    if size is None or (data is not None and size >= len(data.inputs)):
        return {}
    return {"batch_size": size, "shuffle": shuffle}


def _check_batch_size(size: Any) -> None:
    refuse_quotes("trainer.batch_size", size, _check_batch_size)
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        advice = "give a whole number of at least 1, or null for all samples"
        raise ConfigError(told("trainer.batch_size", size, advice))


def check_options(cls: type, options: Mapping[str, Any]) -> None:
    """Raise ConfigErrors unless a user's class takes these keyword arguments, and no fewer."""
    try:
        parameters = inspect.signature(cls).parameters
    except (TypeError, ValueError):
        return  # a class of native code does not say what it takes
    named = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    problems = []
    takes = f"; it takes {', '.join(named) or 'none'}."
    if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        problems += [
            f"trainer.{name}: {cls.__name__} takes no such argument"
            f"{did_you_mean(name, named) or takes}"
            for name in options
            if name not in named
        ]
    problems += [
        f"trainer: {cls.__name__} needs the argument {name}; add `{name}: ...` to its file."
        for name, parameter in named.items()
        if parameter.default is parameter.empty and name not in {*options, *GIVEN}
    ]
    if problems:
        raise ConfigErrors(problems)


def build_trainer(spec: RunSpec) -> Trainer:
    """Build a fresh trainer at step 0 for a run.

    A user's class gets its own options, and the loaded data and the network where its
    constructor has a parameter of that name.

    Raises
    ------
    RunFailed
        The trainer's source, or the data, is not what the run's signature is made of.
    """
    if spec.trainer.built_in:
        return _built_in(spec)
    cls = locate(spec.trainer.target)
    if source_hash(cls) != spec.trainer.source:
        raise RunFailed(
            f"trainer._target_={spec.trainer.target}: where it trains its source is not the one "
            "that the run was planned with; put the file back or bring the same one there, or "
            "begin a new sweep."
        )
    options = dict(spec.trainer.options)
    parameters = inspect.signature(cls).parameters
    if "data" in parameters and "data" not in options:
        options["data"] = spec.data()
    if "network" in parameters and "network" not in options:
        options["network"] = spec.network
    trainer: Trainer = cls(**options)
    return trainer


def _built_in(spec: RunSpec) -> Trainer:
    from sweep.training.backprop import Backprop  # late: it loads SciPy or LLVM

    assert spec.rule is not None
    options = dict(spec.trainer.options)
    return Single(
        Backprop(
            [spec.network], spec.data(), lrs=[spec.lr], rule=spec.rule, seed=spec.seed, **options
        )
    )


class Single:
    """The only trajectory of a built-in trainer, as a trainer of its own."""

    thread_safe = True
    shareable = True

    def __init__(self, trainer: Backprop) -> None:
        self._trainer = trainer
        self._item = trainer.items[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._item, name)

    def advance(self, iterations: int) -> Any:
        """Train on; return the errors after each update, shape (iterations,)."""
        return self._trainer.advance(iterations)[0]

    def error(self) -> float:
        """Return the error now."""
        return self._item.error()

    def weights(self) -> Mapping[str, Any]:
        """Return the weights now, by name."""
        return self._item.weights()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in a fresh trainer."""
        self._item.restore(state)
        self._trainer.resume()
