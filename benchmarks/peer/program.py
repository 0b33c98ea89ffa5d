"""A straightforward Hydra + MLflow + pandas program that does the same work as `sweep`.

    python -m benchmarks.peer.program -m [lr=...] [iters=...]

Written as one would write it by the libraries' manuals, and fairly: it trains with the same
compiled kernel, logs each curve in one `log_batch` of at most 320 points, keeps the same
weights, files and tags, and draws the same four pictures once at the end. It promises
nothing about signals, resuming or a store that is not well.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import hydra
import matplotlib
import mlflow
import numpy as np
import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from mlflow.entities import Metric
from omegaconf import DictConfig, OmegaConf

from sweep.training.backprop import Backprop
from sweep.training.data import load_data
from sweep.training.network import Network

ROOT = Path(__file__).resolve().parents[2]


def problem() -> tuple[Network, Any]:
    """Return the notebook's network and its data."""
    network = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/network/notebook.yaml"))
    data = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/data/notebook.yaml"))
    assert isinstance(network, dict) and isinstance(data, dict)
    given = {str(key): value for key, value in network.items() if key != "init"}
    built = Network.build(**given)
    return built, load_data({str(k): v for k, v in data.items()}, seed=0, base=Path.cwd())


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> float:
    """Train one run and log it."""
    outputs = Path(config.outputs).resolve()
    outputs.mkdir(exist_ok=True)
    mlflow.set_tracking_uri(f"sqlite:///{outputs}/mlflow.db")
    if mlflow.get_experiment_by_name("peer") is None:
        mlflow.create_experiment("peer", artifact_location=str(outputs / "artifacts"))
    mlflow.set_experiment("peer")
    network, data = problem()
    trainer = Backprop([network], data, lrs=[config.lr], rule="notebook")
    (item,) = trainer.items
    initial = item.weights()
    with mlflow.start_run(run_name=f"lr={config.lr},iters={config.iters}") as run:
        mlflow.log_params({"lr": config.lr, "iters": config.iters, "rule": "notebook"})
        mlflow.set_tags({"sweep": HydraConfig.get().sweep.dir, "number": HydraConfig.get().job.num})
        errors = np.concatenate([[item.error()], trainer.advance(config.iters).errors[0]])
        final = item.weights()
        log_numbers(run.info.run_id, errors, final)
        log_files(config, errors, {"initial": initial, "final": final})
    return float(errors[-1])


def log_numbers(run_id: str, errors: Any, weights: Any) -> None:
    """Log the curve, log-spaced and thinned, and every weight in one batch."""
    last = len(errors) - 1
    steps = np.unique(np.geomspace(1, last, 318).astype(int)) if last else np.array([], dtype=int)
    steps = np.unique(np.concatenate([[0, int(np.argmin(errors)), last], steps]))
    points = [Metric("error", float(errors[step]), 0, int(step)) for step in steps]
    scalars = {
        "initial_error": errors[0],
        "final_error": errors[-1],
        "best_error": errors.min(),
        **{f"weights/{name}": value for name, value in weights.items()},
    }
    points += [Metric(name, float(value), 0, 0) for name, value in scalars.items()]
    mlflow.MlflowClient().log_batch(run_id, metrics=points)


def log_files(config: DictConfig, errors: Any, weights: Any) -> None:
    """Log the configuration, the whole curve and the weights as artifacts."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.yaml").write_text(OmegaConf.to_yaml(config))
        curve = pd.DataFrame({"step": np.arange(len(errors)), "error": errors})
        curve.to_parquet(Path(folder, "curve.parquet"))
        plain = {
            part: {name: float(value) for name, value in values.items()}
            for part, values in weights.items()
        }
        Path(folder, "weights.json").write_text(json.dumps(plain))
        mlflow.log_artifacts(folder)


class Report(Callback):
    """Build tables and pictures when all runs are done."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Read the runs back and write the report."""
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        folder = Path(config.outputs, "report")
        folder.mkdir(exist_ok=True)
        found = mlflow.search_runs(experiment_names=["peer"], max_results=50_000)
        assert isinstance(found, pd.DataFrame)
        runs = found.astype({"params.lr": float, "params.iters": int})
        runs.to_csv(folder / "runs.csv")
        table = runs.pivot_table(
            index="params.lr", columns="params.iters", values="metrics.final_error"
        )
        table.to_csv(folder / "final_error.csv")
        draw_curves(plt, runs, folder)
        draw_tables(plt, runs, table, folder)


def draw_curves(plt: Any, runs: pd.DataFrame, folder: Path) -> None:
    """Draw the error curve of the longest run of each learning rate."""
    figure, axes = plt.subplots(figsize=(9, 5))
    longest = runs.sort_values("params.iters").groupby("params.lr").tail(1)
    for _, run in longest.iterrows():
        path = mlflow.artifacts.download_artifacts(run_id=run.run_id, artifact_path="curve.parquet")
        curve = pd.read_parquet(path)
        axes.loglog(curve.step, curve.error, label=f"lr={run['params.lr']}")
    axes.set(xlabel="iteration", ylabel="error", title="Error while training")
    axes.legend()
    figure.savefig(folder / "curves.png", dpi=150)
    plt.close(figure)


def draw_tables(plt: Any, runs: pd.DataFrame, table: pd.DataFrame, folder: Path) -> None:
    """Draw the final errors as a heat map and as lines, and the final weights."""
    figure, axes = plt.subplots(figsize=(7, 5))
    image = axes.imshow(np.log10(table), aspect="auto")
    figure.colorbar(image)
    axes.set_xticks(range(len(table.columns)), table.columns)
    axes.set_yticks(range(len(table.index)), table.index)
    figure.savefig(folder / "heat.png", dpi=150)
    plt.close(figure)

    figure, axes = plt.subplots(figsize=(7, 5))
    for rate, errors in table.iterrows():
        axes.loglog(errors.index, errors, marker="o", label=f"lr={rate}")
    axes.legend()
    figure.savefig(folder / "lines.png", dpi=150)
    plt.close(figure)

    figure, axes = plt.subplots(figsize=(9, 5))
    names = [name for name in runs.columns if name.startswith("metrics.weights/")]
    for _, run in runs.sort_values("params.iters").groupby("params.lr").tail(1).iterrows():
        axes.plot(names, run[names], marker="o", label=f"lr={run['params.lr']}")
    axes.tick_params(axis="x", rotation=90)
    axes.legend()
    figure.savefig(folder / "weights.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
