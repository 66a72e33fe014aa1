"""The alternatives: torch.nn's layers, and the training loops that everybody writes around them.

Each has the weights of the network of ours that it is measured against. torch.nn's layers have two biases where one
does; trained, they would learn twice as fast, so in the loops the second one is left out of training.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_sequence

from rnn_core.cells import Cell
from rnn_core.layers import Stack
from rnn_core.networks import Network

LAYERS: dict[str, type[nn.RNNBase]] = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def layer(cell_name: str, *cells: Cell) -> nn.RNNBase:
    """torch.nn's layer with the weights of a cell of ours; of two cells where bidirectional."""
    sizes = cells[0].input_size, cells[0].hidden_size
    theirs = LAYERS[cell_name](*sizes, bidirectional=len(cells) == 2).to(cells[0].w_x.device)
    for cell, suffix in zip(cells, ("l0", "l0_reverse"), strict=False):
        _copy(cell, theirs, suffix)
    return theirs


def lstm(stack: Stack) -> nn.LSTM:
    """A stack of LSTM layers, for a training loop."""
    first: Any = stack.forwards[0].cell
    both = len(stack.backwards) > 0
    theirs = nn.LSTM(first.input_size, first.hidden_size, len(stack.forwards), bidirectional=both)
    for layers, suffix in ((stack.forwards, ""), (stack.backwards, "_reverse")):
        for number, ours in enumerate(layers):
            _copy(ours.cell, theirs, f"l{number}{suffix}")
            getattr(theirs, f"bias_hh_l{number}{suffix}").requires_grad_(False)
    return theirs


@torch.no_grad()
def _copy(cell: Any, theirs: nn.RNNBase, suffix: str) -> None:
    getattr(theirs, f"weight_ih_{suffix}").copy_(cell.w_x)
    getattr(theirs, f"weight_hh_{suffix}").copy_(cell.w_h)
    getattr(theirs, f"bias_ih_{suffix}").copy_(cell.b)
    second = getattr(theirs, f"bias_hh_{suffix}").zero_()
    if isinstance(theirs, nn.GRU):
        second[2 * cell.hidden_size :] = cell.b_hn


class LanguageModel(nn.Module):
    """Embedding, LSTM, linear: as in pytorch's own example."""

    def __init__(self, network: Network):
        super().__init__()
        self.encoder = nn.Embedding.from_pretrained(network.model.embedding.weight.detach().clone(), freeze=False)
        self.lstm = lstm(network.model.stack)
        self.decoder = _linear(network)

    def forward(self, tokens_TB: Tensor, state: Any) -> tuple[Tensor, Any]:
        h_TBH, state = self.lstm(self.encoder(tokens_TB), state)
        return self.decoder(h_TBH), state


def train_language_model(
    model: LanguageModel, tokens_LB: Tensor, *, window: int, rate: float, clip: float
) -> Iterator[float]:
    """The loss of each update, for ever.

    Args:
        tokens_LB: the stream in B columns; each step predicts the next row.
    """
    model.train()
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=rate)
    criterion = nn.CrossEntropyLoss()
    while True:
        state = None
        for begin in range(0, len(tokens_LB) - window, window):
            inputs, targets = tokens_LB[begin : begin + window], tokens_LB[begin + 1 : begin + window + 1]
            logits, state = model(inputs, state)
            loss = criterion(logits.flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            state = tuple(part.detach() for part in state)
            yield loss.item()


@dataclass(frozen=True)
class Batch:
    """Sentences, padded: made before the clock runs, as by a data loader that costs nothing."""

    words_N: Tensor
    """Of all sentences, one after another."""
    lengths: list[int]
    characters_NC: Tensor
    character_lengths_N: Tensor
    tags_N: Tensor
    """As `pack_sequence` lays them out."""


def batches(rows: Sequence[dict[str, Any]], size: int) -> list[Batch]:
    """Rows as the task's encoder gives them, in this order, `size` a batch."""
    return [_batch(rows[begin : begin + size]) for begin in range(0, len(rows), size)]


def _batch(rows: Sequence[dict[str, Any]]) -> Batch:
    spelled = []
    for row in rows:
        borders = itertools.pairwise([0, *row["ends"].tolist()])
        spelled += [torch.from_numpy(row["characters"][begin:end]).long() for begin, end in borders]
    return Batch(
        words_N=torch.cat([torch.from_numpy(row["words"]).long() for row in rows]),
        lengths=[len(row["words"]) for row in rows],
        characters_NC=pad_sequence(spelled, batch_first=True),
        character_lengths_N=torch.tensor([len(word) for word in spelled]),
        tags_N=pack_sequence([torch.from_numpy(row["tags"]).long() for row in rows], enforce_sorted=False).data,
    )


class Tagger(nn.Module):
    """BiLSTM over words and the last states of a BiLSTM over their characters, both on PackedSequence."""

    def __init__(self, network: Network):
        super().__init__()
        model = network.model
        self.words = nn.Embedding.from_pretrained(model.embedding.weight.detach().clone(), False, padding_idx=0)
        characters = model.speller.embedding.weight.detach().clone()
        self.characters = nn.Embedding.from_pretrained(characters, False, padding_idx=0)
        self.speller, self.lstm, self.output = lstm(model.speller.stack), lstm(model.stack), _linear(network)

    def forward(self, batch: Batch) -> Tensor:
        """logits_NV, in the order of `batch.tags_N`."""
        x_NCE = self.characters(batch.characters_NC)
        packed = pack_padded_sequence(x_NCE, batch.character_lengths_N, batch_first=True, enforce_sorted=False)
        _, (h_2NH, _) = self.speller(packed)
        x_ND = torch.cat((self.words(batch.words_N), *h_2NH), 1)
        hidden, _ = self.lstm(pack_sequence(x_ND.split(batch.lengths), enforce_sorted=False))
        return self.output(hidden.data)


def train_tagger(model: Tagger, some: Sequence[Batch], *, rate: float, clip: float) -> Iterator[tuple[float, int]]:
    """The loss and the words of each update, for ever."""
    model.train()
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=rate, weight_decay=0.0)
    for batch in itertools.cycle(some):
        loss = functional.cross_entropy(model(batch), batch.tags_N)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        yield loss.item(), len(batch.tags_N)


def _linear(network: Network) -> nn.Linear:
    weight, bias = network.head.weight.detach(), network.head.bias.detach()
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight, "bias": bias})
    return linear
