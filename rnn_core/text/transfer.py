"""Weights of a language model as another network's beginning: the vectors of the words that both know, and the layers.

Dai and Le 2015 (Semi-supervised sequence learning). The model is one of this project's, as a training leaves it: a
folder with `model.safetensors` and `sidecar.json`, whose `words` are its ids.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rnn_core.errors import ConfigError, DataError

EMBEDDING = "model.embedding.weight"


@dataclass(frozen=True, kw_only=True)
class Start:
    """A trained language model, as a block's `model` names it."""

    path: str
    """Its folder, from the repository's root: `data/runs/<suite>/<block>/train/recurrent/model`."""
    sha256: str
    """Of its `model.safetensors`: a training follows from its contents."""


@torch.no_grad()
def fill(embedding_VE: Tensor, words: Sequence[str], stack: nn.Module, start: Start, root: Path) -> int:
    """Set the rows of common words, and the layers that read forwards, as far as the language model has layers; how
    many words are common.

    Args:
        embedding_VE: in place; words from V on are not known to the network.
        words: of the ids.
        stack: `rnn_core.layers.Stack`; its backward layers stay as they were drawn.
        root: what the path is relative to.

    Raises:
        DataError: a file is missing or damaged, or has another checksum.
        ConfigError: a layer or a word's vector has another shape.
    """
    tensors, theirs = _read(root / start.path, start.sha256)
    rows = {word: row for row, word in enumerate(theirs)}
    common = [(row, rows[word]) for row, word in enumerate(words[: len(embedding_VE)]) if word in rows]
    _same(tensors[EMBEDDING][0], embedding_VE[0], "model.embedding_size")
    if common:
        own, other = torch.tensor(common).t()
        embedding_VE[own] = tensors[EMBEDDING][other].to(embedding_VE)
    for name, weight in stack.named_parameters():
        if name.startswith("forwards.") and (found := tensors.get(f"model.stack.{name}")) is not None:
            _same(found, weight, f"model ({name})")
            weight.copy_(found)
    return len(common)


def _read(folder: Path, wanted: str) -> tuple[dict[str, Tensor], list[str]]:
    weights = folder / "model.safetensors"
    try:
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != wanted:
            raise DataError(str(weights), f"sha256 {digest}", f"{wanted} (model.start.sha256)")
        tensors, words = load_file(weights), json.loads((folder / "sidecar.json").read_text(encoding="utf-8"))["words"]
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        allowed = "the `model` folder of a trained language model (model.start.path)"
        raise DataError(str(folder), f"cannot be read: {error}", allowed) from error
    if EMBEDDING not in tensors:
        raise DataError(str(weights), f"no {EMBEDDING}", "the weights of a language model")
    return tensors, words


def _same(found: Tensor, own: Tensor, where: str) -> None:
    if found.shape != own.shape:
        raise ConfigError(where, f"found {tuple(own.shape)}", f"{tuple(found.shape)}, as in the model of model.start")
