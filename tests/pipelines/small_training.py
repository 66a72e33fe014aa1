"""Trainings of a few seconds in processes of their own: to be started, killed anywhere, and started again.

python -m tests.pipelines.small_training JOB RANK WORKERS MEETING      one worker, as `launch` starts it
python -m tests.pipelines.small_training JOB ray WORKERS -             a driver with Ray's workers
python -m tests.pipelines.small_training JOB torchrun WORKERS MEETING  one worker, as torch.distributed.run starts it
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from pipelines import cluster, files, kept, params, versions, worker
from pipelines.job import Job
from pipelines.points import Tail, read
from pipelines.shards import Shard, Shards
from pipelines.storage import Storage
from rnn_core import arrow

VOCABULARY = 11
MODEL = {
    "cell": "lstm",
    "embedding_size": 8,
    "hidden_size": 12,
    "num_layers": 2,
    "input_dropout": 0.2,
    "dropout": 0.3,
    "tie": False,
}
TRAIN = {
    "seed": 3,
    "dtype": "float32",
    "lanes": 7,
    "window": 5,
    "k2": 12,
    "carry": True,
    "epochs": 3,
    "clip": 0.5,
    "optimizer": {"name": "adamw", "rate": 0.01},
    "schedule": {"name": "cosine", "warmup": 5},
    "validations_per_epoch": 2,
    "patience": None,
    "checkpoint_steps": 7,
    "point_steps": 1,
}
UPDATES_PER_EPOCH = 100
LOOPBACK = re.compile(r"(::ffff:)?127\..*|::1")


def write_data(folder: Path) -> Path:
    """An Arrow folder of a language model: a stream in which the next word mostly follows from the last two."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sizes = {"train": UPDATES_PER_EPOCH * TRAIN["window"] * TRAIN["lanes"] + 1, "validation": 400, "test": 400}
    for split, size in sizes.items():
        tokens = [0, 1]
        for noise in rng.random(size - 2):
            tokens.append(
                (3 * tokens[-1] + tokens[-2] + 1) % VOCABULARY if noise < 0.8 else int(noise * 1e6) % VOCABULARY
            )
        with arrow.Writer(folder, split, "language_model", {}) as writer:
            writer.write(arrow.to_batch([{"tokens": np.array(tokens, np.int32), "first": True}], "language_model"))
    words = [f"w{i}" for i in range(VOCABULARY)]
    files.write_json(folder / "sidecar.json", {"words": words, "level": "word", "unk": 0, "eos": 1})
    files.write_json(folder / "summary.json", {"digest": "d"})
    return folder


def write_job(
    path: Path, data: Path, shards: Shards | None = None, *, model: Mapping[str, Any] = MODEL, **train: object
) -> Path:
    """A job as a file beside its training's folder."""
    path.mkdir(parents=True)
    written = {"arrow": str(data), "model": model, "train": TRAIN | train}
    files.write_json(path / "job.json", written | {"shards": None if shards is None else asdict(shards)})
    return path


def job_of(path: Path) -> Job:
    written, resources = files.read_json(path / "job.json"), cluster.Resources.from_environment()
    shards = written["shards"]
    return Job(
        name="recurrent",
        folder=path / "training",
        arrow=Path(written["arrow"]),
        task="language_model",
        model=written["model"],
        train=params.from_mapping(params.Train, written["train"], "train"),
        metric="perplexity",
        key="key",
        threads=1,
        checkpoint_seconds=resources.checkpoint_seconds,
        compressed=resources.compressed,
        versions=versions.here("language_model"),
        storage=resources.storage,
        shards=shards and Shards(remote=shards["remote"], files=tuple(Shard(*one) for one in shards["files"])),
    )


class Running:
    """Workers (or one driver with Ray's) at work; a context that leaves no process behind."""

    def __init__(
        self,
        path: Path,
        workers: int | str,
        ray: bool = False,
        within: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        torchrun: bool = False,
    ):
        """
        Args:
            within: what the command is begun with, to run elsewhere.
            variables: of the environment there.
        """
        meeting = path / f"meeting-{uuid.uuid4().hex}"
        ranks = ["ray"] if ray else ["torchrun"] if torchrun else [str(rank) for rank in range(int(workers))]
        begun_with = [*within, *(_torchrun(int(workers), meeting) if torchrun else [])]
        environment = dict(variables or os.environ) | {
            "OMP_NUM_THREADS": "1",
            "RNN_WORKERS": str(workers),
            "RNN_THREADS": "1",
        }
        self.path, self._tail, self._seen = path, Tail(path / "training"), []
        self.processes = [
            subprocess.Popen(
                [*begun_with, sys.executable, "-m", __name__, str(path), rank, str(workers), str(meeting)],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            for rank in ranks
        ]

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.poll() is None:
                end(process.pid)
            process.communicate()

    def wait_for(self, step: int) -> None:
        """Until the training has recorded this update."""
        self.wait_until(lambda: self.points() and self._seen[-1]["step"] >= step)

    def points(self) -> list[dict]:
        """All that it has recorded so far."""
        self._seen += self._tail.new()
        return self._seen

    def wait_until(self, condition: Callable[[], Any]) -> None:
        """As long as it takes: pytest's own limit ends what never comes."""
        while not condition():
            for process in self.processes:
                assert process.poll() in (None, 0), process.stderr.read()
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, on the processes that were started and on no other."""
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def finish(self, seconds: float = 240) -> None:
        for process in self.processes:
            _, told = process.communicate(timeout=seconds)
            assert process.returncode == 0, told


def train(path: Path, workers: int) -> list[dict]:
    """Run to the end, from where it stands, one worker in this process; the points."""
    if workers == 1:
        threads = torch.get_num_threads()
        worker.train_all([job_of(path)], "cpu")
        torch.set_num_threads(threads)
    else:
        with Running(path, workers) as running:
            running.finish()
    return read(path / "training")


def train_until(path: Path, workers: int, step: int) -> None:
    """Run, and kill all of it when this update is recorded."""
    with Running(path, workers) as running:
        running.wait_for(step)
        running.kill()


def numbers(points: list[dict]) -> list[tuple]:
    """What a training computed, without the times."""
    timed = ("_per_second", "_share", "slowest_worker", "slowest_lag")
    return [(p["step"], {k: v for k, v in p["values"].items() if not k.endswith(timed)}) for p in points]


def losses(points: list[dict]) -> np.ndarray:
    return np.array([p["values"]["train/loss"] for p in points if "train/loss" in p["values"]])


def random_step(below: int) -> int:
    """Chosen anew each time, and printed, so that a failure can be had again."""
    step = random.SystemRandom().randrange(2, below)
    print(f"killed after update {step}")
    return step


def main() -> None:
    path, rank, workers, meeting = sys.argv[1:]
    job = job_of(Path(path))
    if rank == "ray":
        resources = cluster.Resources.from_environment()
        followers = [kept.Follower(Storage(job.storage), job.kept_as, job.folder)] if job.storage else []
        job.folder.mkdir(exist_ok=True)
        with kept.Following(followers), cluster.joined(resources):
            cluster.run(worker.train_all, [job], name="small", storage=Path(path) / "ray", resources=resources)
        return
    join(int(os.environ["RANK"] if rank == "torchrun" else rank), int(workers), meeting)
    worker.train_all([job], "cpu")


def join(rank: int, workers: int, meeting: str) -> None:
    """This process becomes one worker of a group that meets in a file."""
    if workers > 1:
        import torch.distributed as dist

        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=workers)


def _torchrun(workers: int, meeting: Path) -> list[str]:
    """What a command is begun with, to be started by torch's own launcher; it meets in a file, and nothing listens."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=1", f"--nproc-per-node={workers}"]
    command += ["--rdzv-backend=c10d", f"--rdzv-endpoint={meeting}-launcher", "--rdzv-conf=store_type=file"]
    return [*command, "--local-addr=127.0.0.1", "--no-python"]


def below(driver: int) -> list[psutil.Process]:
    """A driver's whole family: Ray's processes, its workers among them."""
    parent = psutil.Process(driver)
    return [parent, *parent.children(recursive=True)]


def end(driver: int) -> None:
    """SIGKILL on a driver's whole family, whichever sessions its processes are in."""
    with suppress(psutil.NoSuchProcess):
        for process in below(driver):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def workers_of(driver: int) -> list[int]:
    """Process ids of the training workers below a driver."""
    return [process.pid for process in below(driver) if "RayTrainWorker" in "".join(process.cmdline())]


def listening_beyond_loopback(driver: int) -> list[str]:
    """Each socket that a driver's family listens on and another machine could reach: whose it is, and its address."""
    return [
        f"{process.name()} {connection.laddr.ip}"
        for process in below(driver)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and not LOOPBACK.fullmatch(connection.laddr.ip)
    ]


def check_each_step_once(points: list[dict]) -> None:
    for kind in ("train/loss", "validation/loss"):
        steps = [p["step"] for p in points if kind in p["values"]]
        assert steps == sorted(set(steps)), f"{kind}: a step twice or out of order"
    assert [p["step"] for p in points if "train/loss" in p["values"]] == list(range(1, points[-1]["step"] + 1))


if __name__ == "__main__":
    main()
