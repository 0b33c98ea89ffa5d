"""Names that training code and the store share: environment variables, and reserved metrics."""

RUN_ID = "MLFLOW_RUN_ID"
OWN_RUN = "SWEEP_RUN_ID"
"""Variables with the id of the grid point's run; MLflow removes the first when it starts a run."""

CURVES = ("error", "validation_error")
SINGLE = (
    "initial_error",
    "best_error",
    "best_step",
    "best_validation_error",
    "final_validation_error",
    "diverged_at",
    "stalled_at",
    "stopped_at",
)
OWN = (*SINGLE, "final_error", "final_error_log10", "train_seconds")

OURS = (*CURVES, *OWN)
"""Reserved metric names; a user's metric of such a name is stored as ``trainer/NAME``."""


def trainer_metric(name: str) -> str:
    """Return the name under which a user's metric is stored."""
    return f"trainer/{name}" if name in OURS or name.startswith("weights/") else name
