"""The composer of `sweep.cli.compose` against Hydra's own composition, on whatever can be typed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from sweep.cli.compose import Composer
from sweep.cli.hydra_config import UNCHECKED, register
from tests.processes import ROOT

FILES = {
    "config.yaml": """
defaults: [{network: small}, {data: one}, _self_]
a: 1
b: {c: 2, d: {e: x}, list: [1, 2, 3]}
nested: {a: {b: 1}, k: null}
ref: ${a}
deep: {r: "${b.d.e}", text: "a is ${a}"}
alias: ${b}
missing: ???
hydra:
  sweep: {dir: out, subdir: "${hydra.job.num}_${a}"}
""",
    "network/small.yaml": "layers: [4, 3, 2]\nw: 0.5\nown: ${a}",
    "network/big.yaml": "layers: [8, 8]\nw: ${b.c}\nextra: {deep: [1, 2]}",
    "data/one.yaml": "path: ${b.d.e}.csv\nrows: 3",
    "data/two.yaml": "rows: 4\nnumber: ${hydra:job.num}",
    "data/told.yaml": "out: ${hydra:runtime.output_dir}\ntask: ${hydra:overrides.task}",
}


def version_base() -> dict[str, str]:
    """Return what Hydra is told of its version; 1.4 is told nothing."""
    return {"version_base": "1.3"} if UNCHECKED is None else {}


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConfigLoader]:
    folder = tmp_path_factory.mktemp("conf dir=1")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with initialize_config_dir(config_dir=str(folder), **version_base()):
        instance = GlobalHydra.instance().hydra
        assert instance is not None
        yield instance.config_loader


def master_of(loader: ConfigLoader, overrides: Sequence[str] = ()) -> DictConfig:
    setup_globals()
    return loader.load_configuration("config", list(overrides), RunMode.MULTIRUN)


def by_hydra(loader: ConfigLoader, master: DictConfig, lines: Sequence[str], number: int) -> Any:
    """Return what Hydra's launcher gives the task of one job, and each group's option."""
    config = loader.load_sweep_config(master, list(lines))
    with open_dict(config):
        config.hydra.job.id = str(number)
        config.hydra.job.num = number
    HydraConfig.instance().set_config(config)
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        folder = os.path.join(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir))
        config.hydra.runtime.output_dir = os.path.abspath(folder)
    HydraConfig.instance().set_config(config)
    try:
        names = [str(key) for key in config if key != "hydra"]
        task = OmegaConf.to_container(OmegaConf.masked_copy(config, names), resolve=True)
    finally:
        HydraConfig.instance().cfg = None
    return task, OmegaConf.to_container(config.hydra.runtime.choices)


def outcome(make: Any) -> Any:
    """Return what `make` returns, or the kind and text of its error."""
    try:
        return repr(make())
    except Exception as error:
        return type(error).__name__, str(error)


LEAVES = ["a", "b.c", "b.d.e", "b.list", "nested.a.b", "nested.k", "ref", "deep.r", "deep.text"]
KEYS = [*LEAVES, *"missing b b.d b.list.0 nested.a alias alias.c new nope.x data.rows".split()]
KEYS += "network.layers network.w network.own data.path network.extra.deep".split()
SCALARS = ["1", "-2", "2.5", "1e5", "true", "null", "x", "'quoted'", "'a, b'", "''"]
VALUES = [*SCALARS, "[1,2]", "[]", "{}", "{b: 2}", "{a: {b: 9}}", "${a}", "${b}", "${nope}", "???"]
VALUES += ["${hydra:job.num}", "${hydra.job.num}", "${hydra:overrides.task}", "'${'", "", "["]
GROUPS = ["network=small", "network=big", "network=nope", "network={w: 3}", "+network@b.net=big"]
GROUPS += ["data=one", "data=two", "data=told", "~network", "hydra/job_logging=disabled"]
HYDRA = ["hydra.job.name=called", "hydra.sweep.subdir=x", "hydra.nope=1"]


def typed(prefixes: list[str], keys: list[str], values: list[str]) -> st.SearchStrategy[str]:
    parts = (st.sampled_from(part) for part in (prefixes, keys, values))
    return st.builds(lambda prefix, key, value: f"{prefix}{key}={value}", *parts)


plain = typed([""], LEAVES, SCALARS)
wild = typed(["", "", "", "+", "++", "~"], KEYS, VALUES)
other = st.sampled_from([*GROUPS, *HYDRA])
job = st.one_of(
    st.lists(st.one_of(plain, other), max_size=4), st.lists(st.one_of(plain, wild), max_size=4)
)


@pytest.mark.slow
@settings(
    max_examples=25,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(jobs=st.lists(job, min_size=1, max_size=3), number=st.integers(0, 9))
def test_points_are_what_hydra_composes(
    loader: ConfigLoader, jobs: list[list[str]], number: int
) -> None:
    master = master_of(loader)
    composer = Composer(loader, master)
    for lines in jobs:  # one composer for all of them: nothing of one may be in another
        ours = outcome(lambda lines=lines: tuple(composer.compose(lines, number)))
        assert ours == outcome(lambda lines=lines: by_hydra(loader, master, lines, number))


def test_plain_values_are_composed_once_for_each_choice_of_groups(loader: ConfigLoader) -> None:
    calls = []

    class Counting:
        def load_configuration(self, *arguments: Any) -> DictConfig:
            calls.append(arguments[1])
            return loader.load_configuration(*arguments)

    composer = Composer(Counting(), master_of(loader))  # type: ignore[arg-type]
    for group in ("small", "big"):
        for value in range(50):
            made = composer.compose([f"network={group}", f"a={value}", "b.d.e=y"], value)
            assert (made.values["ref"], made.values["data"]["path"]) == (value, "y.csv")
    assert [lines[0] for lines in calls] == ["network=small", "network=big"]


@pytest.mark.parametrize(
    ("master", "job", "numbered", "needs_jobs"),
    [
        ([], ["lr=0.1"], False, False),
        ([], ["seed=${hydra:job.num}"], True, False),
        ([], ["experiment=numbered"], True, False),
        (["hydra.output_subdir=.hydra"], ["lr=0.1"], True, True),
        (["hydra.job.chdir=true"], ["lr=0.1"], True, True),
        (["+hydra.job.env_set.A=b"], ["lr=0.1"], False, True),
        (["hydra.sweep.subdir=${hydra.job.id}"], ["lr=0.1"], True, True),
    ],
)
def test_what_a_point_asks_of_its_job(
    master: list[str], job: list[str], numbered: bool, needs_jobs: bool, tmp_path: Path
) -> None:
    preset = tmp_path / "experiment" / "numbered.yaml"
    preset.parent.mkdir()
    preset.write_text("# @package _global_\nseed: ${hydra:job.num}\n")
    register()
    with initialize_config_dir(str(ROOT / "conf"), **version_base()):
        setup_globals()
        instance = GlobalHydra.instance().hydra
        assert instance is not None
        path = f"hydra.searchpath=['file://{tmp_path}']"
        loader = instance.config_loader
        config = loader.load_configuration("config", [path, "parent=x", *master], RunMode.MULTIRUN)
        composer = Composer(loader, config)
        composer.compose(["lr=0.3"], 1)
        composer.compose(job, 4)
    assert (composer.numbered, composer.needs_jobs) == (numbered, needs_jobs)
