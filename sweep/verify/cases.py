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
from sweep.verify.compare import MISSING, Difference, differences, exact
from sweep.verify.values import FILE, flat

if TYPE_CHECKING:
    from sweep.tracking.stored import StoredRun

__all__ = ["Case", "Origin", "case_of", "paired"]

GROUPS = ("network", "data", "trainer")
SIGNATURE = "sweep.signature"


class _Refused(Exception):
    """A configuration is not trained; the message is the reason."""


@dataclass(frozen=True)
class Origin:
    """Where relative data files lie, and the class that the user's current configuration names."""

    base: Path
    trainer: str = BUILT_IN


@dataclass(frozen=True)
class Case:
    """A stored run, what differs without any training, and the cell to train.

    Attributes
    ----------
    cell
        None where it is not trained; `reason` says why.
    """

    run: StoredRun
    found: tuple[Difference, ...]
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
    planned = plan.get("config")
    choices = plan.get("choices")
    if not isinstance(choices, Mapping):
        choices = {group: run.params.get(group) for group in GROUPS}
    stored = plan.get("params")
    keys = stored if isinstance(stored, Mapping) else run.params
    signatures = [run.tags.get(SIGNATURE), plan.get("signature")]
    specs: list[RunSpec] = []
    reasons = []
    for config in (planned, own):
        if isinstance(config, Mapping):
            try:
                specs.append(_trainable(config, choices, signatures, keys, origin))
            except _Refused as refused:
                reasons.append(str(refused))
    if not specs:
        expected = planned if isinstance(planned, Mapping) else own
        found = _described(run, own, expected)
        return Case(run, found, None, (*reasons, "its configuration is missing")[0])
    spec = next((spec for spec in specs if spec.signature == signatures[0]), specs[0])
    values = plan.get("values")
    cell = Cell(0, (), values if isinstance(values, Mapping) else {}, spec)
    file = spec.config["data"].get("file")
    changed = f"has its data file {file} changed?"
    reason = changed if file and spec.signature not in signatures else ""
    return Case(run, _described(run, own, spec.config, document, cell), cell, reason)


def _described(
    run: StoredRun,
    own: Any,
    config: Any,
    document: Mapping[str, Any] | None = None,
    cell: Cell | None = None,
) -> tuple[Difference, ...]:
    """Return what run and plan say otherwise than `config` and the cell that is trained."""
    from sweep.tracking.files import CONFIG
    from sweep.tracking.texts import entity_name, short

    stored = {CONFIG: own}
    expected = {CONFIG: config if isinstance(own, Mapping) else FILE}
    if cell is not None:
        stored |= {"param": run.params, "tag": {SIGNATURE: run.tags.get(SIGNATURE, MISSING)}}
        params = {entity_name(key): short(value) for key, value in cell.params().items()}
        expected |= {"param": params, "tag": {SIGNATURE: cell.spec.signature}}
    if cell is not None and document is not None:
        says = {"config": config, "params": cell.params(), "signature": cell.spec.signature}
        stored["plan.json"] = {field: document.get(field, MISSING) for field in says}
        there = {field: says[field] if field in document else "a field" for field in says}
        expected["plan.json"] = there
    return tuple(differences(flat(stored), flat(expected), exact))


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
) -> RunSpec:
    """Return the specification of a stored configuration, its class named by the user alone."""
    trainer = config.get("trainer")
    target = trainer.get("_target_") if isinstance(trainer, Mapping) else None
    if target != BUILT_IN and (target != origin.trainer or not isinstance(target, str)):
        raise _Refused(
            f"its trainer {target} is run again only when your own configuration names it "
            "(add trainer=NAME, with --config-dir where it is yours)"
        )
    try:
        spec = run_spec(config, choices, origin.base, keys)
    except ConfigError as error:
        raise _Refused(f"its configuration is refused today: {error}") from error
    except Exception as error:  # a configuration that was tampered with may hold anything
        raise _Refused(
            f"its configuration cannot be used: {type(error).__name__}: {error}"
        ) from error
    if not spec.trainer.built_in and spec.signature not in known:
        raise _Refused(
            f"the source of {target}, its settings or the data are not what the signature says"
        )
    return spec
