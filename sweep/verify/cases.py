"""From a stored run to the specification that is trained again, or the reason why it is not."""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.config.run import run_spec
from sweep.config.spec import BUILT_IN, RunSpec, canonical
from sweep.engine.plan import Cell
from sweep.errors import ConfigError
from sweep.verify.difference import MISSING, Difference, different_leaves

if TYPE_CHECKING:
    from sweep.tracking.stored import StoredRun

__all__ = ["Case", "Origin", "case_of", "paired", "trajectory_of"]

PLAN = "plan.json"
GROUPS = ("network", "data", "trainer")


class _Refused(Exception):
    """A configuration is not trained; the message is the reason."""


@dataclass(frozen=True)
class Origin:
    """Where the runs come from, and whom the user trusts.

    Attributes
    ----------
    base
        The folder that a relative data file is relative to.
    trainer
        The class that the user's current configuration names.
    data_files
        In an exported folder: data file as the configurations name it -> the copy to read,
        and no other file is read. None: the files themselves are read.
    """

    base: Path
    trainer: str = BUILT_IN
    data_files: Mapping[str, Path] | None = None


@dataclass(frozen=True)
class Case:
    """A stored run on its way through the comparison.

    Attributes
    ----------
    cell
        Its cell of the plan with the specification to train; None where it is not trained.
    reason
        Why it is not trained; empty where it is.
    found
        What differs without any training: configuration, params, signature.
    """

    run: StoredRun
    cell: Cell | None = None
    reason: str = ""
    found: tuple[Difference, ...] = ()


def paired(
    runs: Sequence[StoredRun], cells: Sequence[Mapping[str, Any]]
) -> tuple[list[tuple[StoredRun, Mapping[str, Any] | None]], list[Mapping[str, Any]]]:
    """Return each run with its cell of the plan, and the cells that no run is stored for.

    A run whose name or signature was changed still finds its cell by the other one.
    """
    left = dict(enumerate(cells))
    found: dict[str, Mapping[str, Any]] = {}
    for of_run, of_cell in _KEYS:
        waiting: dict[Any, deque[int]] = defaultdict(deque)
        for position, cell in left.items():
            waiting[of_cell(cell)].append(position)
        for run in runs:
            if run.run_id not in found and waiting[of_run(run)]:
                found[run.run_id] = left.pop(waiting[of_run(run)].popleft())
    return [(run, found.get(run.run_id)) for run in runs], list(left.values())


Key = tuple[Callable[["StoredRun"], Any], Callable[[Mapping[str, Any]], Any]]

_KEYS: tuple[Key, ...] = (
    (
        lambda run: (run.name, run.tags.get("sweep.signature")),
        lambda cell: (str(cell.get("name")), str(cell.get("signature"))),
    ),
    (lambda run: run.tags.get("sweep.signature"), lambda cell: str(cell.get("signature"))),
    (lambda run: run.name, lambda cell: str(cell.get("name"))),
)
"""How a run is found by its cell, the surest way first."""


def case_of(run: StoredRun, document: Mapping[str, Any] | None, origin: Origin) -> Case:
    """Return the case of a finished run.

    The configuration to train is the run's own ``config.yaml``; the plan's where that one is
    missing, refused, or does not give the stored signature as the plan's does.

    Parameters
    ----------
    document
        Its cell as plan.json holds it; None for a run that no plan knows.
    """
    found = []
    own = _own_config(run)
    planned = document.get("config") if document else None
    if not isinstance(own, Mapping):
        found.append(own)
    elif isinstance(planned, Mapping):
        found += different_leaves("config.yaml", own, planned, PLAN)
    choices = document.get("choices") if document else None
    if not isinstance(choices, Mapping):
        choices = {group: run.params.get(group) for group in GROUPS}
    signatures = {run.tags.get("sweep.signature"), (document or {}).get("signature")}
    stored = run.tags.get("sweep.signature")
    specs: list[RunSpec] = []
    reasons: list[str] = []
    for config in (own, planned):
        if isinstance(config, Mapping) and not (specs and specs[0].signature == stored):
            try:
                specs.append(_trainable(config, choices, signatures, origin))
            except _Refused as refused:
                reasons.append(str(refused))
    if not specs:
        reason = reasons[0] if reasons else "its configuration is missing"
        return Case(run, reason=reason, found=tuple(found))
    spec = next((spec for spec in specs if spec.signature == stored), specs[0])
    cell = _cell(document, spec)
    found += _described(run, document, cell, own)
    return Case(run, cell, "", tuple(found))


def _own_config(run: StoredRun) -> Mapping[str, Any] | Difference:
    from sweep.tracking import files

    content = run.artifacts.read(run.run_id, files.CONFIG) if run.artifacts else None
    if content is None:
        return Difference(files.CONFIG, MISSING, "a file")
    try:
        config = files.read_config(content)
    except Exception as error:  # whatever a YAML reader makes of damaged bytes
        return Difference(files.CONFIG, f"what cannot be read ({type(error).__name__})", "YAML")
    return config if config else Difference(files.CONFIG, MISSING, "a configuration")


def _trainable(
    config: Mapping[str, Any],
    choices: Mapping[str, Any],
    signatures: set[str | None],
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
    own_data = config.get("data")
    try:
        spec = run_spec({**config, "data": _with_copy(own_data, origin)}, choices, origin.base)
    except ConfigError as error:
        raise _Refused(f"its configuration is refused today: {error}") from error
    except _Refused:
        raise
    except Exception as error:  # a configuration that was tampered with may hold anything
        raise _Refused(
            f"its configuration cannot be used: {type(error).__name__}: {error}"
        ) from error
    if not spec.trainer.built_in and spec.signature not in signatures:
        raise _Refused(
            f"the source of {target}, its settings or the data are not what the signature says"
        )
    return spec


def _with_copy(data: Any, origin: Origin) -> Any:
    """Return the data's configuration with the exported copy in the place of its file."""
    if origin.data_files is None or not isinstance(data, Mapping) or data.get("file") is None:
        return data
    copy = origin.data_files.get(str(data["file"]))
    if copy is None:
        raise _Refused(f"its data file {data['file']} is not part of the folder")
    return {**data, "file": str(copy)}


def _cell(document: Mapping[str, Any] | None, spec: RunSpec) -> Cell:
    document = document or {}
    values = document.get("values")
    return Cell(0, (), dict(values) if isinstance(values, Mapping) else {}, spec)


def _described(
    run: StoredRun, document: Mapping[str, Any] | None, cell: Cell, own: Any
) -> Iterator[Difference]:
    """Yield what the specification says otherwise than tags, params, plan and config.yaml."""
    from sweep.tracking.texts import entity_name, short

    spec = cell.spec
    config = dict(spec.config)
    if isinstance(own, Mapping):
        if isinstance(own.get("data"), Mapping):
            config["data"] = {**config["data"], "file": own["data"].get("file")}
        if document is None:  # with a plan they were compared before
            yield from different_leaves("config.yaml", own, config, "checked")
    hint = _changed_data(document, spec)
    yield from _unequal("tag sweep.signature", run.tags.get("sweep.signature"), spec, hint)
    params = {entity_name(key): short(value) for key, value in cell.params().items()}
    yield from different_leaves("param", run.params, params, "its configuration says")
    if document is not None:
        yield from _unequal("plan.json signature", document.get("signature"), spec, hint)
        yield from different_leaves(
            "plan.json params", document.get("params"), cell.params(), "its configuration says"
        )


def _unequal(what: str, stored: Any, spec: RunSpec, hint: str) -> Iterator[Difference]:
    if stored != spec.signature:
        yield Difference(what, stored, spec.signature, "its configuration gives" + hint)


def _changed_data(document: Mapping[str, Any] | None, spec: RunSpec) -> str:
    """Return a hint where the plan's trajectory says that a data file has other content now."""
    config = (document or {}).get("config")
    if not isinstance(config, Mapping) or not isinstance(config.get("data"), Mapping):
        return ""
    file = config["data"].get("file")
    if file is None or trajectory_of(config, spec.data_digest) == (document or {})["trajectory"]:
        return ""
    return f" (has the data file {file} changed?)"


def trajectory_of(config: Mapping[str, Any], data_digest: str) -> str:
    """Return the trajectory that a configuration lies on, when its data has this digest."""
    shared = {key: value for key, value in config.items() if key != "iters"}
    return hashlib.sha256(canonical([shared, data_digest]).encode()).hexdigest()
