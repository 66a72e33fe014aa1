"""Most memory that a training step takes, in a process of its own, whose memory nothing else has been in before.

    python -m tests.benchmarks.memory language_model ours 1 2

prints MiB: the peak of the resident memory over the first steps of a training (activations, gradients, buffers, the
optimizer's state), less what was resident before them (libraries, weights, data). With `ALLOCATOR` in the environment
large tensors go back to the system when they are freed, so that it is what is in use, not what is kept for later.
"""

import argparse
import ctypes
import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks import corpora, plain, training
from tests.benchmarks.training import BATCH, CLIP, LANES, RATE, WINDOW

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Of glibc."""
STEPS = 3
WINDOWS = 100
"""Of a stream of length 1."""
SENTENCES = 1000
TASKS = ("language_model", "pos_tagging")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("side", choices=("ours", "theirs"))
    parser.add_argument("length", type=int, help="times the data's least length")
    parser.add_argument("threads", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        make = language_model if arguments.task == "language_model" else tagger
        steps = make(Path(folder), arguments.side == "ours", arguments.length)
        print(peak(steps))


def peak(steps: Iterator[Any]) -> float:
    """MiB above what is resident now."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    # Forgets the peak so far (Linux's proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    for _ in range(STEPS):
        next(steps)
    return _resident("VmHWM") - before


def language_model(folder: Path, ours: bool, length: int) -> Iterator[Any]:
    tokens = corpora.tokens(LANES * WINDOW * WINDOWS * length + 1)
    network = training.language_model_network(corpora.VOCABULARY)
    if ours:
        windows = training.language_model_windows(folder, tokens)
        return training.fit(network, windows, LANES, "sgd", rate=RATE, clip=CLIP)
    model, columns = plain.LanguageModel(network), training.columns(tokens)
    return plain.train_language_model(model, columns, window=WINDOW, rate=RATE, clip=CLIP)


def tagger(folder: Path, ours: bool, length: int) -> Iterator[Any]:
    rows, sidecar = training.encode(corpora.sentences(SENTENCES, training.TAGGER_WINDOW))
    # The same ones again: with new words the embeddings would grow too.
    rows = rows * length
    network = training.tagger_network(sidecar)
    rate, clip = training.TAGGER_RATE, training.TAGGER_CLIP
    if ours:
        windows = training.tagger_windows(folder, rows)
        return training.fit(network, windows, windows.width, "adamw", rate=rate, clip=clip)
    return plain.train_tagger(plain.Tagger(network), plain.batches(rows, BATCH), rate=rate, clip=clip)


def _resident(name: str) -> float:
    """MiB, as the system counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
