"""A tick of retraining as a job of a Ray cluster that stands; its log here, its exit status as ours.

    python -m infra.jobs.ray.submit [--address http://127.0.0.1:8265] [--tick NAME] [--cpus N] -- OPTIONS OF RETRAIN

The same tick asked for twice is one job: the second call follows it. Once it has failed, the next call is a further
attempt. What the job needs to know goes with it: this checkout's code without data and caches, and the settings of
this shell that are no secrets. Secrets are a matter of the cluster's nodes: Ray shows a job's settings to whoever may
look at its pages.
"""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pipelines import cli, paths
from pipelines.cluster import jobs
from rnn_core.errors import ConfigError

LEFT_OUT = ("/.git/", "/.venv/", "/.dvc/cache/", "/.dvc/tmp/", "/data/", "/tests/", "/mlruns/", "/mlartifacts/")
LEFT_OUT_ANYWHERE = ("__pycache__/", ".*_cache/", "mlflow.db*", "*.env")
SETTINGS = (
    *("RNN_WORKERS", "RNN_THREADS", "RNN_GPUS", "RNN_RETRIES", "RNN_CHECKPOINT_SECONDS", "RNN_WAIT_SECONDS"),
    *("RNN_TIMEOUT_SECONDS", "RNN_RESIZE_SECONDS", "RNN_COMPRESS", "RNN_STORAGE", "RNN_NODE_FOLDER"),
    *("RNN_NODE_GIGABYTES", "RNN_DATA_MIRROR"),
    *("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"),
)
"""That travel with a job; all of them may be read by others."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a tick of retraining as a Ray job.")
    parser.add_argument("--address", default="http://127.0.0.1:8265", help="of the cluster's job server")
    parser.add_argument("--tick", default=f"{datetime.now(UTC):%Y-%m-%d}", help="its name; today's date unless given")
    parser.add_argument("--cpus", type=float, default=0.0, help="of a node for the driver; 0: it runs on the head")
    parser.add_argument("options", nargs="+", help="of pipelines.retrain, after --")
    arguments = parser.parse_args()
    cli.run(lambda: sys.exit(run(arguments)))


def run(arguments: argparse.Namespace) -> int:
    """Hand the tick in, follow it. Returns the exit status of retraining.

    Raises:
        ConfigError: a name or setting that cannot be used, or no job server at the address.
    """
    name = job_name(arguments.tick)
    job, new = jobs.submit(
        address=arguments.address,
        name=name,
        entrypoint=shlex.join(["python", "-m", "pipelines.retrain", *arguments.options]),
        runtime=runtime_environment(os.environ),
        cores=arguments.cpus,
    )
    print(f"{job}: {'handed in' if new else 'is there already, followed'}", flush=True)
    return jobs.follow(arguments.address, job)


def job_name(tick: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", tick):
        raise ConfigError("--tick", f"found {tick!r}", "letters, digits, - and _")
    return f"retrain-{tick}"


def runtime_environment(environment: Mapping[str, str]) -> dict[str, object]:
    """Code and settings of a job.

    Raises:
        ConfigError: an address with a password in it, which everybody could read there.
    """
    settings = {name: environment[name] for name in SETTINGS if name in environment}
    for name, value in settings.items():
        if urlsplit(value).password:
            raise ConfigError(name, "found a password in the address", "the password in the environment of the nodes")
    excludes = [*LEFT_OUT, *LEFT_OUT_ANYWHERE]
    return {"working_dir": str(paths.root()), "excludes": excludes, "env_vars": settings}


if __name__ == "__main__":
    main()
