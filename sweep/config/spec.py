"""The specification of a run, with its signature and its trajectory's key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import RunFailed

if TYPE_CHECKING:
    from sweep.training.data import Data
    from sweep.training.network import Network

BUILT_IN = "sweep.backprop.Backprop"

RUN_KEYS = ("lr", "iters", "rule", "seed", "network", "data", "trainer")
"""The keys that describe a run; every run stores them as params."""

CONTROL_KEYS = (
    *("name", "note", "tags", "outputs", "tracking", "parent", "resume", "reuse", "dry_run"),
    *("fail_fast", "max_seconds", "budget", "model", "metric", "mode", "repeats"),
)
"""The keys of settings.Settings; none can be an axis."""


@dataclass(frozen=True)
class TrainerSpec:
    """The built-in trainer, or a user's class, with its keyword arguments."""

    target: str
    options: Mapping[str, Any]
    source: str | None = None  # hash of the user's source; None for the built-in
    shareable: bool = True
    thread_safe: bool = True

    @property
    def built_in(self) -> bool:
        """Whether this is the built-in trainer."""
        return self.target == BUILT_IN


@dataclass(frozen=True)
class RunSpec:
    """A validated run: all that determines its numbers."""

    lr: float
    iters: int
    rule: str | None  # resolved; None under a user's trainer
    seed: int
    network: Network
    data_digest: str
    trainer: TrainerSpec
    choices: Mapping[str, str]  # the chosen option of each group (network, data, trainer)
    config: Mapping[str, Any]  # the resolved configuration, without the control keys
    base: Path  # a relative data file is relative to it
    named: Mapping[str, Any] = field(default_factory=dict, compare=False)  # other keys, for params
    preparation: Mapping[str, Any] | None = field(default=None, compare=False)  # None if unchanged
    data_summary: str = field(default="", compare=False)  # how a file's rows are used
    stop: Mapping[str, Any] = field(default_factory=dict)  # `error` and `patience`, if set
    signature: str = field(init=False)
    trajectory: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "signature", _signature(self))
        object.__setattr__(self, "trajectory", trajectory_key(self.config, self.data_digest))

    def data(self) -> Data:
        """Return the data; the arrays of a file are cached.

        Raises ConfigError if it cannot be loaded, RunFailed if its content has changed since
        the signature was made.
        """
        from sweep.training.data import load_data

        data = load_data(self.config["data"], seed=self.seed, base=self.base)
        if data.digest != self.data_digest:
            raise RunFailed(
                f"data.file={self.config['data'].get('file')}: the file has other content than "
                "when the run was planned; put it back, or begin a new sweep."
            )
        return data

    @property
    def rule_unasked(self) -> bool:
        """Whether the rule defaults to `notebook` although the data is not the notebook's."""
        own_data = self.choices["data"] != "notebook" or self.config["data"].get("file")
        return self.rule == "notebook" and self.config.get("rule") is None and bool(own_data)

    @property
    def uses_seed(self) -> bool:
        """Whether the numbers depend on the seed."""
        network, data = self.config["network"], self.config["data"]
        split = data.get("folds") or not isinstance(data.get("validation") or "", str)
        drawn = network.get("init") or self.trainer.options.get("shuffle")
        drawn = drawn or (split and data.get("split_seed") is None)
        return bool(drawn) or not self.trainer.built_in

    def params(self) -> dict[str, str]:
        """Return the run's params as text; those common to all runs take precedence."""
        return {
            **{key: shown(value) for key, value in self.named.items()},
            "lr": repr(self.lr),
            "iters": str(self.iters),
            "rule": self.rule if self.rule is not None else "none",
            "seed": str(self.seed),
            **{group: self.choices[group] for group in ("network", "data", "trainer")},
        }


def canonical(value: Any) -> str:
    """Return canonical JSON of plain values: sorted keys, exact floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def shown(value: Any) -> str:
    """Return a configuration value as text for params and names: JSON, but a str unchanged."""
    return value if isinstance(value, str) else canonical(value)


def trajectory_key(config: Mapping[str, Any], data_digest: str) -> str:
    """Return the SHA-256 of a configuration without `iters`, and of the data's digest."""
    shared = {key: value for key, value in config.items() if key != "iters"}
    return _sha256([shared, data_digest])


def _sha256(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _signature(spec: RunSpec) -> str:
    """Return the SHA-256 of everything that determines the run's numbers, and nothing else."""
    from sweep.training.backprop import ALGORITHM

    network = spec.network
    parts: dict[str, Any] = {
        "iters": spec.iters,
        "seed": spec.seed,
        "lr": spec.lr,
        "data": spec.data_digest,
        "network": {
            "layers": network.layers,
            "activations": network.activations,
            "bias": network.bias,
            "loss": network.loss,
            "start": hashlib.sha256(network.flat().tobytes()).hexdigest(),
        },
        "trainer": [spec.trainer.target, dict(spec.trainer.options), spec.trainer.source],
    }
    if spec.trainer.built_in:
        parts |= {"rule": spec.rule, "algorithm": ALGORITHM}
    if spec.stop:
        parts["stop"] = dict(spec.stop)
    return _sha256(parts)


def remarks(specs: Sequence[RunSpec], axes: Sequence[str]) -> Iterator[str]:
    """Yield notes on valid settings whose effect the user may not expect."""
    if "seed" in axes and not any(spec.uses_seed for spec in specs):
        yield (
            "seed: it changes nothing here, for the weights are given and no samples are drawn; "
            "leave the axis out, or draw weights with network.init.scheme=xavier."
        )
    if any(spec.rule_unasked for spec in specs):
        yield (
            "rule=notebook: the default network trains as its notebook does and never moves the "
            "hidden bias; for data of your own set network=auto or rule=gradient."
        )
