"""Validate a resolved configuration (plain values, from Hydra or the store); make a RunSpec."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sweep.checks import invalid_value, written
from sweep.config.spec import BUILT_IN, CONTROL_KEYS, RUN_KEYS, RunSpec, TrainerSpec
from sweep.errors import ConfigError, MisfitError

if TYPE_CHECKING:
    from sweep.training.data import Data
    from sweep.training.network import Network

T = TypeVar("T")

PARAM = re.compile(r"[\w.\-/ ]+")
"""Keys that are valid names of MLflow params."""


def run_spec(
    config: Mapping[str, Any],
    choices: Mapping[str, Any],
    base: Path,
    keys: Collection[str] = (),
    unjudged: Collection[str] = (),
) -> RunSpec:
    """Validate a resolved configuration (plain values without `hydra`) and return its RunSpec.

    `choices` has the chosen option of each group, `base` is the folder that a relative data file
    is relative to, and each of `keys`, set on the command line, becomes a param. Groups that are
    `unjudged` are not validated. Raises ConfigError with one message for each invalid value, and if
    a group is unjudged; MisfitError if each option is valid, but their combination is not.
    """
    from sweep.config.models import Data, Run
    from sweep.config.validation import validated
    from sweep.training.data import load_data
    from sweep.training.network import check_fit

    problems: list[str] = []
    misfits: list[str] = []

    def checked(make: Callable[[], T]) -> T | None:
        try:
            return make()
        except MisfitError as error:
            misfits.extend(error.messages)
        except ConfigError as error:
            problems.extend(error.messages)
        return None

    names = {group: str(choices.get(group) or "custom") for group in ("network", "data", "trainer")}
    run = checked(lambda: validated(Run, config))
    seed = run.seed if run else 0
    samples = data = network = trainer = None
    if "data" not in unjudged:
        samples = checked(lambda: validated(Data, config.get("data"), "data").without_unset())
    if samples is not None:
        data = checked(lambda: load_data(samples, seed=seed, base=base))
    if "network" not in unjudged:
        network = checked(lambda: _network(config.get("network"), seed, data, keys))
    if "trainer" not in unjudged:
        trainer = checked(lambda: _trainer(config.get("trainer"), data, names["trainer"]))
    rule = None
    if run is not None and network is not None and trainer is not None:
        rule = checked(lambda: _rule(run.rule, names["network"], network, trainer))
    if network is not None and data is not None and trainer is not None and trainer.built_in:
        checked(lambda: check_fit(network, data))
    stop = checked(lambda: _stop(config.get("stop"), data, trainer))
    plain = {key: value for key, value in config.items() if key not in (*CONTROL_KEYS, "stop")}
    if stop:
        plain["stop"] = stop
    if network is not None and isinstance(plain["network"].get("init"), Mapping):
        init = {key: value for key, value in plain["network"]["init"].items() if value is not None}
        plain["network"] = {**plain["network"], "init": init or None}
    if samples is not None:
        plain["data"] = samples
    others = {key: value for key, value in plain.items() if key not in ("lr", "iters", "seed")}
    problems = problems or [
        invalid_value(
            key, value, "plan.json can hold finite numbers only; write it as text, in quotes"
        )
        for key, value in _not_finite(others)
    ]
    if run is None or data is None or problems or unjudged:
        raise ConfigError(*problems, *misfits)
    if misfits:
        raise MisfitError(*misfits)
    assert network is not None and trainer is not None
    prepared = any(plain["data"].get(key) for key in ("file", "standardize", "one_hot"))
    return RunSpec(
        lr=run.lr,
        iters=run.iters,
        rule=rule,
        seed=run.seed,
        network=network,
        data_digest=data.digest,
        trainer=trainer,
        choices=names,
        config={**plain, "lr": run.lr, "iters": run.iters, "seed": run.seed},
        base=base,
        named=_named(keys, plain, choices),
        preparation=data.preparation.document() if prepared else None,
        data_summary=data.summary,
        stop=stop or {},
    )


def _stop(value: Any, data: Data | None, trainer: TrainerSpec | None) -> dict[str, Any]:
    """Return the stop criteria that are set."""
    from sweep.config.models import Stop
    from sweep.config.validation import validated

    found = validated(Stop, {} if value is None else value, "stop").model_dump(exclude_none=True)
    without = data is not None and data.validation_inputs is None
    if "patience" in found and without and trainer is not None and trainer.built_in:
        advice = "there are no validation samples; keep some back, as data.validation=0.2"
        raise ConfigError(invalid_value("stop.patience", found["patience"], advice))
    return found


def value_of(
    key: str, config: Mapping[str, Any], choices: Mapping[str, Any], default: Any = None
) -> Any:
    """Return the value of a dotted key, or the option of a group; `default` if missing."""
    if key in choices:
        return choices[key]
    value: Any = config
    try:
        for part in key.split("."):
            value = value[int(part)] if isinstance(value, list) else value[part]
    except (LookupError, TypeError, ValueError):
        return default
    return value


def _named(
    keys: Iterable[str], config: Mapping[str, Any], choices: Mapping[str, Any]
) -> dict[str, Any]:
    others = (key for key in keys if key not in RUN_KEYS and PARAM.fullmatch(key))
    found = {key: value_of(key, config, choices, ...) for key in others}
    return {key: value for key, value in found.items() if value is not ...}  # ...: it was removed


def _not_finite(values: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Yield each NaN and infinity of nested values, by its dotted key."""
    if isinstance(values, float):
        if not math.isfinite(values):
            yield name, values
    elif isinstance(values, Mapping | list):
        items = values.items() if isinstance(values, Mapping) else enumerate(values)
        for key, value in items:
            yield from _not_finite(value, f"{name}.{key}" if name else str(key))


def _rule(value: str | None, choice: str, network: Network, trainer: TrainerSpec) -> str | None:
    from sweep.training.network import check_rule

    if not trainer.built_in:
        if value is not None:
            advice = "a rule has no meaning under a trainer of your own; leave it null"
            raise MisfitError(invalid_value("rule", value, advice))
        return None
    if value is not None:
        check_rule(network, value)
        return value
    if choice == "notebook":
        with suppress(ConfigError):
            check_rule(network, "notebook")
            return "notebook"
    return "gradient"


def _network(value: Any, seed: int, data: Data | None, keys: Collection[str]) -> Network | None:
    from sweep.config.models import AUTO
    from sweep.config.models import Network as Values
    from sweep.config.validation import validated
    from sweep.training.network import Network

    given = validated(Values, value, "network")
    init = given.init.model_dump(exclude_none=True)
    for key in keys if init and given.weights is not None else ():
        given_too = key.startswith(("network.weights", "network.biases"))
        if given_too and value.get(key.split(".")[1]) is not None:
            raise ConfigError(
                f"{key} beside network.init={written(init)}: drawn weights replace it; keep one, "
                "with network.init=null the given weights."
            )
    if data is None and AUTO in given.layers:
        return None  # the data has a message already
    widths = (0, 0) if data is None else (data.inputs.shape[1], data.targets.shape[1])
    return Network.build(**given.arguments(*widths), seed=seed)


def _trainer(value: Any, data: Data | None, choice: str) -> TrainerSpec:
    from sweep.config.models import Backprop
    from sweep.config.validation import no_mapping, validated

    if not isinstance(value, Mapping):
        raise ConfigError(no_mapping("trainer", value, ["_target_"]))
    if not isinstance(value.get("_target_"), str):
        raise ConfigError(
            "trainer: `_target_` must name what trains; trainer=backprop is the built-in."
        )
    from sweep.training.trainers import check_options, locate, not_taken, source_hash, source_of

    options = {str(key): item for key, item in value.items() if key != "_target_"}
    if value["_target_"] == BUILT_IN:
        found = validated(Backprop, options, "trainer")
        # with a batch of all samples neither setting changes a number, nor the signature
        whole = found.batch_size is None or (
            data is not None and found.batch_size >= len(data.inputs)
        )
        return TrainerSpec(BUILT_IN, {} if whole else found.model_dump())
    cls = locate(value["_target_"])
    source = source_hash(cls)  # raises an error for native code, which has no signature either
    if choice == "backprop":  # `_target_` was replaced: what is left of that file is not meant
        left = Backprop.model_validate({}).model_dump()
        for name in not_taken(cls, options):
            if left.get(name, ...) == options[name]:
                del options[name]
    check_options(cls, options)
    return TrainerSpec(
        value["_target_"],
        options,
        source,
        shareable=bool(getattr(cls, "shareable", True)),
        # MLflow finds its active run by an environment variable of the process.
        thread_safe=bool(getattr(cls, "thread_safe", False)) and b"mlflow" not in source_of(cls),
    )
