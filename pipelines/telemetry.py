"""Usage statistics of Ray, MLflow and DVC are off, for whatever imports `pipelines` and for its children.

`.dvc/config` says the same to a `dvc` that is run by hand. Sets variables, reads none.
"""

import os

OFF = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "true",
    "DO_NOT_TRACK": "true",
}


def off() -> None:
    """Switch them off. Called when `pipelines` is imported: the libraries read this at their own import."""
    os.environ.update(OFF)
