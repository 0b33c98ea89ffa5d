"""The shortcut of `sweep.compose` against Hydra's own composition, on whatever can be typed."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.base import Box, Node

from sweep.compose import Jobs

FILES = {
    "config.yaml": """
        defaults:
          - network: small
          - data: one
          - _self_
        a: 1
        b: {c: 2, d: {e: x}, list: [1, 2, 3], rows: [[1, 2], [3, 4]]}
        nested: {a: {b: 1}, k: null}
        ref: ${a}
        deep: {r: "${b.d.e}", text: "a is ${a}", up: "${..nested.a.b}"}
        alias: ${b}
        missing: ???
        maybe: {one: null, two: "???"}
        "dotted.key": 1
        7: seven
        hydra:
          sweep: {dir: out, subdir: "${hydra.job.num}_${a}"}
    """,
    "network/small.yaml": "layers: [4, 3, 2]\nw: 0.5\nown: ${a}",
    "network/big.yaml": "layers: [8, 8]\nw: ${b.c}\nextra: {deep: [1, 2]}",
    "network/typed.yaml": "defaults: [schema, _self_]\nmode: fast",
    "data/one.yaml": "path: ${oc.env:SWEEP_TEST_VALUE,none}\nrows: 3",
    "data/two.yaml": "defaults: [{inner: left}]\nrows: 4\nnumber: ${hydra:job.num}",
    "data/inner/left.yaml": "side: left",
    "data/inner/right.yaml": "side: right\nlater: ${..rows}",
    "data/needs.yaml": "defaults: [{inner: '???'}]",
    "data/unresolvable.yaml": "number: ${hydra.job.num}",
    "data/told.yaml": "name: ${hydra:job.name}\nout: ${hydra:runtime.output_dir}"
    "\ntask: ${hydra:overrides.task}\ndirname: ${hydra:job.override_dirname}",
    "app/named.yaml": "# @package _global_\nhydra: {job: {name: '${missing}'}}",
    "app/copied.yaml": "# @package _global_\nhydra: {job: {env_copy: [SWEEP_TEST_VALUE]}}",
    "app/joined.yaml": "# @package _global_\nhydra: {job: {config: {override_dirname: "
    "{kv_sep: '${b.d.e}', item_sep: '+', exclude_keys: [a]}}}}",
    "app/global.yaml": "# @package _global_\na: 5\nnested: {a: {c: '${a}'}}",
}


class Mode(Enum):
    """A typed choice."""

    fast = 1
    slow = 2


@dataclass
class Schema:
    """A typed group option."""

    layers: list[int] = field(default_factory=lambda: [1])
    w: float = 1.0
    count: int | None = None
    mode: Mode = Mode.slow
    either: int | str = 3
    table: dict[str, float] = field(default_factory=dict)


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConfigLoader]:
    folder = tmp_path_factory.mktemp("conf dir=1")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        path.write_text("\n".join(line[indent:] for line in lines))
    ConfigStore.instance().store(group="network", name="schema", node=Schema)
    with initialize_config_dir(config_dir=str(folder), version_base="1.3"):
        instance = GlobalHydra.instance().hydra
        assert instance is not None
        yield instance.config_loader


def master_of(loader: ConfigLoader, overrides: Sequence[str] = ()) -> DictConfig:
    setup_globals()
    return loader.load_configuration("config", list(overrides), RunMode.MULTIRUN)


def hydras_config(
    loader: ConfigLoader, master: DictConfig, overrides: Sequence[str], number: int
) -> DictConfig:
    """Compose one job as Hydra's basic launcher does."""
    config = loader.load_sweep_config(master, list(overrides))
    with open_dict(config):
        config.hydra.job.id = number
        config.hydra.job.num = number
    return config


def hydras_task(config: DictConfig) -> DictConfig:
    """Return what the job's task gets, with HydraConfig set, as Hydra's run_job does."""
    HydraConfig.instance().set_config(config)
    folder = os.path.join(
        str(OmegaConf.select(config, "hydra.sweep.dir")),
        str(OmegaConf.select(config, "hydra.sweep.subdir")),
    )
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = os.path.abspath(folder)
    HydraConfig.instance().set_config(config)
    task = copy.deepcopy(config)
    with read_write(task), open_dict(task):
        del task["hydra"]
    return task


def anatomy(node: Node | None) -> Any:
    """Return all that is in a configuration: values, types, flags, keys and the way up."""
    if node is None:
        return None
    about = node._metadata
    content = node._value()
    inside: Any = repr(content)
    if isinstance(node, Box) and isinstance(content, dict):
        inside = {repr(key): anatomy(child) for key, child in content.items()}
    elif isinstance(node, Box) and isinstance(content, list):
        inside = [anatomy(child) for child in content]
    elif isinstance(content, Node):
        inside = anatomy(content)
    parent = node._get_parent()
    return (
        type(node).__name__,
        *(repr(getattr(about, name)) for name in ("ref_type", "object_type", "optional", "key")),
        *(repr(getattr(about, name, None)) for name in ("key_type", "element_type")),
        {name: value for name, value in (about.flags or {}).items() if value is not None},
        repr(dict(about.resolver_cache)),
        None if parent is None else parent._key(),
        inside,
    )


def outcome(make: Callable[[], Any]) -> Any:
    """Return what `make` returns, or the type and text of its error and of what caused it."""
    try:
        return make()
    except Exception as error:
        cause = error.__cause__
        return (
            type(error).__name__,
            str(error),
            type(cause).__name__,
            "" if cause is None else str(cause),
        )


def assert_equal_to_hydra(
    loader: ConfigLoader, master: DictConfig, jobs: Jobs, index: int, seldom: bool = True
) -> None:
    """Compare what `jobs` says of one job with Hydra's composition of it; `seldom`: all of it."""
    overrides, number = jobs[index], jobs.first_job + index
    reference = outcome(lambda: hydras_config(loader, master, overrides, number))
    if not isinstance(reference, DictConfig):
        assert outcome(lambda: jobs.task_config(index)) == reference
        if seldom:
            assert outcome(lambda: jobs.config(index)) == reference
            failed = [error for failed, error in jobs.check() if failed == index]
            assert [(type(error).__name__, str(error)) for error in failed] == [reference[:2]]
        return
    assert anatomy(jobs.config(index)) == anatomy(reference)
    ours = outcome(lambda: jobs.task_config(index))
    assert HydraConfig.instance().cfg is None
    if seldom:
        choices = OmegaConf.to_container(reference.hydra.runtime.choices)
        assert repr(jobs.choices(index)) == repr(choices)
        assert index not in [failed for failed, _ in jobs.check()]
        raw = outcome(lambda: jobs.task_config(index, resolve=False))
    try:
        task = outcome(lambda: hydras_task(reference))
        if not isinstance(task, DictConfig):
            assert ours == task
            return
        assert repr(ours) == repr(outcome(lambda: OmegaConf.to_container(task, resolve=True)))
        if seldom:
            assert repr(raw) == repr(OmegaConf.to_container(task))
    finally:
        HydraConfig.instance().cfg = None


LEAVES = ["a", "b.c", "b.d.e", "b.list", "nested.a.b", "nested.k", "ref", "deep.r", "deep.text"]
KEYS = [
    *LEAVES,
    *("missing", "maybe.one", "maybe.two", "b", "b.d", "b.rows", "nested", "nested.a", "alias"),
    *("alias.c", "alias.d.e", "b.list.0", "b.list[1]", "b.rows[0]", "new", "b.new", "nope.x"),
    *("dotted.key", "7", "network.layers", "network.w", "network.own", "network.count"),
    *("network.mode", "network.either", "network.table", "network.table.x", "data.rows"),
    *("data.path", "data.inner.side", "parent"),
]
HYDRA_KEYS = [
    *("hydra.job.name", "hydra.job.chdir", "hydra.job.env_set.X", "hydra.sweep.subdir"),
    *("hydra.verbose", "hydra.output_subdir", "hydra.job.config.override_dirname.kv_sep"),
    *("hydra", "hydra.job", "hydra.searchpath", "hydra.nope", "hydra.job.env_copy"),
]
SCALARS = ["1", "-2", "2.5", "1e5", "true", "null", "x", "'quoted \\'it\\''", '"a, b"', "''"]
VALUES = [
    *SCALARS,
    *("nan", "inf", "with space", "ü", "fast", "slow", "10**12", "int('3')", "str(4)", "'7'"),
    *("[]", "[1,2]", "[1.5,x,'y z']", "[[1],[2]]", "[${a},2]", "[{a:1}]", "{}", "{b: 2}"),
    *("{a: {b: 9}}", "{c: {z: 1}}", "{d: {e: y}}", "${a}", "${b.c}", "${b}", "${nope}", "???"),
    *("${hydra:job.num}", "${hydra.job.num}", "${hydra:runtime.output_dir}", "n${hydra:job.id}"),
    *("${oc.env:SWEEP_TEST_VALUE,3}", "${now:%Y}", "${b.${nested.k}}", "'${'", "'\\${a}'", "${a"),
    *("1,2", "choice(1,2)", "range(1,3)", "a=b", "a:b", "", "[", "small", "two"),
    *("${hydra:overrides.task}", "${hydra:job.override_dirname}", "${missing}", "${ref}"),
]
GROUPS = [
    *("network=small", "network=big", "network=big", "network=typed", "network=typed"),
    *("network=nope", "network=[small,big]", "network={w: 3}", "+network=big", "~network"),
    *("~network=small", "network@b.net=big", "+network@b.net=big", "network/=x", "data=one"),
    *("data=two", "data/inner=right", "+data/inner=left", "data=needs", "data=unresolvable"),
    *("data=told", "+app=named", "+app=copied", "+app=joined", "+app=global", "data=null"),
    *("hydra/job_logging=disabled", "hydra/output=default", "hydra/launcher=nope", "network="),
]


def joined(prefix: str, key: str, value: str) -> str:
    return f"{prefix}{key}={value}"


plain = st.builds(joined, st.just(""), st.sampled_from(LEAVES), st.sampled_from(SCALARS))
wild = st.builds(
    joined,
    st.sampled_from(["", "", "", "+", "++", "~"]),
    st.sampled_from(KEYS),
    st.sampled_from(VALUES),
)
deletion = st.sampled_from([f"~{key}" for key in KEYS])
hydras = st.builds(
    joined, st.sampled_from(["", "+", "++"]), st.sampled_from(HYDRA_KEYS), st.sampled_from(VALUES)
)
group = st.sampled_from(GROUPS)
override = st.one_of(plain, plain, plain, wild, wild, wild, group, group, deletion, hydras)
quiet = st.one_of(
    plain, st.builds(joined, st.just(""), st.sampled_from(KEYS), st.sampled_from(VALUES))
)
job = st.one_of(
    st.lists(plain, max_size=4),
    st.lists(st.one_of(quiet, quiet, group), max_size=4),
    st.lists(override, max_size=5),
)
master = st.sampled_from(
    [
        (),
        (),
        ("hydra.job.name=called",),
        ("hydra.sweep.subdir=${hydra.job.override_dirname}", "a=3"),
        ("hydra.job.name=${a}",),
    ]
)


class Compared:
    """Jobs of a few masters, each with one composer for all examples: nothing may leak."""

    def __init__(self, loader: ConfigLoader) -> None:
        self.loader = loader
        self.first: dict[tuple[str, ...], Jobs] = {}
        self.masters: dict[tuple[str, ...], DictConfig] = {}
        self.shared = 0
        self.all = 0

    def __call__(self, key: tuple[str, ...], overrides: list[str], number: int) -> None:
        if key not in self.first:
            self.masters[key] = master_of(self.loader, key)
            self.first[key] = Jobs(self.loader, self.masters[key], [])
        jobs = self.first[key]._part([tuple(overrides)], number)
        shared = jobs._composer.recipe(tuple(overrides), number) is not None
        assert_equal_to_hydra(self.loader, self.masters[key], jobs, 0, seldom=shared)
        event("shared" if shared else "by Hydra alone")
        self.shared += shared
        self.all += 1


@pytest.fixture(scope="module")
def compared(loader: ConfigLoader) -> Compared:
    return Compared(loader)


EXAMPLES = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(EXAMPLES, max_examples=int(os.environ.get("N", 200)), derandomize="N" not in os.environ)
@given(key=master, overrides=job, number=st.integers(0, 12))
def test_whatever_is_typed_equals_hydra(
    compared: Compared, key: tuple[str, ...], overrides: list[str], number: int
) -> None:
    compared(key, overrides, number)
