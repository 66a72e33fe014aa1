"""One to many: a sequence said step by step, with attention to a memory or without, whatever the memory was made of.

Where attention stands, `model.feeding`:

    none       h_t = stack(e(y_{t-1}), h_{t-1}),  c_t = attend(h_t)     Luong et al. 2015 without input feeding
    output     the stack also reads the output o_{t-1} of the step before         Luong et al. 2015, input feeding
    context    the stack also reads c_t = attend(h_{t-1})                         Bahdanau et al. 2015

    o_t = tanh(W [h_t, c_t])

Without feeding and coverage no step waits for another one's attention: a target that is known goes through the stack
by its kernel for whole windows, and attention of all steps is a few products. With either of them training walks step
by step: an update of 64 pairs of 17 tokens (LSTM of 512, 6,000 tokens, one thread) takes 175 ms without, 194 ms with
additive scores, 300 with coverage, 305 with the output fed, 363 with the context.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from rnn_core import attention
from rnn_core.attention import AttentionConfig, Memory
from rnn_core.cells import Cell, State
from rnn_core.config import check_whole
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.layers import Layer, Stack, StackConfig
from rnn_core.products import Linear


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(StackConfig):
    """The keys of `model` that every kind with a decoder has; those of `StackConfig` are its stack's."""

    embedding_size: int
    attention: AttentionConfig | None
    """None: the memory is known by the start state alone."""
    feeding: Literal["none", "output", "context"] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("model", embedding_size=self.embedding_size)
        if self.attention is None and self.feeding == "context":
            raise ConfigError("model.feeding", "found context without attention", "none, output, or model.attention")


class DecoderState(NamedTuple):
    """What goes on from step to step, of R rows."""

    carry: tuple[State, ...]
    fed_RF: Tensor | None
    """What the next step is fed: the output of this one, or (context) its query."""
    coverage_RS: Tensor | None

    def map(self, function: Callable[[Tensor], Tensor]) -> "DecoderState":
        """`function` on each tensor."""
        carry = tuple(tuple(map(function, tensors)) for tensors in self.carry)
        fed, coverage = (None if tensor is None else function(tensor) for tensor in self[1:])
        return DecoderState(carry, fed, coverage)


class Decoder(nn.Module):
    """Outputs of width O from embedded tokens and a memory.

    The start state of each layer is tanh(W mean(memory)), for each tensor that its cell remembers; for h alone where a
    mixture of two states is no state (sLSTM). A cell without memory has none.
    """

    def __init__(self, config: DecoderConfig, memory_size: int, output_size: int, *, first_mask: int = 0):
        """
        Args:
            memory_size, output_size: M and O.
            first_mask: number of the first draws; `next_mask` is the first one free after them.
        """
        super().__init__()
        self._feeding, self._dropout = config.feeding, config.dropout
        fed = {"none": 0, "output": output_size, "context": memory_size}[config.feeding]
        self.stack = Stack(config, config.embedding_size + fed, first_mask=first_mask)
        self._mask, self.next_mask = self.stack.next_mask, self.stack.next_mask + 1
        attends, size = config.attention, config.hidden_size
        self.attention = None if attends is None else attention.make(attends, size, memory_size)
        self.output = Linear(config.hidden_size + (memory_size if self.attention else 0), output_size)
        self._begun = [_begun(layer.cell) for layer in cast(Iterable[Layer], self.stack.forwards)]
        self.begin = nn.ModuleList(Linear(memory_size, max(1, sum(sizes))) for sizes in self._begun)

    def remember(self, values_BSM: Tensor, valid_BS: Tensor) -> Memory:
        """What all steps need of the memory; valid_BS is False where it is padding."""
        if self.attention is not None:
            return self.attention.remember(values_BSM, valid_BS)
        return Memory(values_BSM, values_BSM, valid_BS)

    def forward(self, x_TBE: Tensor, memory: Memory, draws: Draws | None) -> tuple[Tensor, Tensor | None]:
        """o_TBO of T steps of which all inputs are known, and the weights_BTS of attention.

        Args:
            x_TBE: embedded tokens; each lane is one sequence from its beginning.
            draws: of this window; None drops nothing.
        """
        state = self.start(memory)
        if self._feeding != "none" or state.coverage_RS is not None:
            return self._in_turn(x_TBE, memory, state, draws)
        h_TBH, _ = self.stack(x_TBE, _no_starts(x_TBE), state.carry, draws)
        context_BTM, weights_BTS = self._attend(h_TBH.transpose(0, 1), memory, None)
        context_TBM = None if context_BTM is None else context_BTM.transpose(0, 1)
        return self._drop(self._say(h_TBH, context_TBM), draws), weights_BTS

    def start(self, memory: Memory) -> DecoderState:
        """The state before the first step, a row for each lane of the memory."""
        valid_BS1 = memory.valid_BS[:, :, None]
        count_B1 = valid_BS1.sum(1).clamp(min=1)
        mean_BM = memory.values_BSM.masked_fill(~valid_BS1, 0).sum(1) / count_B1
        carry = []
        initial = self.stack.initial_carry(len(mean_BM), mean_BM)
        for sizes, begin, state in zip(self._begun, self.begin, initial, strict=True):
            begun = begin(mean_BM).tanh().split(sizes, 1) if sizes else ()
            carry.append((*begun, *state[len(sizes) :]))
        covers = self.attention is not None and self.attention.coverage
        coverage_BS = mean_BM.new_zeros(memory.valid_BS.shape) if covers else None
        return DecoderState(tuple(carry), self._first_fed(mean_BM, carry[-1]), coverage_BS)

    def step(self, x_BKE: Tensor, memory: Memory, state: DecoderState) -> tuple[Tensor, Tensor | None, DecoderState]:
        """One step of K hypotheses in each lane, for a search: o_BKO, weights_BKS and the next state.

        Args:
            x_BKE: the last token of each, embedded.
            state: its tensors are (B, K, ...), those of `start` with K put in between.
        """
        lanes, width = x_BKE.shape[:2]
        state = state.map(lambda tensor: tensor.flatten(0, 1))
        o_RO, weights_BKS, state = self._step(x_BKE.flatten(0, 1), memory, state, None)
        unflattened = state.map(lambda tensor: tensor.unflatten(0, (lanes, width)))
        return o_RO.unflatten(0, (lanes, width)), weights_BKS, unflattened

    def _in_turn(
        self, x_TBE: Tensor, memory: Memory, state: DecoderState, draws: Draws | None
    ) -> tuple[Tensor, Tensor | None]:
        outputs, weights = [], []
        for number, x_BE in enumerate(x_TBE):
            now = draws and replace(draws, first_step=draws.first_step + number)
            o_BO, weights_B1S, state = self._step(x_BE, memory, state, now)
            outputs.append(o_BO)
            weights.append(weights_B1S)
        together = [w for w in weights if w is not None]
        return self._drop(torch.stack(outputs), draws), torch.cat(together, 1) if together else None

    def _step(
        self, x_RE: Tensor, memory: Memory, state: DecoderState, draws: Draws | None
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """R rows, as many for each lane of the memory: o_RO without dropout, the weights BKS and the next state."""
        carry, fed_RF, coverage_RS = state
        context_RM = weights_BKS = None
        if fed_RF is not None:
            if self._feeding == "context":
                context_RM, weights_BKS = self._attend_rows(fed_RF, memory, coverage_RS)
            x_RE = torch.cat((x_RE, fed_RF if context_RM is None else context_RM), 1)
        h_1RH, carry = self.stack(x_RE[None], _no_starts(x_RE[None]), carry, draws)
        if self._feeding != "context":
            context_RM, weights_BKS = self._attend_rows(h_1RH[0], memory, coverage_RS)
        o_RO = self._say(h_1RH[0], context_RM)
        if coverage_RS is not None and weights_BKS is not None:
            coverage_RS = coverage_RS + weights_BKS.flatten(0, 1)
        fed_RF = {"none": None, "output": o_RO, "context": h_1RH[0]}[self._feeding]
        return o_RO, weights_BKS, DecoderState(carry, fed_RF, coverage_RS)

    def _attend_rows(
        self, query_RH: Tensor, memory: Memory, coverage_RS: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        lanes = len(memory.valid_BS)
        coverage_BKS = None if coverage_RS is None else coverage_RS.unflatten(0, (lanes, -1))
        context_BKM, weights_BKS = self._attend(query_RH.unflatten(0, (lanes, -1)), memory, coverage_BKS)
        return None if context_BKM is None else context_BKM.flatten(0, 1), weights_BKS

    def _attend(
        self, query_BTH: Tensor, memory: Memory, coverage_BTS: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        if self.attention is None:
            return None, None
        output: tuple[Tensor, Tensor] = self.attention(query_BTH, memory, coverage_BTS)
        return output

    def _say(self, h: Tensor, context: Tensor | None) -> Tensor:
        return self.output(h if context is None else torch.cat((h, context), -1)).tanh()

    def _drop(self, o_TBO: Tensor, draws: Draws | None) -> Tensor:
        if draws is None or not self._dropout:
            return o_TBO
        return o_TBO * draws.mask(self._mask, o_TBO.shape[2], self._dropout, o_TBO)

    def _first_fed(self, mean_BM: Tensor, last: State) -> Tensor | None:
        if self._feeding == "context":
            # The last layer's h, as after any other step.
            return last[0] if last else mean_BM.new_zeros(len(mean_BM), self.stack.output_size)
        return mean_BM.new_zeros(len(mean_BM), self.output.out_features) if self._feeding == "output" else None


def _begun(cell: Cell) -> list[int]:
    """Widths of the tensors of a state, from the first on, that a start state may set."""
    sizes = [tensor.shape[1] for tensor in cell.initial_state(1, torch.empty(0))]
    return sizes if cell.blends else sizes[:1]


def _no_starts(x_TBE: Tensor) -> Tensor:
    return torch.zeros(x_TBE.shape[:2], dtype=torch.bool, device=x_TBE.device)
