"""The real application under every launcher and backend: the same jobs, the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sweep.config.settings import Tracking
from tests.commands import run_here
from tests.processes import run_sweep
from tests.stores import client_of, content, runs_of

TRAINER = '''
class Halving:
    """Halves its error at each iteration; fails where it is told to."""

    thread_safe = True

    def __init__(self, lr, broken=0.2):
        self.step, self.lr = 0, lr
        if lr == broken:
            raise RuntimeError("this rate is broken")

    def advance(self, iterations):
        errors = [self.lr / 2 ** (self.step + i + 1) for i in range(iterations)]
        self.step += iterations
        return errors

    def error(self):
        return self.lr / 2**self.step

    def weights(self):
        return {"w": self.error()}
'''

RECORDER = '''
import json
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback


class Recorder(Callback):
    """Writes down each call that Hydra makes, with what the job sees of itself."""

    def write(self, what, **more):
        with open("calls.jsonl", "a") as file:
            print(json.dumps({"what": what, **more}), file=file)

    def on_multirun_start(self, config, **kwargs):
        self.write("multirun_start")

    def on_multirun_end(self, config, **kwargs):
        self.write("multirun_end")

    def on_job_start(self, config, *, task_function, **kwargs):
        hydra = HydraConfig.get()
        folder = hydra.runtime.output_dir.rpartition("/")[2]
        self.write("job_start", num=hydra.job.num, folder=folder, remark=config.remark)

    def on_job_end(self, config, job_return, **kwargs):
        value = job_return._return_value
        shown = value if isinstance(value, float) else type(value).__name__
        self.write("job_end", num=config.hydra.job.num, status=job_return.status.name, value=shown)
'''

ARGUMENTS = [
    "-m",
    "--config-dir",
    "my_conf",
    "trainer=halving",
    "lr=0.1,0.2,0.4",
    "iters=2,5",
    "experiment=noted",
    "remark=${hydra:job.num}",
    "hydra.output_subdir=.hydra",
    "+hydra.callbacks.recorder={_target_: recorder.Recorder}",
]


def user_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "halving.py").write_text(TRAINER)
    (folder / "recorder.py").write_text(RECORDER)
    trainers = folder / "my_conf" / "trainer"
    trainers.mkdir(parents=True)
    (trainers / "halving.yaml").write_text("_target_: halving.Halving\nlr: ${lr}\n")
    presets = folder / "my_conf" / "experiment"
    presets.mkdir()
    (presets / "noted.yaml").write_text("# @package _global_\nremark: null  # for the recorder\n")
    return folder


def stored(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what the store below a folder holds of its last sweep's runs."""
    return content(Tracking(kind="local", outputs=folder / "outputs"))


def files(folder: Path) -> list[str]:
    (sweep,) = (folder / "outputs" / "sweeps").iterdir()
    return sorted(str(path.relative_to(sweep)) for path in sweep.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def basic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder where Hydra's own launcher ran the jobs."""
    folder = user_folder(tmp_path_factory.mktemp("basic") / "user")
    ended = run_here([*ARGUMENTS, "hydra/launcher=basic"], folder)
    assert ended.code == 1, ended
    return folder


@pytest.fixture(scope="module")
def trajectory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder where our launcher ran the jobs, one after the other."""
    folder = user_folder(tmp_path_factory.mktemp("trajectory") / "user")
    ended = run_here([*ARGUMENTS, "hydra.launcher.backend=serial"], folder)
    assert ended.code == 1, ended
    return folder


@pytest.mark.slow
def test_launchers_make_the_same_files(basic: Path, trajectory: Path) -> None:
    found = files(trajectory)
    assert found == files(basic)
    for number in range(6):
        assert f"{number}/.hydra/config.yaml" in found
        assert f"{number}/sweep.log" in found


@pytest.mark.slow
def test_launchers_call_the_callbacks_alike(basic: Path, trajectory: Path) -> None:
    calls = (trajectory / "calls.jsonl").read_text()
    assert calls == (basic / "calls.jsonl").read_text()
    told = [json.loads(line) for line in calls.splitlines()]
    assert told[0]["what"] == "multirun_start"
    assert told[-1]["what"] == "multirun_end", "also after failures"
    starts = [call for call in told if call["what"] == "job_start"]
    assert [call["remark"] for call in starts] == [call["num"] for call in starts] == [*range(6)]
    ends = {call["num"]: call for call in told if call["what"] == "job_end"}
    assert {num for num, call in ends.items() if call["status"] == "FAILED"} == {2, 3}
    assert ends[0]["value"] == 0.1 / 2**2


@pytest.mark.slow
def test_launchers_leave_the_same_store(basic: Path, trajectory: Path) -> None:
    assert stored(trajectory) == stored(basic)
    failed = {name for name, run in stored(basic).items() if run["status"] == "FAILED"}
    assert len(failed) == 2


@pytest.mark.slow
def test_fail_fast_leaves_the_rest_out(tmp_path: Path) -> None:
    folder = user_folder(tmp_path / "user")
    arguments = [*ARGUMENTS[:4], "lr=0.2,0.1,0.4", "iters=2", "fail_fast=true"]
    for launcher in ("hydra.launcher.backend=serial", "hydra/launcher=basic"):
        ended = run_here([*arguments, launcher, f"outputs={launcher[-5:]}"], folder)
        assert ended.code == 1, ended
        assert "this rate is broken" in ended.out
        (run,) = runs_of(folder / launcher[-5:]).values()
        assert run.info.status == "FAILED"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["trajectory", "basic"])
def test_jobs_keep_their_numbers_when_a_sweep_is_resumed(launcher: str, tmp_path: Path) -> None:
    """What depends on hydra.job.num is composed as it was; no job's files are another's."""
    keys = ["seed=${hydra:job.num}", "hydra.output_subdir=.hydra", f"hydra/launcher={launcher}"]
    ended = run_here(["-m", "lr=0.1,0.2,0.4", "iters=3", *keys], tmp_path)
    assert ended.code == 0, ended
    (middle,) = runs_of(tmp_path / "outputs", "params.seed = '1'").values()
    client_of(tmp_path / "outputs").delete_run(middle.info.run_id)
    before = stored(tmp_path)
    (first,) = tmp_path.glob("outputs/sweeps/*/0/.hydra/config.yaml")
    first.write_text("mine")
    again = run_here(["-m", "resume=last", "lr=0.7", *keys], tmp_path)
    assert again.code == 0, again
    after = stored(tmp_path)
    assert {name: after[name] for name in before} == before
    assert sorted(run["params"]["seed"] for run in after.values()) == ["0", "1", "2", "3"]
    assert after["lr=0.2,iters=3"]["params"]["seed"] == "1"
    (added,) = [name for name in after if name.startswith("lr=0.7")]
    assert after[added]["params"]["seed"] == "3", list(after)
    assert first.read_text() == "mine"
    for number in (1, 3):
        kept = first.parents[2] / str(number) / ".hydra" / "hydra.yaml"
        assert f"    num: {number}\n" in kept.read_text()
    third = run_here(["-m", "resume=last", *keys], tmp_path)
    assert third.code == 0 and "0 to do" in third.out, third


CHANGING = """
def train(data):  # and change the data then
    while True:
        yield float(data.targets[0, 0])
        with open("points.csv", "a") as file:
            file.write("3,0.75\\n")
"""


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "trajectory"])
def test_run_trains_by_the_data_of_its_plan_or_fails(launcher: str, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("x,y\n1,0.5\n2,0.25\n")
    (tmp_path / "changing.py").write_text(CHANGING)
    (tmp_path / "own" / "trainer").mkdir(parents=True)
    (tmp_path / "own" / "trainer" / "changing.yaml").write_text("_target_: changing.train\n")
    (tmp_path / "own" / "data").mkdir()
    (tmp_path / "own" / "data" / "points.yaml").write_text(
        "file: points.csv\ninputs: [x]\ntargets: [y]\n"
    )
    own = ["--config-dir", "own", "trainer=changing", "data=points"]
    how = [f"hydra/launcher={launcher}"]
    how += ["hydra.launcher.backend=serial"] if launcher == "trajectory" else []
    ended = run_here(["-m", *own, "lr=0.1,0.2", "iters=1", *how], tmp_path)
    assert ended.code == 1, ended
    told = ("other content than when the run was planned", "not what the sweep was planned with")
    assert any(words in ended.out for words in told), ended
    found = {name: run["status"] for name, run in stored(tmp_path).items()}
    assert found == {"lr=0.1,iters=1": "FINISHED", "lr=0.2,iters=1": "FAILED"}
    (tmp_path / "points.csv").write_text("x,y\n1,0.5\n2,0.25\n")
    (tmp_path / "changing.py").write_text(CHANGING.replace("points.csv", "others.csv"))
    ended = run_here(["-m", *own[:2], "resume=last", *how], tmp_path)
    assert ended.code == 0, ended
    assert "train with the new one: 1, finished with the old one: 1" in ended.out


COUNTING = """
import numpy as np
import threadpoolctl


def train():  # the error is the number of threads that share a product of matrices
    while True:
        np.ones((2, 2)) @ np.ones((2, 2))
        found = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
        yield float(max(found, default=1))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["-m"], ["-m", "basic"]])
def test_own_trainer_has_one_blas_thread_whoever_runs_it(how: list[str], tmp_path: Path) -> None:
    """The sum that a product makes depends on how many threads share it."""
    (tmp_path / "counting.py").write_text(COUNTING)
    (tmp_path / "own" / "trainer").mkdir(parents=True)
    (tmp_path / "own" / "trainer" / "counting.yaml").write_text("_target_: counting.train\n")
    own = ["--config-dir", "own", "trainer=counting", "lr=0.1", "iters=2"]
    many = {"OPENBLAS_NUM_THREADS": "2"}
    launcher = [f"hydra/launcher={name}" for name in how[1:]]
    ended = run_sweep([*how[:1], *own, *launcher], tmp_path, env=many)
    assert ended.code == 0, ended
    (run,) = runs_of(tmp_path / "outputs").values()
    assert run.data.metrics["final_error"] == 1.0


@pytest.mark.slow
def test_own_trainer_finds_the_environment_and_folder_of_its_job(tmp_path: Path) -> None:
    folder = user_folder(tmp_path / "user")
    with (folder / "halving.py").open("a") as file:
        file.write(
            "\n\nclass Looking(Halving):\n"
            "    def __init__(self, **options):\n"
            "        import os\n"
            "        super().__init__(**options)\n"
            "        assert os.environ['WIDTH'] == '3', os.environ\n"
            "        assert os.getcwd().endswith(os.environ['JOB']), os.getcwd()\n"
        )
    group = folder / "my_conf" / "trainer"
    (group / "looking.yaml").write_text("_target_: halving.Looking\nlr: ${lr}\n")
    environment = ["+hydra.job.env_set.WIDTH='3'", "+hydra.job.env_set.JOB='/${hydra:job.num}'"]
    own = ["trainer=looking", "lr=0.1,0.4", "iters=2,5", *environment]
    chdir = ["hydra.job.chdir=true", "hydra.output_subdir=.hydra", "--config-dir", "my_conf"]
    ended = run_here(["-m", *own, *chdir], folder)
    assert ended.code == 0, ended
    assert {run["status"] for run in stored(folder).values()} == {"FINISHED"}
