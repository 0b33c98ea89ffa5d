"""Find, hash and build what trains: the built-in trainer, or a class that a user names."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from typing import TYPE_CHECKING

from sweep.errors import ConfigError

if TYPE_CHECKING:
    from sweep.spec import RunSpec
    from sweep.training import Trainer

__all__ = ["build_trainer", "locate", "source_hash"]

METHODS = ("advance", "error", "weights")


def locate(target: str) -> type:
    """Import the class that `target` names, as ``package.module.Class``.

    Raises
    ------
    ConfigError
        It cannot be imported, is no class, or lacks a method of the protocol.
    """
    module_name, _, class_name = target.rpartition(".")
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


def source_hash(cls: type) -> str:
    """Return SHA-256 of the source file of a class, so that a changed class makes new runs.

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


def build_trainer(spec: RunSpec) -> Trainer:
    """Build a fresh trainer at step 0 for a run.

    A user's class gets its own options, and the loaded data and the network where its
    constructor has a parameter of that name.
    """
    if spec.trainer.built_in:
        from sweep.backprop import Backprop

        assert spec.rule is not None
        return Backprop(spec.network, spec.data(), lr=spec.lr, rule=spec.rule, seed=spec.seed)
    cls = locate(spec.trainer.target)
    options = dict(spec.trainer.options)
    parameters = inspect.signature(cls).parameters
    if "data" in parameters and "data" not in options:
        options["data"] = spec.data()
    if "network" in parameters and "network" not in options:
        options["network"] = spec.network
    trainer: Trainer = cls(**options)
    return trainer
