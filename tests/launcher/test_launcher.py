"""The launcher's promises, beside Hydra's basic launcher wherever that one promises the same."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import re
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import ConfigCompositionException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from sweep.cli.compose import Jobs
from sweep.errors import RunFailed
from tests.launcher import recording

CONFIG = """
a: 1
b: {c: x, list: [1, 2]}
number: ${hydra:job.num}
told: ${hydra:runtime.output_dir}
hydra:
  sweep: {dir: out, subdir: "${hydra.job.num}_${a}"}
"""

STAMP = re.compile(r"\[[0-9-]+ [0-9:,]+\]")


class App:
    """A small application; `launch` hands override lists to one of its launchers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "conf").mkdir()
        (folder / "conf" / "config.yaml").write_text(CONFIG)

    def launch(
        self,
        launcher: str,
        task: Callable[[DictConfig], Any],
        jobs: Sequence[Sequence[str]],
        *overrides: str,
        first: int = 0,
        make: Callable[[Any, DictConfig, Any], Any] = lambda loader, config, jobs: jobs,
    ) -> list[JobReturn]:
        """Launch `jobs` in a folder named after the launcher."""
        self.enter(launcher)
        with initialize_config_dir(str(self.folder / "conf"), "app", version_base="1.3"):
            instance = GlobalHydra.instance().hydra
            assert instance is not None
            config = instance.compose_config(
                "config",
                [f"hydra/launcher={launcher}", *overrides],
                RunMode.MULTIRUN,
                with_log_configuration=False,
            )
            context = HydraContext(instance.config_loader, Callbacks(config))
            plugin = Plugins.instance().instantiate_launcher(context, task, config)
            given = make(instance.config_loader, config, jobs)
            return list(plugin.launch(given, initial_job_idx=first))

    def multirun(self, launcher: str, task: Callable[[DictConfig], Any], *overrides: str) -> Any:
        """Run a whole sweep with the basic sweeper."""
        self.enter(launcher)
        with initialize_config_dir(str(self.folder / "conf"), "app", version_base="1.3"):
            instance = GlobalHydra.instance().hydra
            assert instance is not None
            return instance.multirun("config", task, [f"hydra/launcher={launcher}", *overrides])

    def enter(self, launcher: str) -> None:
        recording.EVENTS.clear()
        place = self.folder / launcher
        place.mkdir(exist_ok=True)
        os.chdir(place)


@pytest.fixture
def app(weird_path: Path) -> Iterator[App]:
    yield App(weird_path)
    logging.shutdown()
    for handler in logging.getLogger().handlers:
        handler.close()


def neutral(value: Any, launcher: str) -> Any:
    """Return a nested value without what must differ: the launcher's own name and settings."""
    if isinstance(value, dict):
        own = ("launcher", "hydra/launcher")
        return {key: neutral(child, launcher) for key, child in value.items() if key not in own}
    if isinstance(value, list | tuple):
        return [neutral(child, launcher) for child in value]
    if isinstance(value, str):
        return re.sub(rf"(/|hydra/launcher=){launcher}\b", r"\1LAUNCHER", value)
    return value


def files_below(folder: Path, launcher: str) -> dict[str, Any]:
    """Return every file's content by its path, without time stamps."""
    contents = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".yaml":
            contents[name] = neutral(OmegaConf.to_container(OmegaConf.load(path)), launcher)
        elif path.is_file():
            contents[name] = STAMP.sub("[]", path.read_text())
        else:
            contents[name] = "folder"
    return contents


def watched(config: DictConfig) -> float:
    """Note what there is to see, write into the log, change the configuration, fail at a = 2."""
    recording.EVENTS.append(
        ("task", OmegaConf.to_container(config, resolve=True), recording.seen())
    )
    logging.getLogger("job").warning("a is %s", config.a)
    config.b.c = "changed by the task"
    Path("left behind.txt").write_text(str(config.a))
    if config.a == 2:
        raise ValueError("a is 2")
    return config.a / 2


RECORDERS = [
    f"+hydra.callbacks.{name}={{_target_: {recording.__name__}.Recorder, name: {name}}}"
    for name in ("first", "second")
]
JOBS = [["a=1"], ["a=2", "b.c=y"], ["+new=${a}", "b.list=[3]"], ["a=2.5", "hydra.verbose=job"]]


ALONE = [
    [],
    ["hydra.job.chdir=true"],
    [
        "hydra.job.chdir=${hydra.job.config.override_dirname.chdir}",
        "+hydra.job.config.override_dirname.chdir=true",
    ],
    ["hydra.output_subdir=null"],
    ["+hydra.job.env_set.SWEEP_TEST_VALUE=job${hydra.job.num}"],
    ["hydra.job.env_copy=[SWEEP_TEST_VALUE]"],
    ["hydra.sweep.subdir=${hydra.job.override_dirname}"],
    ["hydra.sweep.subdir=.", "hydra.output_subdir=null"],
    ["hydra/job_logging=disabled", "hydra/hydra_logging=disabled"],
    ["hydra/job_logging=none", "hydra/hydra_logging=none"],
    ["hydra.job.name=called"],
]
WATCHED = [RECORDERS + overrides for overrides in (ALONE[0], [*ALONE[1], *ALONE[4]], ALONE[6])]


@pytest.mark.parametrize("overrides", ALONE + WATCHED, ids=" ".join)
def test_jobs_are_as_under_the_basic_launcher(
    app: App,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
) -> None:
    monkeypatch.setenv("SWEEP_TEST_VALUE", "outside")
    found = {}
    for launcher in ("basic", "trajectory"):
        results = app.launch(launcher, watched, JOBS, *overrides, first=3)
        events = list(recording.EVENTS)
        assert Path.cwd() == app.folder / launcher
        assert os.environ["SWEEP_TEST_VALUE"] == "outside"
        assert not HydraConfig.initialized()
        found[launcher] = (
            neutral(events, launcher),
            neutral([recording.plain(result) for result in results], launcher),
            files_below(app.folder / launcher, launcher),
            STAMP.sub("[]", capsys.readouterr().out),
        )
    for ours, basic in zip(found["trajectory"], found["basic"], strict=True):
        assert ours == basic
    assert [event[0] for event in found["basic"][0]].count("task") == len(JOBS)


def test_whole_sweep_notifies_as_under_the_basic_launcher(app: App) -> None:
    found = {}
    for launcher in ("basic", "trajectory"):
        app.multirun(launcher, watched, "a=1,3,4", *RECORDERS)
        found[launcher] = neutral(list(recording.EVENTS), launcher)
    assert found["trajectory"] == found["basic"]
    assert [event[1] for event in found["basic"] if event[0] == "first"] == [
        "on_multirun_start",
        *["on_job_start", "on_job_end"] * 3,
        "on_multirun_end",
    ]


def test_broken_callback_is_a_warning(app: App) -> None:
    broken = f"+hydra.callbacks.broken._target_={recording.__name__}.Broken"
    with pytest.warns(UserWarning, match=r"Callback Broken.on_job_(start|end) raised"):
        (result,) = app.launch("trajectory", watched, [["a=1"]], broken)
    assert result.return_value == 0.5


def test_callback_that_changes_its_configuration_changes_no_other(app: App) -> None:
    def task(config: DictConfig) -> tuple[str, int]:
        return HydraConfig.get().job.name, config.a

    meddler = f"+hydra.callbacks.meddler._target_={recording.__name__}.Meddler"
    for launcher in ("basic", "trajectory"):
        (result,) = app.launch(launcher, task, [["a=1"]], meddler)
        assert result.return_value == ("app", 1)
        assert result.hydra_cfg.hydra.job.name == "app"


def test_failed_job_is_a_result_and_the_next_runs(app: App) -> None:
    first, failed, last = app.launch("trajectory", watched, [["a=1"], ["a=2"], ["a=3"]])
    assert (first.return_value, last.return_value) == (0.5, 1.5)
    assert failed.status is JobStatus.FAILED
    with pytest.raises(ValueError, match="a is 2"):
        _ = failed.return_value


def test_job_that_cannot_be_composed_ends_the_sweep_in_hydras_words(app: App) -> None:
    errors = []
    for launcher in ("basic", "trajectory"):
        with pytest.raises(ConfigCompositionException) as caught:
            app.launch(launcher, watched, [["a=1"], ["nope=2"], ["a=3"]])
        errors.append(str(caught.value))
        assert [event[0] for event in recording.EVENTS] == ["task"]
    assert errors[0] == errors[1]


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt()])
def test_job_that_ends_the_process_leaves_nothing_changed(app: App, ending: BaseException) -> None:
    def task(config: DictConfig) -> None:
        raise ending

    with pytest.raises(type(ending)):
        app.launch(
            "trajectory", task, [[]], "hydra.job.chdir=true", "+hydra.job.env_set.SWEEP_NEW=1"
        )
    assert Path.cwd() == app.folder / "trajectory"
    assert "SWEEP_NEW" not in os.environ
    assert not HydraConfig.initialized()


# --- the hook ----------------------------------------------------------------------------------


class Planned:
    """A task function with a plan: jobs in a given order, told in `seen`."""

    def __init__(self, order: Sequence[int], end: Callable[[], None] = lambda: None) -> None:
        self.order = order
        self.end = end
        self.seen: list[Any] = []
        self.closed = False

    def __call__(self, config: DictConfig) -> None:
        raise AssertionError("a task function with a plan is not called itself")

    def plan(self, jobs: Jobs, *, launcher: Any) -> Iterator[tuple[int, Callable[..., Any]]]:
        self.seen.append((launcher, [jobs.task_config(index)["a"] for index in range(len(jobs))]))
        try:
            for position in self.order:
                assert not HydraConfig.initialized()
                yield position, lambda config, position=position: (position, config.a)
            self.end()
        finally:
            self.closed = True


THREE = [["a=10"], ["a=11"], ["a=12"]]


def test_plan_decides_the_order_and_results_stay_in_the_jobs_order(app: App) -> None:
    task = Planned([2, 0, 1])
    results = app.launch(
        "trajectory", task, THREE, *RECORDERS, "hydra.launcher.workers=2",
        "hydra.launcher.backend=serial", "+hydra.launcher.options.x={y: 1}",
    )  # fmt: skip
    assert [result.return_value for result in results] == [(0, 10), (1, 11), (2, 12)]
    settings = {"backend": "serial", "workers": 2, "options": {"x": {"y": 1}}}
    assert task.seen == [(settings, [10, 11, 12])]
    started = [event for event in recording.EVENTS if event[:2] == ("first", "on_job_start")]
    assert [event[2]["hydra"]["job"]["num"] for event in started] == [2, 0, 1]
    assert task.closed


def test_planned_task_that_raises_is_a_failed_job(app: App) -> None:
    def plan(jobs: Jobs, *, launcher: Any) -> Any:
        return ((index, watched) for index in range(len(jobs)))

    def task(config: DictConfig) -> None:
        raise AssertionError

    task.plan = plan  # type: ignore[attr-defined]
    results = app.launch("trajectory", task, [["a=2"], ["a=3"]])
    assert [result.status for result in results] == [JobStatus.FAILED, JobStatus.COMPLETED]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([0], "ended after 1 of 3 jobs; .* left out #6, #7"),
        ([0, 0], "position 0 twice"),
        ([3], "position 3; the jobs have 0 to 2"),
        ([-1], "position -1; the jobs have 0 to 2"),
    ],
)
def test_wrong_plan_is_told_and_closed(app: App, order: list[int], message: str) -> None:
    task = Planned(order)
    with pytest.raises(RunFailed, match=message):
        app.launch("trajectory", task, THREE, first=5)
    assert task.closed


def test_plan_that_raises_ends_the_sweep_with_its_error_and_how_far_it_was(app: App) -> None:
    def end() -> None:
        raise OSError("no worker left")

    task = Planned([1, 0], end)
    with pytest.raises(OSError, match="no worker left") as caught:
        app.launch("trajectory", task, THREE)
    assert caught.value.__notes__ == ["Raised by the plan of Planned, when 2 of 3 jobs had run."]


def test_plan_is_closed_when_a_job_ends_the_process(app: App) -> None:
    class Interrupted(Planned):
        def plan(self, jobs: Jobs, *, launcher: Any) -> Iterator[tuple[int, Any]]:
            def interrupt(config: DictConfig) -> None:
                raise KeyboardInterrupt

            try:
                yield 0, interrupt
            finally:
                self.closed = True

    task = Interrupted([])
    with pytest.raises(KeyboardInterrupt):
        app.launch("trajectory", task, THREE)
    assert task.closed


# --- what is given, what is kept -----------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 4])
def test_jobs_of_a_sweeper_are_taken_as_they_are(app: App, first: int) -> None:
    made = []

    def make(loader: Any, config: DictConfig, overrides: Any) -> Jobs:
        made.append(Jobs(loader, config, [["a=0"], *overrides], first_job=first)[1:])
        return made[0]

    results = app.launch("trajectory", watched, THREE, make=make, first=7)
    numbers = [result.hydra_cfg.hydra.job.num for result in results]
    assert numbers == [7, 8, 9]
    assert made[0].first_job == first + 1
    assert [result.overrides for result in results] == THREE


def test_no_jobs_give_no_results(app: App) -> None:
    assert app.launch("trajectory", watched, []) == []


def test_result_can_be_pickled_and_is_hydras_own_then(app: App) -> None:
    (result,) = app.launch("trajectory", watched, [["a=1", "b.c=y"]])
    copy = pickle.loads(pickle.dumps(result))
    assert type(copy) is JobReturn
    assert recording.plain(copy) == recording.plain(result)


def test_result_of_a_task_that_leaves_its_configuration_unpicklable_is_kept(app: App) -> None:
    def task(config: DictConfig) -> None:
        config._set_flag("allow_objects", True)
        config.a = open(os.devnull)  # noqa: SIM115

    (result,) = app.launch("trajectory", task, [[]])
    assert result.cfg is not None
    assert not result.cfg.a.closed
    result.cfg.a.close()


def test_results_stay_small(app: App) -> None:
    def task(config: DictConfig) -> None:
        return None

    rows = f"+rows={[[number, number + 0.5] for number in range(200)]}".replace(" ", "")
    jobs = [[rows, f"a={number}"] for number in range(60)]
    quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none", "hydra.output_subdir=null"]
    results = []
    sizes = []
    for part in (jobs[:30], jobs[30:]):
        results.append(app.launch("trajectory", task, part, *quiet))
        gc.collect()
        if not tracemalloc.is_tracing():
            tracemalloc.start()
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    # As objects the configurations of one such job take some 400 000.
    assert sizes[1] - sizes[0] < 30 * 25_000
    values = [result.cfg.a for part in results for result in part if result.cfg is not None]
    assert values == list(range(60))
