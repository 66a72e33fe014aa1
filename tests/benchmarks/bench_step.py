"""step/, input/: a whole training step of ours beside the plain loop's, and what making its window costs.

Both sides begin with the same weights. Language model: both read the same stream, and their first losses must agree
before a clock runs. Tagger: batches cannot be the same, so the loss of one window's sentences must.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnn_core.lanes import Windows
from rnn_core.networks import Network
from tests.benchmarks import corpora, plain, training
from tests.benchmarks.cases import NO_BFLOAT16, assert_agree, device_name, on_devices, once, path
from tests.benchmarks.paired import Work, elsewhere
from tests.benchmarks.training import BATCH, CLIP, HIDDEN, LANES, RATE, WINDOW

EQUAL_LOSSES = 50
"""Updates whose losses must agree; how closely, by type, as a share of the loss."""
AGREEMENT = {"float32": 1e-5, "bfloat16": 0.01}
WINDOWS = 250
SENTENCES = 2000
UPDATES = 4
"""Of the tagger in one round, for batches differ in their numbers of words."""
SIZES = {"T": WINDOW, "B": LANES, "H": HIDDEN, "V": corpora.VOCABULARY}
TAGGER_SIZES = {"T": training.TAGGER_WINDOW, "B": training.TAGGER_LANES, "H": training.TAGGER_HIDDEN}

LANGUAGE_MODELS = on_devices("step/language_model/float32", "float32")
PLAIN = "nn.Embedding, nn.LSTM, nn.Linear, CrossEntropyLoss, clip, SGD in float32"
LANGUAGE_MODELS += [pytest.param("bfloat16", "cpu", id="step/language_model/bfloat16", marks=NO_BFLOAT16)]
TAGGERS = [
    pytest.param(order == "bucketed", id=f"step/pos_tagging/float32{suffix}")
    for order, suffix in (("random", ""), ("bucketed", "/bucketed"))
]


@pytest.mark.parametrize(("dtype", "device"), LANGUAGE_MODELS)
def test_language_model(compare: Any, record: Any, tmp_path: Path, dtype: str, device: str) -> None:
    tokens = corpora.tokens(LANES * WINDOW * WINDOWS + 1)
    network = training.language_model_network(corpora.VOCABULARY)
    model = plain.LanguageModel(network).to(device)
    windows = training.language_model_windows(tmp_path, tokens)
    bfloat16 = dtype == "bfloat16"
    steps = training.fit(network.to(device), on(device, windows), LANES, "sgd", rate=RATE, clip=CLIP, bfloat16=bfloat16)
    columns = training.columns(tokens).to(device)
    theirs = plain.train_language_model(model, columns, window=WINDOW, rate=RATE, clip=CLIP)
    losses = [(next(steps).loss, next(theirs)) for _ in range(EQUAL_LOSSES)]
    for ours, other in losses:
        assert abs(ours - other) <= AGREEMENT[dtype] * other, losses
    pairs = compare(once(lambda: next(steps), device), once(lambda: next(theirs), device))
    record(
        pairs.times(),
        shape=SIZES,
        dtype=dtype,
        device=device_name(device),
        path=kernel(network, LANES, WINDOW, dtype),
        alternative=PLAIN,
    )


@pytest.mark.parametrize(
    "dtype",
    [
        pytest.param("float32", id="step/language_model/float32/script"),
        pytest.param("bfloat16", id="step/language_model/bfloat16/script", marks=NO_BFLOAT16),
    ],
)
def test_language_model_beside_a_script(compare: Any, record: Any, tmp_path: Path, dtype: str) -> None:
    """The plain loop as one runs it: in a process of its own, whose memory goes back to the system at each step."""
    tokens = corpora.tokens(LANES * WINDOW * WINDOWS + 1)
    network = training.language_model_network(corpora.VOCABULARY)
    windows = training.language_model_windows(tmp_path, tokens)
    bfloat16 = dtype == "bfloat16"
    steps = training.fit(network, windows, LANES, "sgd", rate=RATE, clip=CLIP, bfloat16=bfloat16)
    with elsewhere(plain_step, torch.get_num_threads()) as theirs:
        pairs = compare(lambda: next(steps).count, theirs)
    record(
        pairs.times(),
        shape=SIZES,
        dtype=dtype,
        path=kernel(network, LANES, WINDOW, dtype),
        alternative=f"{PLAIN}, in a process of its own",
    )


def plain_step(threads: int) -> Work:
    """An update of the plain loop."""
    torch.set_num_threads(threads)
    model = plain.LanguageModel(training.language_model_network(corpora.VOCABULARY))
    columns = training.columns(corpora.tokens(LANES * WINDOW * WINDOWS + 1))
    steps = plain.train_language_model(model, columns, window=WINDOW, rate=RATE, clip=CLIP)
    return lambda: next(steps)


@pytest.mark.parametrize("bucketed", TAGGERS)
def test_tagger(compare: Any, record: Any, tmp_path: Path, bucketed: bool) -> None:
    rows, network, windows = tagger(tmp_path)
    model = plain.Tagger(network)
    assert_same_loss(network, model, windows, rows)
    order = np.random.default_rng(1).permutation(len(rows))
    if bucketed:
        lengths = [len(rows[row]["words"]) for row in order]
        order = order[np.argsort(lengths, kind="stable")]
    batches = plain.batches([rows[row] for row in order], BATCH)
    batches = [batches[i] for i in np.random.default_rng(2).permutation(len(batches))]
    steps = training.fit(network, windows, windows.width, "adamw", rate=training.TAGGER_RATE, clip=training.TAGGER_CLIP)
    theirs = plain.train_tagger(model, batches, rate=training.TAGGER_RATE, clip=training.TAGGER_CLIP)
    pairs = compare(
        lambda: sum(next(steps).count for _ in range(UPDATES)),
        lambda: sum(next(theirs)[1] for _ in range(UPDATES)),
    )
    kind = "batches of like length" if bucketed else "random batches"
    record(
        pairs.rates("words/s"),
        shape=TAGGER_SIZES,
        path=kernel(network, windows.width, training.TAGGER_WINDOW, "float32"),
        alternative=f"nn.LSTM on PackedSequence, {kind} of {BATCH}, clip, AdamW",
    )


@pytest.mark.parametrize("task", [pytest.param(task, id=f"input/{task}") for task in ("language_model", "pos_tagging")])
def test_input(compare: Any, record: Any, tmp_path: Path, task: str) -> None:
    if task == "language_model":
        windows = training.language_model_windows(tmp_path, corpora.tokens(LANES * WINDOW * WINDOWS + 1))
        network, optimizer, rate, clip = training.language_model_network(corpora.VOCABULARY), "sgd", RATE, CLIP
    else:
        _, network, windows = tagger(tmp_path)
        optimizer, rate, clip = "adamw", training.TAGGER_RATE, training.TAGGER_CLIP
    steps = training.fit(network, windows, windows.width, optimizer, rate=rate, clip=clip)
    updates = itertools.count()
    pairs = compare(lambda: float(windows(next(updates)).valid_TB.sum()), lambda: next(steps).count)
    shape = SIZES if task == "language_model" else TAGGER_SIZES
    record(pairs.shares(), shape=shape, path="assemble", alternative="the whole step")


def tagger(folder: Path) -> tuple[list[dict[str, Any]], Network, Windows]:
    """Rows of the sentences, a network with fresh weights, and the windows."""
    rows, sidecar = training.encode(corpora.sentences(SENTENCES, training.TAGGER_WINDOW))
    return rows, training.tagger_network(sidecar), training.tagger_windows(folder, rows)


def on(device: str, windows: Windows) -> Callable[[int], Any]:
    return windows if device == "cpu" else lambda update: windows(update).to(device)


def kernel(network: Network, lanes: int, steps: int, dtype: str) -> str:
    """Name of the kernel that the first layer runs: the tagger's window has starts inside, the stream's has none."""
    cell = network.model.stack.forwards[0].cell
    x_TBD = torch.empty(steps, lanes, cell.input_size, device=cell.w_x.device, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
        inside = torch.from_numpy(corpora.starts(steps, lanes)).to(x_TBD.device)
        return path(cell, x_TBD, inside if len(network.model.stack.backwards) else torch.zeros_like(inside))


def assert_same_loss(network: Network, model: plain.Tagger, windows: Windows, rows: list[dict[str, Any]]) -> None:
    """Of the sentences of the first window, and the gradient of the recurrent weights."""
    window = windows(0)
    positions_TB, starts_TB = windows.filling.place(0, 0, windows.lanes)
    first_words = np.cumsum([0, *(len(row["words"]) for row in rows)])
    places = positions_TB[starts_TB & (positions_TB >= 0)]
    batch = plain.batches([rows[i] for i in np.searchsorted(first_words, places)], len(places))[0]
    loss, count = network.loss(window, network(window, ())[0])
    theirs = torch.nn.functional.cross_entropy(model(batch), batch.tags_N, reduction="sum")
    assert count == len(batch.tags_N)
    ours_dw = torch.autograd.grad(loss, [network.model.stack.forwards[0].cell.w_h, network.model.embedding.weight])
    theirs_dw = torch.autograd.grad(theirs, [model.lstm.weight_hh_l0, model.words.weight])
    assert_agree([loss.detach(), *ours_dw], [theirs.detach(), *theirs_dw], 1e-3)
