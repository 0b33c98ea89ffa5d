"""A user's own trainer: found, checked, built, and what the sweep makes of what it does."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweep.config.spec import BUILT_IN, RunSpec
from sweep.engine.plan import Cell, Plan
from sweep.errors import ConfigError, RunFailed
from sweep.training.trainers import build_batch, check_options, locate, source_hash
from tests import configuration
from tests.commands import run_here
from tests.configuration import CHOICES
from tests.processes import Ended, clean_environment, finish, run, start_sweep
from tests.stores import client_of, runs_of
from tests.training.alone import train

SOURCE = '''
import functools
import pathlib
import random
import time

import numpy as np


class Plain:
    """Halve the error at each iteration."""

    def __init__(self, lr=0.1, note=None):
        self.lr, self.at = lr, 1.0

    def advance(self, iterations):
        errors = []
        for _ in range(iterations):
            self.at /= 2
            errors.append(self.at)
        return errors

    def error(self):
        return self.at

    def weights(self):
        return {"w": self.at}


class Alone(Plain):
    shareable = False


class Safe(Plain):
    thread_safe = True


class Curious(Plain):
    """Look at what the program gives, and try to change it."""

    def __init__(self, data, network, lr):
        super().__init__()
        self.shapes = data.inputs.shape, network.layers
        for array in (data.inputs, data.targets, network.weights[0], network.biases[0]):
            try:
                array[...] = 0
            except ValueError:
                continue
            raise RuntimeError("what the program gives can be changed")


class Random(Plain):
    """Draw from the global generators, seeded once."""

    def __init__(self, seed, lr):
        super().__init__()
        random.seed(seed)
        np.random.seed(seed)

    def advance(self, iterations):
        errors = []
        for _ in range(iterations):
            self.at = random.random() + np.random.rand()
            errors.append(self.at)
        return errors


class Breaks(Plain):
    """Raise at the third iteration where lr is above 1."""

    def advance(self, iterations):
        if self.lr > 1:
            raise ArithmeticError("no way with lr=%s" % self.lr)
        return super().advance(iterations)


class WrongShape(Plain):
    def advance(self, iterations):
        return [1.0] * (iterations + (self.lr > 1))


class NotANumber(Plain):
    def advance(self, iterations):
        errors = super().advance(iterations)
        return [float("nan") if self.lr > 1 else error for error in errors]


class Unready:
    def advance(self, iterations):
        return []


class Long(Plain):
    """Take a little time for each iteration, and note every one; wait where a file says so."""

    def advance(self, iterations):
        with open("iterations.txt", "a") as file:
            file.write("x" * iterations)
        time.sleep(0.01 * iterations)
        errors = []
        for _ in range(iterations):
            self.at *= 0.999
            errors.append(self.at)
        return errors

    def state(self):
        return {"at": self.at}

    def restore(self, state):
        self.at = float(state["at"])


class Mapped(dict):
    """A subclass of a built-in type has no signature."""

    advance, error, weights = Plain.advance, Plain.error, Plain.weights


def function(lr):
    return Plain(lr)


def generator(lr):
    yield lr


part = functools.partial(generator, lr=1)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a user's folder: classes in a file, and an option for each of them."""
    made = tmp_path_factory.mktemp("a user") / "mine"
    (made / "my_conf" / "trainer").mkdir(parents=True)
    (made / "their_classes.py").write_text(SOURCE)
    options = {"Curious": "lr: ${lr}\n", "Random": "lr: ${lr}\nseed: ${seed}\n"}
    for name in re.findall(r"^class (\w+)", SOURCE, re.M):
        text = f"_target_: their_classes.{name}\n" + options.get(name, "lr: ${lr}\n")
        (made / "my_conf" / "trainer" / f"{name.lower()}.yaml").write_text(text)
    return made


@pytest.fixture
def importable(folder: Path) -> Iterator[Path]:
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("their_classes", None)


def spec(name: str, lr: float = 0.1, **changes: Any) -> RunSpec:
    """Return the specification of a run by a class of the user's."""
    trainer = {"_target_": f"their_classes.{name}", "lr": lr, **changes.pop("options", {})}
    return configuration.spec(trainer=trainer, lr=lr, **{"rule": None, **changes})


# --- finding and checking ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("nowhere.at.All", "cannot be imported .ModuleNotFoundError"),
        ("their_classes.Missing", "cannot be imported .AttributeError"),
        ("their_classes.function", "this function does not yield"),
        ("their_classes.part", "or the generator function that trains, not a partial"),
        ("their_classes.Unready", r"the class lacks error\(\), weights\(\)"),
        ("json", "cannot be imported"),
    ],
)
def test_class_that_cannot_train_is_refused_in_one_sentence(
    target: str, told: str, importable: Path
) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        locate(target)
    assert target in str(caught.value)
    assert "\n" not in str(caught.value)


CHOOSING = {
    "mlflow.set_experiment('mine')": r"imported, mlflow\.set_experiment is called; leave it out",
    "mlflow.set_tracking_uri('sqlite:///own.db')": r"mlflow\.set_tracking_uri is called",
    "mlflow.tracking.fluent.create_experiment('mine')": r"mlflow\.create_experiment is called",
    "raise SystemExit": "as it is imported, it ends the process; move what does that below `if",
    "mlflow.start_run()": r"as it is imported, MLflow is called \(Unsupported.*call it in training",
    "os.environ['MLFLOW_TRACKING_URI'] = 'sqlite:///own.db'": "",
    "def main():\n    mlflow.set_experiment('mine')": "",
}
"""What a module may do as it is imported, and what is told of it."""


@pytest.mark.parametrize("line", CHOOSING)
def test_what_a_trainer_imports_cannot_choose_another_store(
    line: str, importable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///given.db")
    (importable / "helping.py").write_text(f"import os\nimport mlflow.tracking.fluent\n{line}\n")
    (importable / "storing.py").write_text("import helping\ndef train(lr):\n    yield lr\n")
    try:
        if told := CHOOSING[line]:
            with pytest.raises(ConfigError, match=rf"trainer\._target_=storing\.train: .*{told}"):
                locate("storing.train")
        else:
            assert locate("storing.train").__name__ == "train"
        assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:///given.db"
        assert not list(Path.cwd().glob("*.db"))
    finally:
        for name in ("helping", "storing"):
            sys.modules.pop(name, None)


@pytest.mark.slow
def test_store_calls_are_refused_though_mlflow_was_only_looked_for_at_first(tmp_path: Path) -> None:
    program = (
        "import importlib.util\n"
        "from sweep.training.surroundings import importing\n"
        "with importing('nothing'): assert importlib.util.find_spec('mlflow')\n"
        "import mlflow\n"
        "mlflow.set_experiment('mine')\n"
    )
    ended = run([sys.executable, "-c", program], tmp_path, env=clean_environment())
    assert ended.code == 1 and "RunFailed: mlflow.set_experiment is called" in ended.err, ended
    assert not list(tmp_path.iterdir())


def test_class_is_found_in_the_callers_folder_under_an_installed_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part not in ("", ".")])
    monkeypatch.chdir(folder)
    assert locate("their_classes.Plain").__name__ == "Plain"
    sys.modules.pop("their_classes")


def test_source_hash_is_that_of_the_classs_file(importable: Path) -> None:
    before = source_hash(locate("their_classes.Plain"))
    file = importable / "their_classes.py"
    planned = configuration.spec(trainer={"_target_": "their_classes.Plain"}, rule=None)
    try:
        file.write_text(SOURCE + "\n# more\n")
        assert source_hash(locate("their_classes.Plain")) == before  # what it says runs later
        build_batch([planned])
        sys.modules.pop("their_classes")
        assert source_hash(locate("their_classes.Plain")) != before
        with pytest.raises(RunFailed, match="where it trains its source is not the one"):
            build_batch([planned])
    finally:
        file.write_text(SOURCE)
        sys.modules.pop("their_classes")
    assert source_hash(locate("their_classes.Safe")) == before
    build_batch([planned])


def test_data_that_changed_since_the_plan_trains_nothing(tmp_path: Path) -> None:
    file = tmp_path / "points.csv"
    file.write_text("x,y\n1,0.5\n2,0.25\n")
    data = {"file": str(file), "inputs": ["x"], "targets": ["y"]}
    network = {"layers": [1, 1], "init": {"scheme": "xavier"}}
    planned = configuration.spec({**CHOICES, "network": "own"}, data=data, network=network)
    build_batch([planned])
    file.write_text("x,y\n1,0.5\n2,0.75\n")
    with pytest.raises(RunFailed, match=r"points\.csv: the file has other content than when"):
        build_batch([planned])


def test_class_without_signature_is_accepted(importable: Path) -> None:
    mapped = configuration.spec(trainer={"_target_": "their_classes.Mapped", "at": 1.0}, rule=None)
    assert build_batch([mapped]).items[0] == {"at": 1.0}


def test_class_without_source_is_refused() -> None:
    with pytest.raises(ConfigError, match="its source cannot be found"):
        source_hash(int)


def test_arguments_are_checked_before_anything_runs(importable: Path) -> None:
    plain, curious = locate("their_classes.Plain"), locate("their_classes.Curious")
    check_options(plain, {"lr": 1})
    check_options(curious, {"lr": 1})
    with pytest.raises(ConfigError, match=r"trainer\.nots: Plain takes .* did you mean 'note'"):
        check_options(plain, {"lr": 1, "nots": 2})
    check_options(curious, {})


def test_arguments_of_any_name_are_taken_where_the_class_does() -> None:
    class Open:
        def __init__(self, needed: int, **others: Any) -> None: ...

    check_options(Open, {"needed": 1, "anything": 2})
    with pytest.raises(ConfigError, match="needs the argument needed; add `needed: ...` to its"):
        check_options(Open, {"anything": 2})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batchsize": 5}, r"trainer\.batchsize: .* did you mean 'batch_size'"),
        ({"batch_size": 0}, r"trainer\.batch_size=0: "),
        ({"batch_size": 1.5}, r"trainer\.batch_size=1\.5: "),
        ({"batch_size": True}, r"trainer\.batch_size=true: "),
        ({"batch_size": "all"}, r"trainer\.batch_size=all: "),
        ({"batch_size": "8"}, r'trainer\.batch_size="8": this is text where a number is due'),
        ({"shuffle": "yes"}, r"trainer\.shuffle=yes: "),
    ],
)
def test_options_of_the_built_in_trainer_are_checked(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        configuration.spec(trainer={"_target_": BUILT_IN, **options})


def test_batch_of_everything_is_the_full_batch_with_its_signature() -> None:
    data = {
        "inputs": [[1, 2, 3, 4], [2, 3, 4, 5], [0, 1, 0, 1]],
        "targets": [[0, 1], [1, 0], [1, 1]],
    }

    def signature(**options: Any) -> str:
        return configuration.spec(data=data, trainer={"_target_": BUILT_IN, **options}).signature

    full = signature()
    for size in (3, 4, 1000):
        assert signature(batch_size=size) == full
    others = {signature(batch_size=n, shuffle=order) for n in (1, 2) for order in (True, False)}
    assert len(others | {full}) == 5


# --- building and sharing ---------------------------------------------------------------------


def test_class_gets_data_and_network_read_only(importable: Path) -> None:
    it: Any = build_batch([spec("Curious")]).items[0]
    assert it.shapes == ((1, 4), (4, 3, 2))


def test_trajectories_are_shared_unless_the_class_or_a_value_forbids_it(importable: Path) -> None:
    def trajectories(name: str, **options: int) -> int:
        specs = [spec(name, iters=n, options={key: n for key in options}) for n in (10, 100)]
        cells = tuple(Cell(at, (), {}, one) for at, one in enumerate(specs))
        return len(Plan(cells, (), len(cells), "", importable).trajectories())

    assert (trajectories("Plain"), trajectories("Alone")) == (1, 2)
    assert trajectories("Plain", note=1) == 2


def test_class_runs_in_processes_unless_it_says_otherwise_and_has_no_rule(importable: Path) -> None:
    plain = spec("Plain")
    assert (plain.trainer.thread_safe, plain.rule) == (False, None)
    assert spec("Safe").trainer.thread_safe is True
    with pytest.raises(ConfigError, match="rule=gradient"):
        spec("Plain", rule="gradient")


# --- in a sweep -------------------------------------------------------------------------------


def traceback_of(folder: Path, outputs: str, run: Any) -> str:
    path = folder / outputs / "artifacts" / run.info.run_id / "artifacts" / "traceback.txt"
    return path.read_text(encoding="utf-8")


def command(trainer: str, outputs: str, *more: str) -> list[str]:
    return ["-m", "--config-dir", "my_conf", f"trainer={trainer}", f"outputs={outputs}", *more]


WRONG = "breaks,wrongshape,notanumber,random"


@pytest.fixture(scope="module")
def swept(folder: Path) -> Ended:
    return run_here(command(WRONG, "wrong", "lr=0.1,5.5", "iters=4"), folder)


def test_what_a_class_raises_is_stored_and_the_sweep_goes_on(swept: Ended, folder: Path) -> None:
    assert swept.code == 1, swept
    runs = runs_of(folder / "wrong")
    assert len(runs) == 8
    for trainer, words in (
        ("breaks", "ArithmeticError: no way with lr=5.5"),
        ("wrongshape", "WrongShape.advance(1) returned shape (2,)"),
    ):
        bad = runs.pop(f"lr=5.5,iters=4,trainer={trainer}")
        assert bad.info.status == "FAILED"
        text = traceback_of(folder, "wrong", bad)
        assert words in text and "Traceback" in text
        assert words in swept.out
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs["lr=0.1,iters=4,trainer=breaks"].data.metrics["final_error"] == 2**-4


def test_error_that_is_no_number_is_a_divergence(swept: Ended, folder: Path) -> None:
    runs = runs_of(folder / "wrong")
    bad = runs["lr=5.5,iters=4,trainer=notanumber"]
    assert bad.data.tags["sweep.outcome"] == "diverged"
    assert bad.data.metrics["diverged_at"] == 1
    assert "final_error" not in bad.data.metrics


def test_global_generators_give_the_bits_of_training_here(swept: Ended, importable: Path) -> None:
    """The sweep trained it in a worker process, this test in its own."""
    runs = runs_of(importable / "wrong")
    random = spec("Random", 5.5, iters=4, options={"seed": 0})
    (result,) = train(build_batch([random]), [4])
    for lr in ("0.1", "5.5"):
        metrics = runs[f"lr={lr},iters=4,trainer=random"].data.metrics
        assert metrics["final_error"] == result.final_error


def test_class_that_lacks_a_method_is_refused_before_anything_exists(folder: Path) -> None:
    ended = run_here(command("unready", "never", "lr=0.1,5.5", "iters=4"), folder)
    assert ended.code == 2
    assert "lacks error(), weights()" in ended.err
    assert not (folder / "never").exists()


@pytest.mark.slow
def test_long_run_is_watched_and_gone_on_with(folder: Path) -> None:
    """See its curve in the store while it trains; end it; resume it from where it was."""
    process = start_sweep(command("long", "long", "lr=0.1", "iters=700"), folder)
    try:
        seen = wait_for_points(folder)
    finally:
        process.terminate()
        ended = finish(process, 60)
    assert ended.code == 143, ended
    assert all(value == pytest.approx(0.999**step, rel=1e-12) for step, value in seen)
    first = (folder / "iterations.txt").stat().st_size
    assert len(list((folder / "long").rglob("checkpoints/*.npz"))) == 1
    ended = run_here(command("long", "long", "resume=last"), folder)
    assert (ended.code, ended.err) == (0, ""), ended
    assert (folder / "iterations.txt").stat().st_size - first < 700
    assert not list((folder / "long").rglob("checkpoints"))
    (run,) = runs_of(
        folder / "long", "params.lr = '0.1' and attributes.status = 'FINISHED'"
    ).values()
    points = client_of(folder / "long").get_metric_history(run.info.run_id, "error")
    history = [(point.step, point.value) for point in points]
    assert len(history) == len(dict(history))
    assert {step for step, _ in history} >= {0, 1, 10, 700}
    assert dict(seen).items() <= dict(history).items()


def wait_for_points(folder: Path) -> list[tuple[int, float]]:
    """Return what the store holds of a run's curve as soon as it holds any, while it trains."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "long" / "mlflow.db").exists():
            for run in runs_of(folder / "long").values():
                points = client_of(folder / "long").get_metric_history(run.info.run_id, "error")
                if points:
                    assert run.info.status == "RUNNING"
                    return [(point.step, point.value) for point in points]
        time.sleep(0.3)
    raise AssertionError("the store showed no point of a run within a minute")
