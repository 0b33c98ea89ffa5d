"""MLflow's server on PostgreSQL: every command as on SQLite, many clients, a server that dies.

One file, for one server: the files of a test session may run in several processes.
"""

from __future__ import annotations

import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sweep.config.settings import Tracking
from sweep.tracking import read
from sweep.tracking.store import open_store
from tests.commands import run_here
from tests.processes import finish, run, start_sweep
from tests.schedulers.support import GRID as GRID_OF_JOBS
from tests.schedulers.support import assert_like_the_default, sweep, user_folder
from tests.server.conftest import Server
from tests.stores import assert_once, content, every_run

pytestmark = pytest.mark.postgres

GRID = ["-m", "lr=0.05,1.0", "iters=1,300"]


def test_commands_do_what_they_do_on_sqlite(server: Server, tmp_path: Path) -> None:
    local = run_here(GRID, tmp_path)
    assert local.code == 0, local
    expected = content(Tracking(kind="local", outputs=tmp_path / "outputs"))
    here, there = tmp_path / "here", tmp_path / "there"
    ours = "tracking.experiment=commands"

    ended = server.client(here, *GRID, ours)
    assert ended.code == 0, ended
    tracking = server.tracking(here / "outputs", "commands")
    assert content(tracking) == expected
    assert_once(tracking)
    for pattern in ("*.parquet", "mlflow.db", "plan.json", "weights.json"):
        assert not list(here.rglob(pattern)), "the server alone keeps them"
    (compare,) = [line for line in ended.out.splitlines() if line.startswith("Compare:")]
    assert server.uri in compare and "viewStateShareKey=sweep-" in compare

    table = "final_error.csv"
    (first,) = here.rglob(table)
    assert first.read_bytes() == next(tmp_path.glob(f"outputs/reports/*/{table}")).read_bytes()
    ended = server.client(there, ours, module="sweep.report")  # another client, an empty disk
    assert ended.code == 0, ended
    (again,) = there.rglob(table)
    assert again.read_bytes() == first.read_bytes()
    ended = server.client(there, ours, module="sweep.verify")
    assert ended.code == 0 and "4 runs verified, 0 differ" in ended.out, ended
    ended = server.client(there, ours, "to=exported", module="sweep.export")
    assert ended.code == 0, ended
    ended = run_here(["outputs=exported"], there, module="sweep.verify")
    assert ended.code == 0 and "4 runs verified, 0 differ" in ended.out, ended
    ended = server.client(there, ours, module="sweep.ui")
    assert ended.code == 0 and "viewStateShareKey=all-sweeps" in ended.out, ended

    ended = server.client(there, ours, "lr=1.0", "iters=300")
    assert ended.code == 0 and "Stored as run" in ended.out, ended
    ended = server.client(there, *GRID, ours, "reuse=true")
    assert ended.code == 0 and ended.out.count("reused from") == 4, ended
    assert content(tracking) == expected
    assert_once(tracking, sweeps=2)


def test_killed_sweep_is_resumed_by_another_client(server: Server, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    ours = ["tracking=server", "tracking.experiment=killed"]
    grid = ["-m", "lr=0.1,0.2", "iters=20,300000000", "hydra.launcher.backend=serial"]
    process = start_sweep([*grid, *ours], first, env=server.env)
    assert process.stdout is not None
    for line in process.stdout:
        if "[1/4]" in line:
            break
    process.send_signal(signal.SIGKILL)
    finish(process, 60)
    tracking = server.tracking(second / "outputs", "killed")
    found = read.find_sweep(open_store(tracking, mode="read"), "last")
    assert found.status == "RUNNING"
    ended = server.client(second, *ours[1:], "resume=last", "max_seconds=0.1")
    assert ended.code == 1, ended  # the long runs are cut short on purpose
    runs = content(tracking, found.sweep_id)
    assert {name: run["status"] for name, run in runs.items()} == {
        "lr=0.1,iters=20": "FINISHED",
        "lr=0.2,iters=20": "FINISHED",
        "lr=0.1,iters=300000000": "KILLED",
        "lr=0.2,iters=300000000": "KILLED",
    }
    assert not [run for run in every_run(tracking) if run.info.status == "RUNNING"]


@pytest.mark.parametrize(
    "changes",
    [{"MLFLOW_TRACKING_PASSWORD": "wrong"}, {"MLFLOW_TRACKING_PASSWORD": None}],
    ids=["wrong", "none"],
)
def test_password_is_asked_for(
    changes: dict[str, str | None], server: Server, tmp_path: Path
) -> None:
    ended = run_here([*GRID, "tracking=server"], tmp_path, env={**server.env, **changes})
    assert ended.code == 3, ended
    (line,) = ended.err.splitlines()
    assert server.uri in line and "MLFLOW_TRACKING_PASSWORD" in line
    assert not list(tmp_path.rglob("sweeps"))


def test_member_of_a_team_resumes_what_another_began(server: Server, tmp_path: Path) -> None:
    ended = server.client(tmp_path / "mine", "-m", "tracking.experiment=team", "lr=0.1", "iters=3")
    assert ended.code == 0, ended
    made = server.script("user", "ada")
    assert made.code == 0, made
    ada = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": made.out.strip()}
    ended = run_here(
        ["tracking=server", "tracking.experiment=team", "resume=last"],
        tmp_path,
        env={**server.env, **ada},
    )
    assert ended.code == 0 and "1 of them stored already" in ended.out, ended


@pytest.mark.slurm
def test_jobs_on_slurm_record_on_the_server(
    server: Server, slurm: dict[str, str], tmp_path: Path, reference: dict[str, Any]
) -> None:
    folder = user_folder(tmp_path / "user")
    arguments = ["hydra/launcher=submitit_slurm", "tracking=server", "tracking.experiment=slurm"]
    ended = sweep(folder, *GRID_OF_JOBS, *arguments, env={**server.env, **slurm})
    assert_like_the_default(server.tracking(folder / "outputs", "slurm"), reference, ended)


def test_server_listens_on_the_loopback_alone_and_keeps_its_secrets(server: Server) -> None:
    group = (server.folder / "pid").read_text().strip()
    postmaster = (server.folder / "postgres/postmaster.pid").read_text().split()[0]
    shown = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    ours = [line.split() for line in shown.splitlines() if f":{server.script.port} " in line]
    assert [words[3] for words in ours] == [f"127.0.0.1:{server.script.port}"]
    assert f"pid={postmaster}," not in shown, "PostgreSQL has no port"
    for name in ("password", "passfile", "key", "accounts.ini"):
        assert stat.S_IMODE((server.folder / name).stat().st_mode) == 0o600
    listed = run(["ps", "-eo", "pgid,args"], server.folder).out
    arguments = [line for line in listed.splitlines() if line.split()[0] == group]
    secret = (server.folder / "passfile").read_text().strip().rpartition(":")[2]
    assert arguments and not [
        line
        for line in arguments
        if secret in line or server.env["MLFLOW_TRACKING_PASSWORD"] in line
    ]


CLIENTS = 8
RUNS_EACH = 75
"""Six hundred in all; `python -m benchmarks.server` does a thousand, and checks them as well."""


def start(server: Server, folder: Path, ours: str, runs: int) -> subprocess.Popen[str]:
    folder.mkdir()
    rates = f"range(0.001,{(runs + 0.5) / 1000},0.001)"
    arguments = ["-m", "tracking=server", ours, f"lr={rates}", "iters=50"]
    return start_sweep(arguments, folder, env=server.env)


def test_eight_clients_at_once_lose_and_double_nothing(server: Server, tmp_path: Path) -> None:
    clients = [
        start(server, tmp_path / str(number), "tracking.experiment=eight", RUNS_EACH)
        for number in range(CLIENTS)
    ]
    for client in clients:
        ended = finish(client, 500)
        assert ended.code == 0, ended
    tracking = server.tracking(tmp_path / "outputs", "eight")
    assert_once(tracking, sweeps=CLIENTS)
    assert len(every_run(tracking)) == CLIENTS * (RUNS_EACH + 1), "no run was created twice"


def test_killed_server_loses_and_doubles_nothing(server: Server, tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(2)]
    experiments = [f"tracking.experiment=kill-{folder.name}" for folder in folders]
    clients = [
        start(server, folder, ours, 30) for folder, ours in zip(folders, experiments, strict=True)
    ]
    for client in clients:
        assert client.stdout is not None
        for line in client.stdout:
            if "[10/30]" in line:
                break
    server.kill()
    server.start()
    for client, folder, ours in zip(clients, folders, experiments, strict=True):
        ended = finish(client, 500)
        assert ended.code in (0, 3), ended
        if ended.code == 3:  # it was away for too long; what was trained waits on disk
            assert "resume=last" in ended.err, ended
            resumed = server.client(folder, ours, "resume=last")
            assert resumed.code == 0, resumed
        tracking = server.tracking(folder / "outputs", ours.partition("=")[2])
        assert_once(tracking)
    first, second = (
        content(server.tracking(folder / "outputs", ours.partition("=")[2]))
        for folder, ours in zip(folders, experiments, strict=True)
    )
    assert first == second
