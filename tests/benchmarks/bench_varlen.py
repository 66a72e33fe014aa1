"""varlen/: sentences of real lengths, no padding in lanes against PackedSequence; words a second, padding not counted.

Both sides read the same sentences. Ours stand in lanes: back to back, the state carried from window to window, in one
direction (`stream`), or whole in each window (`pack`), as both directions need it. The other side takes 32 sentences
a batch: at random, or of like length (`/bucketed`), or of like length and padded, dense (`/padded`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence, pad_sequence

from rnn_core.cells import Cell
from rnn_core.lanes import Filling, Pack, Stream
from rnn_core.layers import Layer
from tests.benchmarks import cases, corpora, plain
from tests.benchmarks.cases import assert_agree
