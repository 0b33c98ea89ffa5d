"""Convert a stored run to the specification to retrain, or to the reason why it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.config.run import run_spec
from sweep.config.spec import BUILT_IN, RunSpec
from sweep.engine.plan import Cell
from sweep.errors import ConfigError
from sweep.tracking.artifacts import CONFIG, read_config
from sweep.tracking.entities import entity_name, short
from sweep.verify.compare import FILE, MISSING, Values, flat

if TYPE_CHECKING:
    from sweep.tracking.read import StoredRun

SIGNATURE = "sweep.signature"


@dataclass(frozen=True)
class Case:
    """A run with the stored and expected values of its configuration, and the grid point to train.

    `cell` is None if it is not retrained; `reason` explains that, or a likely difference.
    """

    run: StoredRun
    stored: Values
    expected: Values
    cell: Cell | None
    reason: str = ""


def case_of(run: StoredRun, document: Mapping[str, Any] | None, base: Path, trainer: str) -> Case:
    """Return the case of a run; `document` is its grid point in ``plan.json``, if it has one.

    The plan's configuration is retrained; the run's ``config.yaml`` if there is no plan, or if
    only the latter matches the stored signature.
    """
    own, plan = _own_config(run), document or {}
    choices, keys = plan.get("choices"), plan.get("params")
    if not isinstance(choices, Mapping):
        choices = {group: run.params.get(group) for group in ("network", "data", "trainer")}
    keys = keys if isinstance(keys, Mapping) else run.params
    known = [run.tags.get(SIGNATURE), plan.get("signature")]
    configs = [config for config in (plan.get("config"), own) if isinstance(config, Mapping)]
    found = [_trainable(config, choices, known, keys, base, trainer) for config in configs]
    specs = [spec for spec in found if isinstance(spec, RunSpec)]
    there = isinstance(own, Mapping)
    if not specs:
        expected = configs[0] if configs and there else FILE
        reasons = [text for text in found if isinstance(text, str)]
        reason = (*reasons, "its configuration is missing")[0]
        return Case(run, flat({CONFIG: own}), flat({CONFIG: expected}), None, reason)
    spec = next((spec for spec in specs if spec.signature == known[0]), specs[0])
    values = plan.get("values")
    cell = Cell(0, (), values if isinstance(values, Mapping) else {}, spec)
    params = cell.params()
    tags = {SIGNATURE: known[0] or MISSING}
    stored = {CONFIG: own, "param": run.params, "tag": tags}
    expected = {
        CONFIG: spec.config if there else FILE,
        "param": {entity_name(key): short(value) for key, value in params.items()},
        "tag": {SIGNATURE: spec.signature},
    }
    if document is not None:
        says = {"config": spec.config, "params": params, "signature": spec.signature}
        stored["plan.json"] = {field: plan.get(field, MISSING) for field in says}
        expected["plan.json"] = {
            field: value if field in plan else "a field" for field, value in says.items()
        }
    file = spec.config["data"].get("file")
    changed = f"has its data file {file} changed?" if file and spec.signature not in known else ""
    return Case(run, flat(stored), flat(expected), cell, changed)


def _own_config(run: StoredRun) -> Any:
    """Return ``config.yaml``; MISSING if there is none, a description if it cannot be read."""
    content = run.artifacts.read(run.run_id, CONFIG) if run.artifacts else None
    if content is None:
        return MISSING
    try:
        return read_config(content) or "what holds no configuration"
    except Exception as error:  # a YAML reader may raise anything on damaged bytes
        return f"what cannot be read ({type(error).__name__})"


def _trainable(
    config: Mapping[str, Any],
    choices: Mapping[str, Any],
    known: Sequence[Any],
    keys: Iterable[str],
    base: Path,
    trainer: str,
) -> RunSpec | str:
    """Return the specification of a stored configuration, or why it is not retrained."""
    own = config.get("trainer")
    target = own.get("_target_") if isinstance(own, Mapping) else None
    if target not in (BUILT_IN, trainer):
        return (
            f"its trainer {target} is run again only when your own configuration names it "
            "(add trainer=NAME, with --config-dir where it is yours)"
        )
    try:
        spec = run_spec(config, choices, base, keys)
    except ConfigError as error:
        return f"its configuration is refused today: {error}"
    except Exception as error:  # a manipulated configuration may contain anything
        return f"its configuration cannot be used: {type(error).__name__}: {error}"
    if not spec.trainer.built_in and spec.signature not in known:
        return f"the source of {target}, its settings or the data are not what the signature says"
    return spec
