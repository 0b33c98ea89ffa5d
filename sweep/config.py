"""Turn a resolved configuration into a frozen RunSpec, or refuse it in one sentence.

Nobody below this module reaches into a configuration: a RunSpec is all that training and
recording see. The configuration arrives as plain Python values (Hydra has composed and
resolved it), so everything here also works on one that was stored and read back.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import ConfigError, ConfigErrors
from sweep.spec import BUILT_IN, RunSpec, Settings, TrainerSpec

if TYPE_CHECKING:
    from sweep.data import Data
    from sweep.network import Network

__all__ = [
    "CONTROL_KEYS",
    "RUN_KEYS",
    "did_you_mean",
    "reading_settings",
    "run_spec",
    "settings",
]

RUN_KEYS = ("lr", "iters", "rule", "seed", "network", "data", "trainer")
"""The keys that describe a run; every run stores them as params."""

CONTROL_KEYS = (
    "outputs",
    "resume",
    "reuse",
    "dry_run",
    "fail_fast",
    "max_seconds",
    "tracking",
    "parent",
)
"""The keys that say how a command runs; none of them can be an axis."""


def run_spec(config: Mapping[str, Any], choices: Mapping[str, Any], base: Path) -> RunSpec:
    """Check a resolved configuration and freeze it.

    Parameters
    ----------
    config
        The resolved configuration without Hydra's own node, as plain values.
    choices
        The chosen option of each group.
    base
        The folder that a relative data file is relative to.

    Raises
    ------
    ConfigErrors
        Everything that is wrong, one sentence each.
    """
    problems: list[str] = []

    def checked(check: Any, *arguments: Any) -> Any:
        try:
            return check(*arguments)
        except ConfigErrors as error:
            problems.extend(error.messages)
        except ConfigError as error:
            problems.append(str(error))
        return None

    lr = checked(_learning_rate, config.get("lr"))
    iters = checked(_iterations, config.get("iters"))
    seed = checked(_seed, config.get("seed"))
    trainer = checked(_trainer, config.get("trainer"))
    network = checked(_network, config.get("network"), 0 if seed is None else seed)
    data = checked(_data, config.get("data"), 0 if seed is None else seed, base)
    names = {group: str(choices.get(group) or "custom") for group in ("network", "data", "trainer")}
    rule = None
    if network is not None and trainer is not None:
        rule = checked(_rule, config.get("rule"), names["network"], network, trainer)
    if network is not None and data is not None and trainer is not None and trainer.built_in:
        checked(_fit, network, data)
    if problems:
        raise ConfigErrors(problems)
    plain = {key: value for key, value in config.items() if key not in CONTROL_KEYS}
    return RunSpec(
        lr=lr,
        iters=iters,
        rule=rule,
        seed=seed,
        network=network,
        data_digest=data.digest,
        trainer=trainer,
        choices=names,
        config={**plain, "lr": lr, "iters": iters, "seed": seed},
        base=base,
    )


def settings(config: Mapping[str, Any], cwd: Path) -> Settings:
    """Check the control keys of a resolved configuration.

    Raises
    ------
    ConfigErrors
        Everything that is wrong, one sentence each.
    """
    problems: list[str] = []
    tracking = config.get("tracking")
    if not isinstance(tracking, Mapping):
        raise ConfigErrors(
            [_told("tracking", tracking, "choose tracking=local or tracking=server")]
        )
    unknown = set(tracking) - set(TRACKING_KEYS)
    problems += [
        f"tracking.{key}: there is no such key{did_you_mean(key, TRACKING_KEYS) or '.'}"
        for key in sorted(unknown)
    ]
    if tracking.get("kind") not in ("local", "server"):
        problems.append(_told("tracking.kind", tracking.get("kind"), "use local or server"))
    experiment = tracking.get("experiment")
    if not isinstance(experiment, str) or not experiment.strip() or len(experiment) > 250:
        problems.append(
            _told("tracking.experiment", experiment, "give a name of 1 to 250 characters")
        )
    uri = tracking.get("uri")
    if uri is not None and not isinstance(uri, str):
        problems.append(_told("tracking.uri", uri, "give the server's address"))
    outputs = config.get("outputs")
    if not isinstance(outputs, str) or not outputs.strip() or "\0" in outputs:
        problems.append(_told("outputs", outputs, "give the path of a folder"))
    for key in ("reuse", "dry_run", "fail_fast"):
        if not isinstance(config.get(key), bool):
            problems.append(_told(key, config.get(key), "say true or false"))
    resume = config.get("resume")
    if resume is not None and not isinstance(resume, str):
        problems.append(_told("resume", resume, "give `last` or a sweep's id"))
    seconds = config.get("max_seconds")
    if seconds is not None and not (_is_number(seconds) and 0 < seconds < math.inf):
        problems.append(_told("max_seconds", seconds, "give seconds above 0, or null for no limit"))
    parent = config.get("parent")
    if problems:
        raise ConfigErrors(problems)
    return Settings(
        outputs=(cwd / str(outputs)).resolve(),
        tracking_kind=str(tracking["kind"]),
        tracking_uri=uri,
        experiment=str(experiment),
        resume=resume,
        reuse=bool(config["reuse"]),
        dry_run=bool(config["dry_run"]),
        fail_fast=bool(config["fail_fast"]),
        max_seconds=None if seconds is None else float(seconds),
        parent=None if parent is None else str(parent),
    )


def reading_settings(config: Mapping[str, Any], cwd: Path) -> Settings:
    """Check the configuration of a command that only reads: `outputs` and `tracking`.

    Raises
    ------
    ConfigErrors
        Everything that is wrong, one sentence each.
    """
    unused = {"reuse": False, "dry_run": False, "fail_fast": False}
    return settings({**unused, **config}, cwd)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'lr'?`` where a known word is close, else nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _told(key: str, value: Any, advice: str) -> str:
    shown = "null" if value is None else str(value)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return f"{key}={shown}: {advice}" + ("" if advice.endswith("?") else ".")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _learning_rate(value: Any) -> float:
    if not _is_number(value) or not 0 < value < math.inf:
        raise ConfigError(_told("lr", value, "the learning rate must be a finite number above 0"))
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(
            _told("lr", value, "the learning rate must be a finite number above 0")
        ) from None


def _iterations(value: Any) -> int:
    whole = _is_number(value) and value == value and abs(value) != math.inf
    if not whole or value < 1 or int(value) != value:
        raise ConfigError(
            _told("iters", value, "the iterations must be a whole number of at least 1")
        )
    return int(value)


def _seed(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(_told("seed", value, "the seed must be a whole number of at least 0"))
    return value


def _rule(value: Any, choice: str, network: Network, trainer: TrainerSpec) -> str | None:
    from sweep.network import RULES, check_rule

    if not trainer.built_in:
        if value is not None:
            raise ConfigError(
                _told(
                    "rule",
                    value,
                    "a rule has no meaning under a trainer of your own; leave it null",
                )
            )
        return None
    if value is None:
        if choice != "notebook":
            return "gradient"
        try:
            check_rule(network, "notebook")
        except ConfigError:
            return "gradient"
        return "notebook"
    if value not in RULES:
        raise ConfigError(
            _told(
                "rule", value, f"the rule is one of {', '.join(RULES)}{did_you_mean(value, RULES)}"
            )
        )
    check_rule(network, value)
    return str(value)


TRACKING_KEYS = ("kind", "experiment", "uri")
NETWORK_KEYS = ("layers", "activation", "loss", "bias", "weights", "biases", "init")


def _network(value: Any, seed: int) -> Network:
    from sweep.network import Network

    if not isinstance(value, Mapping):
        raise ConfigError(_told("network", value, "choose one with network=NAME"))
    unknown = [key for key in value if key not in NETWORK_KEYS]
    if unknown:
        raise ConfigErrors(
            [
                f"network.{key}: there is no such key{did_you_mean(key, NETWORK_KEYS) or '.'}"
                for key in unknown
            ]
        )
    return Network.build(**{str(key): item for key, item in value.items()}, seed=seed)


def _data(value: Any, seed: int, base: Path) -> Data:
    from sweep.data import load_data

    if not isinstance(value, Mapping):
        raise ConfigError(_told("data", value, "choose one with data=NAME"))
    return load_data(value, seed=seed, base=base)


def _fit(network: Network, data: Data) -> None:
    features, outputs = data.inputs.shape[1], data.targets.shape[1]
    if features != network.layers[0]:
        raise ConfigError(
            f"network.layers={list(network.layers)}: the first layer has {network.layers[0]} "
            f"neurons, but the data has {features} inputs; make them equal."
        )
    if outputs != network.layers[-1]:
        raise ConfigError(
            f"network.layers={list(network.layers)}: the last layer has {network.layers[-1]} "
            f"neurons, but the data has {outputs} targets; make them equal."
        )


def _trainer(value: Any) -> TrainerSpec:
    if not isinstance(value, Mapping) or not isinstance(value.get("_target_"), str):
        raise ConfigError(
            "trainer: `_target_` must name the class that trains; trainer=backprop is the built-in."
        )
    options = {str(key): item for key, item in value.items() if key != "_target_"}
    if value["_target_"] == BUILT_IN:
        if options:
            raise ConfigError(
                f"trainer.{next(iter(options))}: the built-in trainer has no such setting."
            )
        return TrainerSpec(BUILT_IN, {})
    from sweep.trainers import locate, source_hash

    cls = locate(value["_target_"])
    return TrainerSpec(
        value["_target_"],
        options,
        source_hash(cls),
        shareable=bool(getattr(cls, "shareable", True)),
        thread_safe=bool(getattr(cls, "thread_safe", False)),
    )
