"""Our side of a whole training step: the two tasks' networks, their data in Arrow files, and the loop."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines import files
from pipelines.tasks import pos_tagging
from pipelines.tasks.pos_tagging import Sentence
from rnn_core import arrow, bptt, networks, optim
from rnn_core.lanes import Window, Windows
from rnn_core.models import KINDS, language_model, tagging
from rnn_core.networks import Network
from tests.benchmarks import corpora

# Zaremba et al. 2014, medium, without dropout, so that losses can be equal; at his rate of 1, 50 updates make 2e-4 of
# rounding errors of 1e-7, with a clip that holds always more; at this one 2e-6.
LANES, WINDOW, HIDDEN, RATE, CLIP = 20, 35, 650, 0.2, 5.0
# Lanes and window of the tagger hold as many words as 32 sentences of UD English EWT, of which one in 250 is longer.
TAGGER_LANES, TAGGER_WINDOW, BATCH, TAGGER_HIDDEN, TAGGER_RATE, TAGGER_CLIP = 8, 64, 32, 256, 1e-3, 5.0


def language_model_network(vocabulary: int, hidden_size: int = HIDDEN) -> Network:
    config = language_model.Config(
        cell="lstm",
        embedding_size=hidden_size,
        hidden_size=hidden_size,
        num_layers=2,
        input_dropout=0.0,
        dropout=0.0,
        tie=False,
    )
    return networks.network("language_model", config, language_model.Sizes(vocabulary=vocabulary))


def language_model_windows(
    folder: Path, tokens: NDArray[np.int32], lanes: int = LANES, window: int = WINDOW
) -> Windows:
    row = {"tokens": tokens, "first": True}
    return _windows(folder, "language_model", [row], lanes=lanes, window=window, carries=True)


def language_model_folder(folder: Path, *, updates: int, lanes: int, window: int, vocabulary: int) -> Path:
    """An Arrow folder of a language model whose epoch has so many updates."""
    folder.mkdir(parents=True)
    sizes = {"train": updates * lanes * window + 1, "validation": 20 * lanes * window + 1}
    for split, size in sizes.items():
        with arrow.Writer(folder, split, "language_model", {}) as writer:
            row = {"tokens": corpora.tokens(size) % vocabulary, "first": True}
            writer.write(arrow.to_batch([row], "language_model"))
    words = [f"w{number}" for number in range(vocabulary)]
    files.write_json(folder / "sidecar.json", {"words": words, "level": "word", "unk": 0, "eos": 1})
    files.write_json(folder / "summary.json", {"digest": "d"})
    return folder


def columns(tokens: NDArray[np.int32], lanes: int = LANES) -> torch.Tensor:
    """The stream as the lanes read it, for a plain loop: tokens_LB. All steps fill the lanes: L - 1 of each."""
    steps, rest = divmod(len(tokens) - 1, lanes)
    assert rest == 0, (len(tokens), lanes)
    parts = [tokens[lane * steps : (lane + 1) * steps + 1] for lane in range(lanes)]
    return torch.from_numpy(np.stack(parts, 1).astype(np.int64))


def encode(sentences: Sequence[Sentence]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of the split, and its sidecar."""
    counts = pos_tagging.count(sentences)
    sidecar = pos_tagging.sidecar(counts, pos_tagging.Data(max_length=TAGGER_WINDOW, too_long="split"))
    return list(map(pos_tagging.encoder(sidecar), sentences)), sidecar


def tagger_network(sidecar: dict[str, Any], hidden_size: int = TAGGER_HIDDEN) -> Network:
    config = tagging.Config(
        cell="lstm",
        embedding_size=100,
        hidden_size=hidden_size,
        num_layers=1,
        bidirectional=True,
        input_dropout=0.0,
        dropout=0.0,
        word_dropout=0.0,
        min_count=1,
        characters=tagging.CharacterConfig(cell="lstm", embedding_size=50, hidden_size=50),
    )
    return networks.network("tagging", config, pos_tagging.sizes(config, sidecar))


def tagger_windows(folder: Path, rows: Sequence[dict[str, Any]]) -> Windows:
    return _windows(folder, "tagging", rows, lanes=TAGGER_LANES, window=TAGGER_WINDOW, carries=False)


def fit(
    network: Network,
    windows: Callable[[int], Window],
    lanes: int,
    optimizer: str,
    *,
    rate: float,
    clip: float,
    bfloat16: bool = False,
) -> Iterator[bptt.Step]:
    """What each update did, for ever."""
    config = optim.OptimizerConfig(name=optimizer, rate=rate)
    state = bptt.TrainState(
        network=network.train(),
        optimizer=optim.optimizer(config, network.parameters()),
        carry=network.initial_carry(lanes),
    )
    return bptt.fit(state, windows, rate=lambda update: rate, clip=clip, bfloat16=bfloat16)


def _windows(
    folder: Path, kind: str, rows: Sequence[dict[str, Any]], *, lanes: int, window: int, carries: bool
) -> Windows:
    """The rows as a split on disk, memory-mapped as for a training."""
    with arrow.Writer(folder, "train", kind, {}) as writer:
        writer.write(arrow.to_batch(rows, kind))
    read = arrow.read_split(folder, "train", kind)
    module = KINDS[kind]
    filling = module.filling(read, lanes=lanes, window=window, seed=1, carries=carries)
    return Windows(filling=filling, assemble=module.assemble(read), lanes=slice(0, lanes), seed=1)
