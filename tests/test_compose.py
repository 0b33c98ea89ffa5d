"""The shortcut of `sweep.cli.compose` against Hydra's own composition, on whatever can be typed."""

from __future__ import annotations

import copy
import gc
import os
import re
import tracemalloc
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.base import Box, Node

from sweep.cli.compose import Jobs

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
    "data/one.yaml": "path: ${b.d.e}.csv\nrows: 3\nplain: [1, {x: y}]",
    "data/env.yaml": "path: ${oc.env:SWEEP_TEST_VALUE,none}\nrows: 3",
    "data/two.yaml": "defaults: [{inner: left}]\nrows: 4\nnumber: ${hydra:job.num}",
    "data/inner/left.yaml": "side: left",
    "data/inner/right.yaml": "side: right\nlater: ${..rows}",
    "data/needs.yaml": "defaults: [{inner: '???'}]",
    "data/unresolvable.yaml": "number: ${hydra.job.num}",
    "data/link.yaml": "to: ${hydra.runtime}\nlast: ${hydra.overrides.task}",
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
        # Python says in several ways where it was when it gave up.
        text = re.sub(r"(maximum recursion depth exceeded)[^$]*", r"\1", str(error))
        return (
            type(error).__name__,
            text,
            type(cause).__name__,
            "" if cause is None else str(cause),
        )


ALL = ("config", "check", "choices", "task", "raw")


def assert_equal_to_hydra(
    loader: ConfigLoader, master: DictConfig, jobs: Jobs, index: int, what: Collection[str] = ALL
) -> None:
    """Compare what `jobs` says of one job with Hydra's composition of it."""
    overrides, number = jobs[index], jobs.first_job + index
    reference = outcome(lambda: hydras_config(loader, master, overrides, number))
    refused = None if isinstance(reference, DictConfig) else reference
    if "config" in what:
        config = outcome(lambda: jobs.config(index))
        assert config == refused if refused else anatomy(config) == anatomy(reference)
    if "check" in what:
        found = dict(jobs[index : index + 1].check()).get(0)
        assert (found and outcome(lambda: _raise(found))) == refused
    if "task" in what:
        ours = outcome(lambda: jobs.task_config(index))
        assert HydraConfig.instance().cfg is None
    if refused:
        assert "task" not in what or ours == refused
        return
    if "choices" in what:
        choices = OmegaConf.to_container(reference.hydra.runtime.choices)
        assert repr(jobs.choices(index)) == repr(choices)
    try:
        task = outcome(lambda: hydras_task(reference))
        resolved = outcome(lambda: OmegaConf.to_container(task, resolve=True))
        if "task" in what:
            assert repr(ours) == repr(resolved if isinstance(task, DictConfig) else task)
        if "raw" in what and isinstance(task, DictConfig):
            HydraConfig.instance().cfg = None
            raw = outcome(lambda: jobs.task_config(index, resolve=False))
            assert repr(raw) == repr(OmegaConf.to_container(task))
    finally:
        HydraConfig.instance().cfg = None


def _raise(error: Exception) -> None:
    raise error


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
    *("~network=small", "network@b.net=big", "+network@b.net=big", "network/=x", "data=env"),
    *(
        "data=one",
        "data=two",
        "data/inner=right",
        "+data/inner=left",
        "data=needs",
        "data=unresolvable",
    ),
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
quiet = st.builds(joined, st.just(""), st.sampled_from(LEAVES), st.sampled_from(VALUES))
job = st.one_of(
    st.lists(st.one_of(plain, group), max_size=4),
    st.lists(quiet, max_size=4),
    st.lists(st.one_of(quiet, quiet, group), max_size=4),
    st.lists(st.one_of(quiet, wild), max_size=3),
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
        # Where Hydra composes anyway, each question costs another composition.
        what = ALL if shared else [("config",), ("task",), ("check",), ("task",)][number % 4]
        assert_equal_to_hydra(self.loader, self.masters[key], jobs, 0, what)
        event("shared" if shared else "by Hydra alone")
        self.shared += shared
        self.all += 1


@pytest.fixture(scope="module")
def compared(loader: ConfigLoader) -> Compared:
    return Compared(loader)


TRAPS = [
    ["nested.a.b=x"],
    ["nested.a.b=x", "nested.a=3"],
    ["nested.a=3", "nested.a.b=x"],
    ["nested.a.b=1", "nested.a={b: 2}"],
    ["nested={a: {b: 5}}"],
    ["alias.c=5"],
    ["alias.c=5", "b.c=6"],
    ["ref=5", "a=6"],
    ["a=5"],
    ["b.c=3", "+new=${b.c}"],
    ["+new=1", "b.c=3", "b.d.e=y"],
    ["+new=1", "new=2"],
    ["++a=${nope}", "b.c=3"],
    ["+new=${hydra:nope}", "a=2"],
    ["b.c=3", "~b.c"],
    ["b.c=3", "~b.c=3"],
    ["~b.c", "b.c=3"],
    ["b.list=[1]", "b.list.0=3"],
    ["b.list=[${a}]", "a=7"],
    ["b.list=[]", "b.list=7"],
    ["b.list=7"],
    ["b.d=null"],
    ["b=${nested}"],
    ["a=1", "a=2"],
    ["a=???"],
    ["missing=x"],
    ["missing=x", "+app=named"],
    ["+app=named"],
    ["+app=named", "missing=y"],
    ["+app=copied", "a=3"],
    ["+app=joined", "b.d.e=z", "a=4"],
    ["+app=joined", "a=4", "b.c=5"],
    ["+app=global", "nested.a.c=5"],
    ["a=9", "+app=global"],
    ["network=typed", "network.w=3"],
    ["network=typed", "network.w=${a}", "a=4"],
    ["network=typed", "network.count=x"],
    ["network=typed", "network.mode=slow", "network.either='3'"],
    ["network=typed", "network.either=4", "network.table={x: 1}"],
    ["network.w=3", "network=big"],
    ["network={w: 3}"],
    ["data=two", "data.rows=9", "data.inner.side=up"],
    ["data=two", "data/inner=right", "data.rows=9"],
    ["data=needs"],
    ["data=told", "a=8", "b.c='x=y'"],
    ["data=env", "data.rows=8"],
    ["data=link", "data.to.version=5"],
    ["data=link", "data.to.choices.network=x"],
    ["data=link", "data.last=[x]", "a=8"],
    ["data.path=y", "b.d.e=z"],
    ["b.d.e=z", "nested.a.b=w"],
    ["data=unresolvable"],
    ["data=two", "data.number=1"],
    ["a=${hydra:job.num}", "deep.text=${hydra:overrides.task}"],
    ["a=${hydra.job.num}"],
    ["b.c='${'"],
    ["b.c='\\${a}'"],
    ["b.c='${nope}'"],
    ["b.c={x: ${a}}"],
    ["hydra.job.name=n${a}", "a=8"],
    ["a=8", "hydra.job.name=n"],
    ["hydra.job.env_set={X: '${a}'}", "a=8"],
    ["hydra.runtime.cwd=x", "a=8"],
    ["hydra.searchpath=[]", "a=8"],
    ["hydra/job_logging=disabled", "a=8"],
    ["a=1,2"],
    ["a@b=1"],
    ["a=[1"],
    ["nope=1"],
    ["network=nope"],
    ["hydra/launcher=nope"],
    ["dotted.key=5"],
    ["7=5"],
    [],
]


def test_traps_one_after_the_other(loader: ConfigLoader) -> None:
    master = master_of(loader)
    jobs = Jobs(loader, master, TRAPS, first_job=3)
    shared = []
    for index in range(len(jobs)):
        assert_equal_to_hydra(loader, master, jobs, index, ("config", "task"))
        if jobs._composer.recipe(*jobs._at(index)) is not None:
            shared.append(index)
    assert len(shared) > 20
    for index in reversed(shared):
        assert_equal_to_hydra(loader, master, jobs, index)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["a=2", "b.c=x", "b.d.e='1'"],
        ["ref=2", "nested.k=[1,2]", "b.list=[4]", "maybe.two=1"],
        ["network=big", "data=two", "network.w=2", "data/inner=right", "data.inner.later=2"],
        ["a=2", "network=typed", "network.w=2"],
        ["+new=1", "~b.rows", "a=2", "new=2"],
        ["a=${b.c}", "missing=${hydra:job.num}"],
        ["hydra.verbose=true", "a=2"],
    ],
    ids=" ".join,
)
def test_common_jobs_share_a_composition(loader: ConfigLoader, overrides: list[str]) -> None:
    recipe, _ = Jobs(loader, master_of(loader), [overrides]).compose(0)
    assert recipe.task_overrides is not None


def test_folder_and_environment_are_those_of_the_moment(
    loader: ConfigLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEP_TEST_VALUE", "before")
    master = master_of(loader)
    jobs = Jobs(loader, master, [["data=env", "a=1"], ["data=env", "+app=copied", "a=1"]])
    for folder, value in ((tmp_path / "one", "first"), (tmp_path / "two", "second")):
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("SWEEP_TEST_VALUE", value)
        for index in range(2):
            assert jobs.config(index).hydra.runtime.cwd == str(folder)
            assert jobs.task_config(index)["data"]["path"] == value
            assert_equal_to_hydra(loader, master, jobs, index)
        assert jobs.config(1).hydra.job.env_set["SWEEP_TEST_VALUE"] == value


@pytest.mark.parametrize("by", ["job", "sweep"])
def test_search_path_decides_what_is_a_group(loader: ConfigLoader, tmp_path: Path, by: str) -> None:
    (tmp_path / "more" / "a").mkdir(parents=True)
    (tmp_path / "more" / "a" / "x.yaml").write_text("k: 1")
    path = f"hydra.searchpath=['{tmp_path / 'more'}']"
    master = master_of(loader, [path] if by == "sweep" else [])
    lead = [path] if by == "job" else []
    jobs = Jobs(loader, master, [[*lead, "a=x"], [*lead, "+a=x"], [*lead, "b.c=x"], ["a=y"]])
    for index in range(len(jobs)):
        assert_equal_to_hydra(loader, master, jobs, index)


def test_another_loader_composes_every_job(loader: ConfigLoader) -> None:
    class Doubling(ConfigLoaderImpl):
        def load_sweep_config(self, master: DictConfig, overrides: list[str]) -> DictConfig:
            config = super().load_sweep_config(master, overrides)
            config.a *= 2
            return config

    assert isinstance(loader, ConfigLoaderImpl)
    jobs = Jobs(Doubling(loader.config_search_path), master_of(loader), [["a=2"], ["a=3"]])
    assert [jobs.task_config(index)["a"] for index in range(2)] == [4, 6]


def test_job_is_seen_from_within_another_as_from_outside(loader: ConfigLoader) -> None:
    master = master_of(loader)
    jobs = Jobs(loader, master, [["data=two"], ["a=${hydra:job.num}"], ["a=4"]])
    outside = [jobs.task_config(index) for index in range(3)]
    HydraConfig.instance().set_config(other := hydras_config(loader, master, ["a=7"], 9))
    assert [jobs.task_config(index) for index in range(3)] == outside
    assert HydraConfig.get().job.num == other.hydra.job.num == 9
    assert outside[0]["data"]["number"] == 0
    assert outside[1]["a"] == 1


def test_clock_is_read_once_where_the_sweep_has_read_it(loader: ConfigLoader) -> None:
    master = master_of(loader, ["hydra.sweep.dir=${now:%f}", "hydra.run.dir=${now:%f%f}"])
    seen = master.hydra.sweep.dir
    jobs = Jobs(loader, master, [["a=${now:%f}", "b.c=${hydra:sweep.dir}"], ["b.c=${now:%f}0"]])
    assert jobs.task_config(0)["a"] == jobs.task_config(0)["b"]["c"] == seen
    assert jobs.config(1).hydra.sweep.dir == seen
    assert jobs.task_config(1)["b"]["c"] == seen + "0"
    # Read by the sweep after the first job was made, as Hydra's launcher could meet it too.
    late = OmegaConf.select(master, "hydra.run.dir")
    assert jobs.config(1).hydra.run.dir == late != master_of(loader).hydra.run.dir


def test_unpicklable_schema_is_copied_the_slow_way(loader: ConfigLoader) -> None:
    @dataclass
    class Local:
        w: float = 1.0

    ConfigStore.instance().store(group="network", name="local", node=Local)
    master = master_of(loader)
    jobs = Jobs(loader, master, [["network=local", f"network.w={w}"] for w in (2, 3)])
    for index in (0, 1, 0):
        assert_equal_to_hydra(loader, master, jobs, index)
    assert [jobs.task_config(index)["network"]["w"] for index in (0, 1)] == [2.0, 3.0]


def test_what_is_given_out_belongs_to_the_caller(loader: ConfigLoader) -> None:
    jobs = Jobs(loader, master_of(loader), [["a=1"], ["a=2"]])
    jobs[0].append("a=3")
    jobs.choices(0)["network"] = "changed"
    jobs.task_config(0)["b"]["list"].append(4)
    config = jobs.config(0)
    config.b.list.append(4)
    config.hydra.overrides.task.append("a=4")
    assert jobs[0] == ["a=1"]
    assert jobs.choices(0)["network"] == "small"
    for made in (jobs.task_config(0), jobs.task_config(1), jobs.config(0), jobs.config(1)):
        assert list(made["b"]["list"]) == [1, 2, 3]
    assert jobs.config(0).hydra.overrides.task == ["a=1"]


def test_jobs_are_a_sequence_whose_parts_keep_their_numbers(loader: ConfigLoader) -> None:
    jobs = Jobs(loader, master_of(loader), [[f"a={number}"] for number in range(6)], first_job=4)
    assert len(jobs) == 6
    assert list(jobs) == [[f"a={number}"] for number in range(6)]
    assert jobs[-1] == ["a=5"]
    assert ["a=3"] in jobs
    part = jobs[2:4]
    assert isinstance(part, Jobs)
    assert (list(part), part.first_job) == ([["a=2"], ["a=3"]], 6)
    assert [jobs.config(index).hydra.job.num for index in (2, -1)] == [6, 9]
    assert part.config(-1).hydra.job.num == 7
    assert jobs.numbered_from(0).config(2).hydra.job.id == "2"
    assert len(jobs[9:]) == 0
    for index in (6, -7):
        for ask in (jobs.__getitem__, jobs.config, jobs.task_config, jobs.choices):
            with pytest.raises(IndexError):
                ask(index)
    with pytest.raises(ValueError, match="step 1"):
        jobs[::2]


def test_nothing_that_is_composed_is_kept(loader: ConfigLoader) -> None:
    jobs = Jobs(loader, master_of(loader), [[f"a={number % 50}"] for number in range(600)])
    sizes = []
    tracemalloc.start()
    for upto in (100, 600):
        for index in range(upto - 100, upto):
            jobs.task_config(index)
            jobs.choices(index)
        for index in range(upto - 20, upto):
            jobs.config(index)
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[1] - sizes[0] < 200_000


EXAMPLES = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(EXAMPLES, max_examples=80)
@given(key=master, overrides=job, number=st.integers(0, 12))
def test_whatever_is_typed_equals_hydra(
    compared: Compared, key: tuple[str, ...], overrides: list[str], number: int
) -> None:
    compared(key, overrides, number)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(EXAMPLES, max_examples=470)
@given(key=master, overrides=job, number=st.integers(0, 12))
def test_much_more_of_what_can_be_typed_equals_hydra(
    compared: Compared, key: tuple[str, ...], overrides: list[str], number: int
) -> None:
    compared(key, overrides, number)
