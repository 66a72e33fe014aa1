"""One to many: an image in, a caption out, word by word, with attention to the image's parts or without.

The whole image is said to the recurrent stack together with each word, so that a cell without memory sees it too (Mao
et al. 2015: Deep captioning with multimodal recurrent neural networks); with attention, each step also looks at the
places of the image's grid (Xu et al. 2015: Show, attend and tell; after the step, as in Luong et al. 2015):

    memory_s = relu(W_m grid_s + b_s)
    x_t = e(w_{t-1}) + W_v whole(memory)     h_t = stack(x_t)      c_t = attend(h_t)      o_t = tanh(W_o [h_t, c_t])

All captions of an image stand one after another in one lane, each with its start: an image is encoded once an epoch,
nothing is padded to the longest caption, and no step waits for another one's attention.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from rnn_core import attention, decoding
from rnn_core.arrow import Columns
from rnn_core.attention import AttentionConfig, Memory
from rnn_core.cells import State
from rnn_core.config import check_rates, check_whole
from rnn_core.decoding import SearchConfig
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.images.convolution import ConvolutionConfig, Encoder
from rnn_core.images.illustrated import END, UNKNOWN, Assembly, Captions
from rnn_core.images.pixels import FIRST_DRAW, AugmentConfig, augmented, colours
from rnn_core.lanes import Window, Windows
from rnn_core.layers import Stack, StackConfig
from rnn_core.products import Linear

OUTPUT_MASK, FIRST_STACK_MASK = 0, 1
PLACE_SPREAD = 0.2
"""Standard deviation of the places' fresh biases."""
PLACE_MASK = FIRST_DRAW - 1
"""Number of the draws that thin what is seen of an image; they are an example's, as those of its picture."""


@dataclass(frozen=True, kw_only=True)
class Config(StackConfig):
    embedding_size: int
    encoder: ConvolutionConfig | None
    """None where the vectors of an outside encoder are all that is seen of an image."""
    attention: AttentionConfig | None
    """None: no step looks at single places, only the whole image is known."""
    whole: Literal["mean", "grid"]
    """What is said with each word: the mean of all places, or all of them with weights of their own, which tell what
    is where at once, and are many."""
    image_dropout: float
    """On the features of an image, one mask for all its places."""
    augment: AugmentConfig | None
    search: SearchConfig
    longest: int
    """Words of an answer at most."""
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("model", embedding_size=self.embedding_size, longest=self.longest)
        check_rates("model", image_dropout=self.image_dropout, label_smoothing=self.label_smoothing)
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


class Places(nn.Module):
    """m_s = relu(W g_s + b_s): what is seen, and where; a convolution alone tells places apart at its borders only."""

    def __init__(self, width: int, places: int):
        super().__init__()
        self.linear = Linear(width, width, bias=False)
        self.bias_SM = nn.Parameter(torch.randn(places, width).mul_(PLACE_SPREAD))

    def forward(self, grid_NSM: Tensor) -> Tensor:
        return (self.linear(grid_NSM) + self.bias_SM).relu()


class Seen(NamedTuple):
    """What is known of each image."""

    memory: Memory
    whole_NE: Tensor


class Model(nn.Module):
    """The words and the images of a window -> o_TBH."""

    def __init__(self, config: Config, sizes: Sizes):
        """
        Raises:
            ConfigError: neither encoder nor outside vectors, or both; images that do not fit the encoder.
        """
        super().__init__()
        self.config, self.features = config, sizes.features
        self.encoder = None if config.encoder is None else Encoder(config.encoder)
        if self.encoder is not None and sizes.image % self.encoder.stride:
            found = f"found {sizes.image} with {self.encoder.stride} pixels to a place (model.encoder.channels)"
            raise ConfigError("data.image_size", found, f"a multiple of {self.encoder.stride}")
        if (self.encoder is None) != (sizes.features > 0):
            found = f"found {'null' if self.encoder is None else 'an encoder'} with data.features of {sizes.features}"
            raise ConfigError("model.encoder", found, "null with outside features, an encoder without")
        width = self.encoder.output_size if self.encoder else config.hidden_size
        self.places = None if self.encoder is None else Places(width, (sizes.image // self.encoder.stride) ** 2)
        self.outside = Linear(sizes.features, width) if self.encoder is None else None
        self.embedding = nn.Embedding(sizes.words, config.embedding_size)
        if config.whole == "grid" and self.places is None:
            raise ConfigError("model.whole", "found grid with outside features", "mean")
        of_whole = self.places.bias_SM.numel() if self.places and config.whole == "grid" else width
        self.whole = Linear(of_whole, config.embedding_size)
        self.stack = Stack(config, config.embedding_size, first_mask=FIRST_STACK_MASK)
        attend = config.attention
        self.attention = None if attend is None else attention.make(attend, config.hidden_size, width)
        self.output = Linear(config.hidden_size + (width if self.attention else 0), config.hidden_size)
        self.output_size, self.num_classes, self.tied_weight = config.hidden_size, sizes.words, None

    def forward(self, window: Window, carry: Any) -> tuple[Tensor, Any]:
        draws, fields = window.draws if self.training else None, window.fields
        seen = self.look(fields, draws and replace(draws, update=window.epoch, lanes_B=fields["examples_N"]))
        x_TBE = self.embedding(fields["inputs_TB"]) + seen.whole_NE[fields["images_TB"]]
        h_TBH, _ = self.stack(x_TBE, window.starts_TB, self.stack.initial_carry(x_TBE.shape[1], x_TBE), draws)
        context_TBM = None
        if self.attention is not None:
            # The steps of an image side by side, so that they share its memory.
            context_NLM, _ = self.attention(h_TBH.flatten(0, 1)[fields["steps_NL"]], seen.memory)
            context_TBM = context_NLM.flatten(0, 1)[fields["places_TB"]]
        o_TBH = self._say(h_TBH, context_TBM)
        if draws is not None and self.config.dropout:
            o_TBH = o_TBH * draws.mask(OUTPUT_MASK, self.output_size, self.config.dropout, o_TBH)
        return o_TBH, carry

    def look(self, fields: Mapping[str, Tensor], draws: Draws | None = None) -> Seen:
        """N images.

        Args:
            fields: `image_NCYX` (uint8) or `features_NF`, what the model takes of them; F may be several vectors.
            draws: of (seed, epoch, example); None changes and drops nothing.
        """
        if self.outside is not None:
            values_NSM = self.outside(fields["features_NF"].unflatten(1, (-1, self.features)))
        else:
            assert self.encoder is not None
            assert self.places is not None
            image_NCYX = colours(fields["image_NCYX"])
            if draws is not None and self.config.augment is not None:
                image_NCYX = augmented(image_NCYX, draws, self.config.augment)
            values_NSM = self.places(self.encoder(image_NCYX))
        if draws is not None and self.config.image_dropout:
            mask_NM = draws.mask(PLACE_MASK, values_NSM.shape[2], self.config.image_dropout, values_NSM)
            values_NSM = values_NSM * mask_NM[:, None]
        valid_NS = torch.ones(values_NSM.shape[:2], dtype=torch.bool, device=values_NSM.device)
        attend = self.attention
        memory = attend.remember(values_NSM, valid_NS) if attend else Memory(values_NSM, values_NSM, valid_NS)
        whole = values_NSM.mean(1) if self.config.whole == "mean" else values_NSM.flatten(1)
        return Seen(memory, self.whole(whole))

    def start(self, seen: Seen) -> tuple[State, ...]:
        """The state before a caption's first step, one caption for each image: tensors (N, 1, ...)."""
        return _map(lambda tensor: tensor[:, None], self.stack.initial_carry(len(seen.whole_NE), seen.whole_NE))

    def step(
        self, tokens_BK: Tensor, seen: Seen, state: tuple[State, ...]
    ) -> tuple[Tensor, Tensor | None, tuple[State, ...]]:
        """One step of K captions of each of B images, for a search: o_BKH, weights_BKS and the next state."""
        lanes, width = tokens_BK.shape
        x_BKE = self.embedding(tokens_BK) + seen.whole_NE[:, None]
        starts_1R = torch.zeros(1, lanes * width, dtype=torch.bool, device=tokens_BK.device)
        carry = _map(lambda tensor: tensor.flatten(0, 1), state)
        h_1RH, carry = self.stack(x_BKE.flatten(0, 1)[None], starts_1R, carry, None)
        h_BKH = h_1RH[0].unflatten(0, (lanes, width))
        context_BKM = weights_BKS = None
        if self.attention is not None:
            context_BKM, weights_BKS = self.attention(h_BKH, seen.memory)
        after = _map(lambda tensor: tensor.unflatten(0, (lanes, width)), carry)
        return self._say(h_BKH, context_BKM), weights_BKS, after

    def initial_carry(self, lanes: int) -> Any:
        """Nothing: whole captions stand in a window."""
        return ()

    def _say(self, h: Tensor, context: Tensor | None) -> Tensor:
        return self.output(h if context is None else torch.cat((h, context), -1)).tanh()


def answers(network: Any, seen: Seen) -> list[list[int]]:
    """The tokens of the caption that the model's search finds for each image; the unknown word is never said."""
    longest_B = torch.full((len(seen.whole_NE),), network.model.config.longest, device=seen.whole_NE.device)
    start, config = network.model.start(seen), network.model.config.search
    return decoding.search(_stepper(network), seen, start, begin=END, end=END, longest_B=longest_B, config=config)


@torch.no_grad()
def attended(network: Any, seen: Seen, tokens: list[int]) -> Tensor | None:
    """weights_TS at each step of a caption of one image, that of its end too; None without attention."""
    state, weights = network.model.start(seen), []
    for token in [END, *tokens]:
        token_11 = torch.tensor([[token]], device=seen.whole_NE.device)
        _, weights_11S, state = network.model.step(token_11, seen, state)
        weights.append(weights_11S)
    return None if weights[0] is None else torch.cat(weights, 1)[0]


def _stepper(network: Any) -> decoding.Step:
    """A network as a search takes it: log P of the next word."""

    def step(tokens_BK: Tensor, memory: Seen, state: tuple[State, ...]) -> tuple[Tensor, Tensor | None, Any]:
        o_BKH, weights_BKS, after = network.model.step(tokens_BK, memory, state)
        logits_BKV = network.head.predict(o_BKH).float()
        logits_BKV[:, :, UNKNOWN] = -torch.inf
        return logits_BKV.log_softmax(2), weights_BKS, after

    return step


def filling(columns: Columns, *, lanes: int, window: int, seed: int | None, carries: bool) -> Captions:
    """All captions of each image in a lane.

    Raises:
        ConfigError: `carries` is True: a caption is whole in its window; an image's captions are longer than a window.
    """
    if carries:
        raise ConfigError("train.carry", "found true", "a caption begins and ends in its window: false")
    return Captions(columns, lanes=lanes, window=window, seed=seed)


def assemble(columns: Columns) -> Assembly:
    return Assembly(columns)


def pad_shares(windows: Windows) -> dict[str, float]:
    return {"pad_share": windows.filling.pad_share}


def _map(function: Callable[[Tensor], Tensor], carry: tuple[State, ...]) -> tuple[State, ...]:
    return tuple(tuple(map(function, state)) for state in carry)
