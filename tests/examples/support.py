"""Train what a folder's configuration says, composed by Hydra, without a store."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sweep.config.run import run_spec
from sweep.config.spec import RunSpec
from sweep.training.history import RunResult
from sweep.training.trainers import build_batch
from tests.processes import ROOT
from tests.training.alone import train

EXAMPLES = ROOT / "examples"


def spec_of(folder: Path, *overrides: str, base: Path | None = None) -> RunSpec:
    """Return the run that `python -m sweep --config-dir FOLDER OVERRIDES` describes."""
    from sweep.cli.hydra_config import register

    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        path = f"hydra.searchpath=['file://{folder}']"
        config = compose("config", [path, *overrides], return_hydra_config=True)
    choices = dict(config.hydra.runtime.choices)
    plain = OmegaConf.to_container(OmegaConf.masked_copy(config, _keys(config)), resolve=True)
    assert isinstance(plain, dict)
    return run_spec({str(key): value for key, value in plain.items()}, choices, base or Path.cwd())


def trained(spec: RunSpec) -> RunResult:
    """Return the result of a run."""
    (result,) = train(build_batch([spec]), [spec.iters])
    return result


def _keys(config: object) -> list[str]:
    return [str(key) for key in config if key != "hydra"]  # type: ignore[attr-defined]
