"""From a stored run to the specification that is trained again, or the reason why it is not."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.config.run import run_spec
from sweep.config.spec import BUILT_IN, RunSpec
from sweep.engine.plan import Cell
from sweep.errors import ConfigError
from sweep.tracking.entities import entity_name, short
from sweep.tracking.files import CONFIG
from sweep.verify.compare import MISSING
from sweep.verify.values import FILE, Values, flat

if TYPE_CHECKING:
    from sweep.tracking.stored import StoredRun

__all__ = ["Case", "Origin", "case_of", "paired"]

GROUPS = ("network", "data", "trainer")
SIGNATURE = "sweep.signature"


@dataclass(frozen=True)
class Origin:
    """Where relative data files lie, and the class that the user's current configuration names."""

    base: Path
    trainer: str = BUILT_IN


@dataclass(frozen=True)
class Case:
    """A stored run, what is compared without any training, and the cell to train.

    Attributes
    ----------
    stored, expected
        What run and plan say of its configuration, and what they should.
    cell
        None where it is not trained; `reason` says why.
    """

    run: StoredRun
    stored: Values
    expected: Values
    cell: Cell | None
    reason: str = ""


def paired(
    runs: Sequence[StoredRun], cells: Sequence[Mapping[str, Any]]
) -> tuple[list[tuple[StoredRun, Mapping[str, Any] | None]], list[Mapping[str, Any]]]:
    """Return each run with its cell of the plan, and the cells that no run is stored for.

    A run whose name or signature was changed still finds its cell by the other one.
    """
    left = dict(enumerate(cells))
    found: dict[str, Mapping[str, Any]] = {}
    for fields in (("name", "signature"), ("signature",), ("name",)):
        waiting: dict[Any, deque[int]] = defaultdict(deque)
        for position, cell in left.items():
            waiting[tuple(str(cell.get(field)) for field in fields)].append(position)
        for run in runs:
            values = {"name": run.name, "signature": run.tags.get(SIGNATURE)}
            key = tuple(values[field] for field in fields)
            if run.run_id not in found and waiting[key]:
                found[run.run_id] = left.pop(waiting[key].popleft())
    return [(run, found.get(run.run_id)) for run in runs], list(left.values())


def case_of(run: StoredRun, document: Mapping[str, Any] | None, origin: Origin) -> Case:
    """Return the case of a run.

    The configuration to train is the plan's; the run's own ``config.yaml`` where there is no
    plan, or where that one gives the stored signature and the plan's does not.

    Parameters
    ----------
    document
        Its cell as plan.json holds it; None for a run that no plan knows.
    """
    own, plan = _own_config(run), document or {}
    planned, values = plan.get("config"), plan.get("values")
    choices, keys = plan.get("choices"), plan.get("params")
    if not isinstance(choices, Mapping):
        choices = {group: run.params.get(group) for group in GROUPS}
    keys = keys if isinstance(keys, Mapping) else run.params
    known = [run.tags.get(SIGNATURE), plan.get("signature")]
    configs = [config for config in (planned, own) if isinstance(config, Mapping)]
    found = [_trainable(config, choices, known, keys, origin) for config in configs]
    specs = [spec for spec in found if isinstance(spec, RunSpec)]
    if not specs:
        reasons = [reason for reason in found if isinstance(reason, str)]
        config = configs[0] if configs else FILE
        expected = flat({CONFIG: config if isinstance(own, Mapping) else FILE})
        reason = (*reasons, "its configuration is missing")[0]
        return Case(run, flat({CONFIG: own}), expected, None, reason)
    spec = next((spec for spec in specs if spec.signature == known[0]), specs[0])
    cell = Cell(0, (), values if isinstance(values, Mapping) else {}, spec)
    file = spec.config["data"].get("file")
    changed = file and spec.signature not in known
    reason = f"has its data file {file} changed?" if changed else ""
    return Case(run, *_described(run, own, document, cell), cell, reason)


def _described(
    run: StoredRun, own: Any, document: Mapping[str, Any] | None, cell: Cell
) -> tuple[Values, Values]:
    """Return what run and plan say of the cell that is trained, and what they should."""
    spec, params = cell.spec, cell.params()
    stored = {CONFIG: own, "param": run.params}
    stored["tag"] = {SIGNATURE: run.tags.get(SIGNATURE, MISSING)}
    expected = {
        CONFIG: spec.config if isinstance(own, Mapping) else FILE,
        "param": {entity_name(key): short(value) for key, value in params.items()},
        "tag": {SIGNATURE: spec.signature},
    }
    if document is not None:
        says = {"config": spec.config, "params": params, "signature": spec.signature}
        stored["plan.json"] = {field: document.get(field, MISSING) for field in says}
        expected["plan.json"] = {
            field: value if field in document else "a field" for field, value in says.items()
        }
    return flat(stored), flat(expected)


def _own_config(run: StoredRun) -> Any:
    """Return the run's config.yaml; a sentence where it cannot be read, MISSING without it."""
    from sweep.tracking import files

    content = run.artifacts.read(run.run_id, files.CONFIG) if run.artifacts else None
    if content is None:
        return MISSING
    try:
        return files.read_config(content) or "what holds no configuration"
    except Exception as error:  # whatever a YAML reader makes of damaged bytes
        return f"what cannot be read ({type(error).__name__})"


def _trainable(
    config: Mapping[str, Any],
    choices: Mapping[str, Any],
    known: Sequence[Any],
    keys: Iterable[str],
    origin: Origin,
) -> RunSpec | str:
    """Return the specification of a stored configuration, or why it is not trained.

    Its class is one that the user names.
    """
    trainer = config.get("trainer")
    target = trainer.get("_target_") if isinstance(trainer, Mapping) else None
    if target != BUILT_IN and (target != origin.trainer or not isinstance(target, str)):
        return (
            f"its trainer {target} is run again only when your own configuration names it "
            "(add trainer=NAME, with --config-dir where it is yours)"
        )
    try:
        spec = run_spec(config, choices, origin.base, keys)
    except ConfigError as error:
        return f"its configuration is refused today: {error}"
    except Exception as error:  # a configuration that was tampered with may hold anything
        return f"its configuration cannot be used: {type(error).__name__}: {error}"
    if not spec.trainer.built_in and spec.signature not in known:
        return f"the source of {target}, its settings or the data are not what the signature says"
    return spec
