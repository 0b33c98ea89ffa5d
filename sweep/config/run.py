"""Turn a resolved configuration into a frozen RunSpec, or refuse it in one sentence.

Nobody below this module reaches into a configuration: a RunSpec is all that training and
recording see. The configuration arrives as plain Python values (Hydra has composed and
resolved it), so everything here also works on one that was stored and read back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.checks import did_you_mean, is_number, no_such_key, refuse_quotes, told
from sweep.config.settings import CONTROL_KEYS
from sweep.config.spec import BUILT_IN, RunSpec, TrainerSpec
from sweep.errors import ConfigError, ConfigErrors, gathered

if TYPE_CHECKING:
    from sweep.training.data import Data
    from sweep.training.network import Network

__all__ = ["RUN_KEYS", "run_spec"]

RUN_KEYS = ("lr", "iters", "rule", "seed", "network", "data", "trainer")
"""The keys that describe a run; every run stores them as params."""


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
    from sweep.training.network import check_fit

    problems: list[str] = []

    def checked(check: Any, *arguments: Any) -> Any:
        with gathered(problems):
            return check(*arguments)

    lr = checked(_learning_rate, config.get("lr"))
    iters = checked(_iterations, config.get("iters"))
    seed = checked(_seed, config.get("seed"))
    network = checked(_network, config.get("network"), 0 if seed is None else seed)
    data = checked(_data, config.get("data"), 0 if seed is None else seed, base)
    trainer = checked(_trainer, config.get("trainer"), data)
    names = {group: str(choices.get(group) or "custom") for group in ("network", "data", "trainer")}
    rule = None
    if network is not None and trainer is not None:
        rule = checked(_rule, config.get("rule"), names["network"], network, trainer)
    if network is not None and data is not None and trainer is not None and trainer.built_in:
        checked(check_fit, network, data.inputs, data.targets)
    plain = {key: value for key, value in config.items() if key not in CONTROL_KEYS}
    others = {key: value for key, value in plain.items() if key not in ("lr", "iters", "seed")}
    problems = problems or [
        told(key, value, "plan.json can hold finite numbers only; write it as text, in quotes")
        for key, value in _not_finite(others)
    ]
    if problems:
        raise ConfigErrors(problems)
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


def _not_finite(values: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Yield each NaN and infinity of nested values, by its dotted key."""
    if isinstance(values, float):
        if not math.isfinite(values):
            yield name, values
    elif isinstance(values, Mapping | list):
        items = values.items() if isinstance(values, Mapping) else enumerate(values)
        for key, value in items:
            yield from _not_finite(value, f"{name}.{key}" if name else str(key))


def _learning_rate(value: Any) -> float:
    refuse_quotes("lr", value, _learning_rate)
    advice = "the learning rate must be a finite number above 0"
    if not is_number(value) or not value > 0:
        raise ConfigError(told("lr", value, advice))
    try:
        lr = float(value)
    except OverflowError:  # a whole number of more than 308 digits
        lr = math.inf
    if lr == math.inf:
        raise ConfigError(told("lr", value, f"{advice}; double precision ends at 1.8e308"))
    return lr


def _iterations(value: Any) -> int:
    refuse_quotes("iters", value, _iterations)
    whole = is_number(value) and value == value and abs(value) != math.inf
    if not whole or value < 1 or int(value) != value:
        raise ConfigError(
            told("iters", value, "the iterations must be a whole number of at least 1")
        )
    return int(value)


def _seed(value: Any) -> int:
    refuse_quotes("seed", value, _seed)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(told("seed", value, "the seed must be a whole number of at least 0"))
    return value


def _rule(value: Any, choice: str, network: Network, trainer: TrainerSpec) -> str | None:
    from sweep.training.network import RULES, check_rule

    if not trainer.built_in:
        if value is not None:
            raise ConfigError(
                told(
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
            told(
                "rule", value, f"the rule is one of {', '.join(RULES)}{did_you_mean(value, RULES)}"
            )
        )
    check_rule(network, value)
    return str(value)


NETWORK_KEYS = ("layers", "activation", "loss", "bias", "weights", "biases", "init")


def _network(value: Any, seed: int) -> Network:
    from sweep.training.network import Network

    if not isinstance(value, Mapping):
        raise ConfigError(told("network", value, "choose one with network=NAME"))
    unknown = [key for key in value if key not in NETWORK_KEYS]
    if unknown:
        raise ConfigErrors([no_such_key("network", key, NETWORK_KEYS) for key in unknown])
    return Network.build(**{str(key): item for key, item in value.items()}, seed=seed)


def _data(value: Any, seed: int, base: Path) -> Data:
    from sweep.training.data import load_data

    if not isinstance(value, Mapping):
        raise ConfigError(told("data", value, "choose one with data=NAME"))
    return load_data(value, seed=seed, base=base)


def _trainer(value: Any, data: Data | None) -> TrainerSpec:
    if not isinstance(value, Mapping) or not isinstance(value.get("_target_"), str):
        raise ConfigError(
            "trainer: `_target_` must name the class that trains; trainer=backprop is the built-in."
        )
    from sweep.training.trainers import built_in_options, check_options, locate, source_hash

    options = {str(key): item for key, item in value.items() if key != "_target_"}
    if value["_target_"] == BUILT_IN:
        return TrainerSpec(BUILT_IN, built_in_options(options, data))
    cls = locate(value["_target_"])
    check_options(cls, options)
    return TrainerSpec(
        value["_target_"],
        options,
        source_hash(cls),
        shareable=bool(getattr(cls, "shareable", True)),
        thread_safe=bool(getattr(cls, "thread_safe", False)),
    )
