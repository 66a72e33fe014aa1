"""Many to many, unaligned: frames of sound in, a string of labels for the whole utterance out.

Graves et al. 2013 (Speech recognition with deep recurrent neural networks) for the stack, Park et al. 2019 for what
training takes out of its input. The head (CTC) sums over all ways to lay the labels along the steps. A stack of one
direction is causal: its state may be carried, and an utterance decoded while it is spoken
(`rnn_core.speech.ctc_decoding`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rnn_core.arrow import Columns
from rnn_core.errors import ConfigError
from rnn_core.lanes import Assemble, Pack, Positions, Window, Windows
from rnn_core.layers import Stack, StackConfig
from rnn_core.readouts import sequences
from rnn_core.speech.augmentation import SpecAugment


@dataclass(frozen=True, kw_only=True)
class Config(StackConfig):
    bidirectional: bool
    augment: SpecAugment | None
    """What training takes out of its input; None takes nothing."""
    head: ClassVar[str] = "ctc"
    """A name in `rnn_core.networks.HEADS`."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    bands: int
    """M, of a frame."""
    stack: int
    """Frames of a step; its features are theirs, one frame after another."""
    classes: int
    """V, the blank (class 0) among them."""


class Model(nn.Module):
    """frames_TBD -> hidden_TBH."""

    def __init__(self, config: Config, sizes: Sizes):
        super().__init__()
        self.sizes, self.augment = sizes, config.augment
        self.stack = Stack(config, sizes.bands * sizes.stack, bidirectional=config.bidirectional)
        self.output_size, self.num_classes, self.tied_weight = self.stack.output_size, sizes.classes, None

    def forward(self, window: Window, carry: Any) -> tuple[Tensor, Any]:
        x_TBD = window.fields["frames_TBD"].to(next(self.parameters()).dtype)
        draws = window.draws if self.training else None
        if draws is not None and self.augment is not None:
            x_TBD = self.augment(x_TBD, window, self.sizes.bands)
        hidden: tuple[Tensor, Any] = self.stack(x_TBD, window.starts_TB, carry, draws)
        return hidden

    def initial_carry(self, lanes: int) -> Any:
        """A state for each layer where the stack is causal; () where it is bidirectional."""
        return self.stack.initial_carry(lanes, next(self.parameters()))


def filling(columns: Columns, *, lanes: int, window: int, seed: int | None, carries: bool) -> Pack:
    """Whole utterances packed into lanes: the loss of one needs all its steps.

    Raises:
        ConfigError: `carries` is True.
    """
    if carries:
        raise ConfigError("train.carry", "found true", "CTC needs whole utterances in a window: false")
    lengths_N = columns.steps()
    return Pack(np.cumsum(lengths_N) - lengths_N, lengths_N, lanes=lanes, window=window, seed=seed)


def assemble(columns: Columns) -> Assemble:
    """positions_TB -> frames_TBD; of the N utterances that the window holds, row by row, their labels.

    The fields: frames_TBD; row_TB and step_TB, which of the N utterances each step belongs to and its number there
    (anything at padding); examples_N, lengths_N; labels_NL and label_counts_N.
    """
    lengths = columns.steps()
    begins = np.cumsum(lengths) - lengths
    width = len(columns.values_of("features")) // int(lengths.sum())
    frames, labels = columns.values_of("features", width), columns.values_of("labels")
    label_begins = columns.offsets_of("labels")

    def fields(positions_TB: Positions) -> dict[str, Tensor]:
        valid_TB, safe_TB = positions_TB >= 0, np.maximum(positions_TB, 0)
        example_TB = np.searchsorted(begins, safe_TB, side="right") - 1
        # Where all is padding, there is a row all the same, of which there is no step.
        examples_N = np.unique(example_TB[valid_TB] if valid_TB.any() else 0)
        row_TB = np.minimum(np.searchsorted(examples_N, example_TB), len(examples_N) - 1)
        counts_N = np.diff(label_begins)[examples_N]
        label_NL = np.arange(counts_N.max(initial=0))
        inside_NL = label_NL < counts_N[:, None]
        places_NL = np.where(inside_NL, label_begins[:-1][examples_N][:, None] + label_NL, 0)
        found_NL = labels[places_NL] if inside_NL.any() else places_NL
        arrays = {
            "frames_TBD": np.where(valid_TB[:, :, None], frames[safe_TB], np.float32(0)),
            "row_TB": row_TB,
            "step_TB": safe_TB - begins[example_TB],
            "examples_N": examples_N,
            "lengths_N": lengths[examples_N],
            "labels_NL": np.where(inside_NL, found_NL, 0).astype(np.int64),
            "label_counts_N": counts_N,
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    return fields


def pad_shares(windows: Windows) -> dict[str, float]:
    """Of the steps of an epoch."""
    return {"pad_share": windows.filling.pad_share}


def heard(
    network: Any, window: Window, hidden_TBH: Tensor
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.int64]]]:
    """Of each utterance of a window: its number in the data, log_p_TV, its labels."""
    rows_N = sequences(window.starts_TB, window.valid_TB).at_first(window.fields["row_TB"])
    for row, log_p_TV in zip(rows_N.tolist(), network.head.predict(window, hidden_TBH), strict=True):
        labels = window.fields["labels_NL"][row, : int(window.fields["label_counts_N"][row])]
        yield int(window.fields["examples_N"][row]), log_p_TV.float().cpu().numpy(), labels.cpu().numpy()
