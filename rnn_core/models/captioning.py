"""One to many: an image in, a caption out, word by word, with attention to the image's parts or without.

The whole image is said to the recurrent stack together with each word, so that a cell without memory sees it too (Mao
et al. 2015: Deep captioning with multimodal recurrent neural networks); with attention, each step also looks at the
places of its grid (Xu et al. 2015: Show, attend and tell; asked after the step, as Luong et al. 2015 do):

    x_t = e(w_{t-1}) + W_v mean(memory),  h_t = stack(x_t),  c_t = attend(h_t),  o_t = tanh(W_o [h_t, c_t])

All captions of an image stand one after another in one lane, each with its start: an image is encoded once an epoch,
nothing is padded to the longest caption, and no step waits for another one's attention.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rnn_core import attention
from rnn_core.arrow import Columns
from rnn_core.attention import AttentionConfig, Memory
from rnn_core.cells import State
from rnn_core.config import check_whole
from rnn_core.convolution import COLOURS, ConvolutionConfig, Encoder
from rnn_core.decoding import SearchConfig
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.images import FIRST_DRAW, AugmentConfig, augmented, colours
from rnn_core.lanes import Pack, Positions, Window, Windows
from rnn_core.layers import Stack, StackConfig
from rnn_core.products import Linear

END, UNKNOWN = 0, 1
"""Ids of the mark after a caption's last word, which also stands before its first one, and of words not known."""
OUTPUT_MASK, IMAGE_MASK = 0, FIRST_DRAW + 8
"""Numbers of the draws on what is said, and on the places of an image; the stack's begin at 1."""


@dataclass(frozen=True, kw_only=True)
class Config(StackConfig):
    embedding_size: int
    encoder: ConvolutionConfig | None
    """None where the features of an outside encoder are all that is known of an image."""
    attention: AttentionConfig | None
    """None: the image is known by the mean of its places."""
    image_dropout: float
    """On the features of places, one mask for all places of an image."""
    augment: AugmentConfig | None
    search: SearchConfig
    longest: int
    """Words of an answer at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("model", embedding_size=self.embedding_size, longest=self.longest)
        if self.attention is not None and self.attention.coverage:
            raise ConfigError("model.attention.coverage", "found true", "false: all steps attend at once")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    words: int
    """With the end mark and the unknown word."""
    image: int
    """Pixels of a side."""
    features: int
    """Width of the outside encoder's vectors; 0 where there are none."""


class Seen(NamedTuple):
    """What is known of each image."""

    memory: Memory
    mean_NE: Tensor


class Model(nn.Module):
    """inputs_TB and the images of the window -> o_TBH."""

    def __init__(self, config: Config, sizes: Sizes):
        """
        Raises:
            ConfigError: neither encoder nor outside features, or an image that does not fit the encoder.
        """
        super().__init__()
        self.config, self.sizes = config, sizes
        self.encoder = None if config.encoder is None else Encoder(config.encoder)
        if self.encoder is not None and sizes.image % self.encoder.stride:
            found = f"{sizes.image} pixels with model.encoder.channels of {len(self.encoder.channels)} stages"
            raise ConfigError("data.image_size", found, f"a multiple of {self.encoder.stride}")
        if self.encoder is None and not sizes.features:
            raise ConfigError("model.encoder", "found null without data.features", "an encoder, or features")
        memory_size = self.encoder.output_size if self.encoder else config.hidden_size
        self.outside = Linear(sizes.features, memory_size) if sizes.features else None
        self.embedding = nn.Embedding(sizes.words, config.embedding_size)
        self.whole = Linear(memory_size, config.embedding_size)
        self.stack = Stack(config, config.embedding_size, first_mask=1)
        self.attention = config.attention and attention.make(config.attention, config.hidden_size, memory_size)
        self.output = Linear(config.hidden_size + (memory_size if self.attention else 0), config.hidden_size)
        self.output_size, self.num_classes, self.tied_weight = config.hidden_size, sizes.words, None

    def forward(self, window: Window, carry: Any) -> tuple[Tensor, Any]:
        draws = window.draws if self.training else None
        fields = window.fields
        seen = self.look(fields, draws, window.epoch)
        x_TBE = self.embedding(fields["inputs_TB"]) + seen.mean_NE[fields["images_TB"]]
        fresh = self.stack.initial_carry(x_TBE.shape[1], x_TBE)
        h_TBH, _ = self.stack(x_TBE, window.starts_TB, fresh, draws)
        context_TBM = None
        if self.attention is not None:
            # The steps of each image side by side, so that they share its memory.
            query_NLH = h_TBH.flatten(0, 1)[fields["steps_NL"]]
            context_NLM, _ = self.attention(query_NLH, seen.memory)
            context_TBM = context_NLM.flatten(0, 1)[fields["places_TB"]]
        o_TBH = self._say(h_TBH, context_TBM)
        if draws is None or not self.config.dropout:
            return o_TBH, carry
        return o_TBH * draws.mask(OUTPUT_MASK, self.output_size, self.config.dropout, o_TBH), carry

    def look(self, fields: Mapping[str, Tensor], draws: Draws | None, epoch: int) -> Seen:
        """The window's images; in training as this epoch sees them."""
        places_NSM = []
        by_example = None
        if draws is not None:
            by_example = Draws(seed=draws.seed, update=epoch, lanes_B=fields["examples_N"])
        if self.encoder is not None:
            image_NCYX = colours(fields["image_NCYX"])
            if by_example is not None and self.config.augment is not None:
                image_NCYX = augmented(image_NCYX, by_example, self.config.augment)
            places_NSM.append(self.encoder(image_NCYX))
        if self.outside is not None:
            places_NSM.append(self.outside(fields["features_NSF"]))
        values_NSM = torch.cat(places_NSM, 1)
        if by_example is not None and self.config.image_dropout:
            mask_NM = by_example.mask(IMAGE_MASK, values_NSM.shape[2], self.config.image_dropout, values_NSM)
            values_NSM = values_NSM * mask_NM[:, None]
        valid_NS = torch.ones(values_NSM.shape[:2], dtype=torch.bool, device=values_NSM.device)
        memory = Memory(values_NSM, values_NSM, valid_NS)
        if self.attention is not None:
            memory = self.attention.remember(values_NSM, valid_NS)
        return Seen(memory, self.whole(values_NSM.mean(1)))

    def start(self, seen: Seen) -> tuple[State, ...]:
        """The state before a caption's first step, of one hypothesis for each image: tensors (N, 1, ...)."""
        carry = self.stack.initial_carry(len(seen.mean_NE), seen.mean_NE)
        return map_carry(lambda tensor: tensor[:, None], carry)

    def step(
        self, tokens_BK: Tensor, seen: Seen, state: tuple[State, ...]
    ) -> tuple[Tensor, Tensor | None, tuple[State, ...]]:
        """One step of K captions of each of B images, for a search: o_BKH, weights_BKS and the next state."""
        lanes, width = tokens_BK.shape
        x_BKE = self.embedding(tokens_BK) + seen.mean_NE[:, None]
        starts_1R = torch.zeros(1, lanes * width, dtype=torch.bool, device=tokens_BK.device)
        carry = map_carry(lambda tensor: tensor.flatten(0, 1), state)
        h_1RH, carry = self.stack(x_BKE.flatten(0, 1)[None], starts_1R, carry, None)
        h_BKH = h_1RH[0].unflatten(0, (lanes, width))
        context_BKM = weights_BKS = None
        if self.attention is not None:
            context_BKM, weights_BKS = self.attention(h_BKH, seen.memory)
        after = map_carry(lambda tensor: tensor.unflatten(0, (lanes, width)), carry)
        return self._say(h_BKH, context_BKM), weights_BKS, after

    def initial_carry(self, lanes: int) -> Any:
        """Nothing: whole captions stand in a window."""
        return ()

    def _say(self, h: Tensor, context: Tensor | None) -> Tensor:
        return self.output(h if context is None else torch.cat((h, context), -1)).tanh()


class Filling(Pack):
    """`Pack` of all captions of each image in one lane, with a start at each caption.

    Args:
        offsets_N, lengths_N: where the words of each image begin, and how many there are.
        begins_M: where each caption begins.
    """

    def __init__(
        self,
        offsets_N: Positions,
        lengths_N: Positions,
        begins_M: Positions,
        *,
        lanes: int,
        window: int,
        seed: int | None = None,
    ):
        super().__init__(offsets_N, lengths_N, lanes=lanes, window=window, seed=seed)
        self._begins_M = begins_M

    def place(self, epoch: int, step: int, lanes: slice) -> tuple[Positions, NDArray[np.bool_]]:
        positions_TB, starts_TB = super().place(epoch, step, lanes)
        nearest_TB = np.searchsorted(self._begins_M, np.maximum(positions_TB, 0), side="right") - 1
        return positions_TB, starts_TB | (self._begins_M[nearest_TB] == positions_TB)


def filling(columns: Columns, *, lanes: int, window: int, seed: int | None, carries: bool) -> Filling:
    """
    Raises:
        ConfigError: `carries` is True: a caption is whole in its window; or an image's captions are longer than that.
    """
    if carries:
        raise ConfigError("train.carry", "found true", "a caption begins and ends in its window: false")
    offsets = columns.offsets_of("tokens")
    begins_M = caption_begins(columns)
    return Filling(offsets[:-1], np.diff(offsets), begins_M, lanes=lanes, window=window, seed=seed)


def caption_begins(columns: Columns) -> Positions:
    """Where each caption begins in the tokens of all images: where another one, or the image before, ends."""
    ends = columns["ends"]
    ends_M = np.repeat(columns.offsets_of("tokens")[:-1], np.diff(ends.offsets)) + ends.values
    return np.concatenate([np.zeros(1, np.int64), ends_M[:-1]])


class Assembly:
    """positions_TB -> inputs_TB, targets_TB; images_TB: which of the window's N images each step is about; steps_NL:
    the steps of each image, as t B + b; places_TB: where each step stands there, as n L + l; examples_N: the number of
    each image in its split; image_NCYX (uint8) and features_NSF.
    """

    def __init__(self, columns: Columns):
        self.columns = columns
        self._tokens, self._offsets = columns.values_of("tokens"), columns.offsets_of("tokens")
        first = columns["ends"].offsets
        self._begins_M = caption_begins(columns)
        side = int(round((len(columns["image"][0]) / COLOURS) ** 0.5))
        self._image = columns.values_of("image", side * side * COLOURS) if side else None
        self._side = side
        del first

    def __call__(self, positions_TB: Positions) -> dict[str, Tensor]:
        valid_TB, safe_TB = positions_TB >= 0, np.maximum(positions_TB, 0)
        targets_TB = self._tokens[safe_TB].astype(np.int64)
        nearest_TB = np.searchsorted(self._begins_M, safe_TB, side="right") - 1
        first_TB = self._begins_M[nearest_TB] == safe_TB
        inputs_TB = np.where(first_TB, END, self._tokens[np.maximum(safe_TB - 1, 0)]).astype(np.int64)
        example_TB = np.searchsorted(self._offsets, safe_TB, side="right") - 1
        examples_N, images_M = np.unique(example_TB[valid_TB], return_inverse=True)
        images_TB = np.zeros(positions_TB.shape, np.int64)
        images_TB[valid_TB] = images_M
        within_TB = safe_TB - self._offsets[example_TB]
        longest = int(within_TB[valid_TB].max()) + 1
        places_TB = np.where(valid_TB, images_TB * longest + within_TB, 0)
        steps_NL = np.zeros((len(examples_N), longest), np.int64)
        steps_NL.reshape(-1)[places_TB[valid_TB]] = np.flatnonzero(valid_TB)
        fields = {
            "inputs_TB": inputs_TB, "targets_TB": targets_TB, "images_TB": images_TB,
            "steps_NL": steps_NL, "places_TB": places_TB, "examples_N": examples_N,
        }
        tensors = {name: torch.from_numpy(field) for name, field in fields.items()}
        return tensors | self.images(examples_N)

    def images(self, examples_N):
        image = self._image[examples_N].reshape(-1, self._side, self._side, COLOURS)
        return {"image_NCYX": torch.from_numpy(np.ascontiguousarray(image)).permute(0, 3, 1, 2)}


def assemble(columns: Columns) -> Assembly:
    return Assembly(columns)


def pad_shares(windows: Windows) -> dict[str, float]:
    return {"pad_share": windows.filling.pad_share}


def map_carry(function, carry):
    return tuple(tuple(map(function, state)) for state in carry)
