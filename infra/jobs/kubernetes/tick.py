"""A tick on Kubernetes: makes a RayJob, follows it to its end, ends with its status. Run by the CronJob of base/.

    python -m infra.jobs.kubernetes.tick --template FILE --job NAME --uid UID --cluster URL

The CronJob's own Job is the tick: its RayJob is named after it and belongs to it, so it goes when the history limits
let the Job go. A pod that is started again follows the RayJob that is there, and makes a further one where that failed.
"""

import argparse
import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines import cli
from pipelines.cluster import jobs
from rnn_core.errors import ConfigError, DataError

LOOK_SECONDS = 5.0
KIND = "apis/ray.io/v1/namespaces/{}/rayjobs"
ENDED = ("Complete", "Failed", "ValidationFailed")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a RayJob and follow it.")
    parser.add_argument("--template", type=Path, required=True, help="the RayJob")
    parser.add_argument("--job", required=True, help="name of the Job that this pod belongs to")
    parser.add_argument("--uid", required=True, help="and its uid")
    parser.add_argument("--cluster", required=True, help="job server of the Ray cluster, http://host:8265")
    parser.add_argument("--api", default="https://kubernetes.default.svc", help="of Kubernetes")
    parser.add_argument(
        "--account", type=Path, default=Path("/var/run/secrets/kubernetes.io/serviceaccount"), help="of this pod"
    )
    arguments = parser.parse_args()
    cli.run(lambda: sys.exit(run(arguments)))


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit status of retraining.

    Raises:
        UserError: Kubernetes refuses the RayJob, or the cluster does not answer.
    """
    kubernetes = Kubernetes.of(arguments.api, arguments.account)
    name = made(kubernetes, arguments)
    said = ""
    while True:
        status = (kubernetes.get(name) or {}).get("status", {})
        state = status.get("jobDeploymentStatus", "")
        if state != said:
            print(f"{name}: {state} {status.get('message', '')}".rstrip(), flush=True)
            said = state
        if status.get("jobStatus") == "RUNNING":
            return jobs.follow(arguments.cluster, status["jobId"])
        if state in ENDED:
            return 0 if status.get("jobStatus") == "SUCCEEDED" else 1
        time.sleep(LOOK_SECONDS)


def made(kubernetes: "Kubernetes", arguments: argparse.Namespace) -> str:
    """The name of this tick's RayJob: the newest one there, unless it failed; else a new one."""
    attempt = 1
    while (there := kubernetes.get(f"{arguments.job}-{attempt}")) is not None:
        if there.get("status", {}).get("jobDeploymentStatus") not in ENDED[1:]:
            return f"{arguments.job}-{attempt}"
        attempt += 1
    name = f"{arguments.job}-{attempt}"
    job = yaml.safe_load(arguments.template.read_text(encoding="utf-8"))
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": arguments.job, "uid": arguments.uid}
    job["metadata"] |= {"name": name, "ownerReferences": [owner]}
    job["spec"]["jobId"] = name
    kubernetes.create(job)
    return name


@dataclass(frozen=True, kw_only=True)
class Kubernetes:
    """The RayJobs of this pod's namespace, as its account may see them."""

    address: str
    token: str
    trust: ssl.SSLContext | None

    @classmethod
    def of(cls, api: str, account: Path) -> "Kubernetes":
        """
        Raises:
            ConfigError: the account is not there.
        """
        if not (account / "token").is_file():
            raise ConfigError("--account", f"no token in {account}", "the folder of a service account")
        namespace = (account / "namespace").read_text(encoding="utf-8").strip()
        trust = ssl.create_default_context(cafile=str(account / "ca.crt")) if api.startswith("https:") else None
        token = (account / "token").read_text(encoding="utf-8").strip()
        return cls(address=f"{api}/{KIND.format(namespace)}", token=token, trust=trust)

    def get(self, name: str) -> Any:
        """None where there is no such RayJob."""
        return self._asked(f"{self.address}/{name}")

    def create(self, job: dict[str, Any]) -> None:
        self._asked(self.address, json.dumps(job).encode())

    def _asked(self, url: str, content: bytes | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, content, headers)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.trust) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code == 404 and content is None:
                return None
            said = json.loads(error.read() or b"{}").get("message", error.reason)
            raise ConfigError(url, f"{error.code}: {said}", "a RayJob that this account may make") from error
        except OSError as error:
            raise DataError(url, f"no answer: {error}", "Kubernetes' own address; the pod is tried again") from error


if __name__ == "__main__":
    main()
