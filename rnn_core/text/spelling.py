"""The characters of a window's words: each distinct spelling once, packed into lanes of their own.

A window is packed anew whenever it is asked for, so this is whole-array numpy and costs a fraction of a millisecond.
"""

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from rnn_core.arrow import Columns, Lists
from rnn_core.lanes import Positions, padding_begins
from rnn_core.packing import pack, ranges

PADDING = 0
"""The character of steps that belong to no word."""
CHARACTER_WINDOW = 32
"""Steps of a lane of characters; the next multiple where a word of the window is longer."""


class Spellings:
    """The distinct spellings of a split, and which of them each word has."""

    def __init__(self, columns: Columns):
        """
        Args:
            columns: with `characters` of whole sentences and `ends`, where each word ends in its sentence's.
        """
        words = pa.chunked_array([_words(batch["characters"], batch["ends"]) for batch in columns.batches])
        encoded = words.dictionary_encode().unify_dictionaries()
        self._form_of_word = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
        forms = encoded.chunk(0).dictionary
        _, offsets, values = forms.buffers()
        num_bytes = np.frombuffer(offsets, np.int64, len(forms) + 1)
        self._begins_F, self._lengths_F = num_bytes[:-1] // 4, np.diff(num_bytes) // 4
        self._characters = np.frombuffer(values, np.int32)

    def fields(self, positions_TB: Positions) -> dict[str, Tensor]:
        """What a window's words are spelled like; a padded step is spelled like the split's first word.

        Returns:
            characters_SC: the distinct spellings one after another in C lanes of S steps, then PADDING.
            character_starts_SC: True where a spelling begins, and where a lane's padding does.
            spelling_begins_TB, spelling_ends_TB: the first and the last character of the word at each step, as
                indices into the S * C of all lanes. How many spellings there are shows in no shape.
        """
        forms = self._form_of_word[np.maximum(positions_TB, 0)]
        forms_N, which_TB = np.unique(forms, return_inverse=True)
        lengths_N = self._lengths_F[forms_N]
        steps = CHARACTER_WINDOW * -(-int(lengths_N.max()) // CHARACTER_WINDOW)
        packing = pack(lengths_N, steps)
        lanes = _few_shapes(packing.num_rows)
        begins_N = np.empty_like(packing.items_N)
        begins_N[packing.items_N] = packing.columns_N * lanes + packing.rows_N
        places_M = np.repeat(begins_N, lengths_N) + lanes * ranges(np.zeros_like(lengths_N), lengths_N)
        characters_SC = np.full((steps, lanes), PADDING, np.int64)
        characters_SC.reshape(-1)[places_M] = self._characters[ranges(self._begins_F[forms_N], lengths_N)]
        valid_SC, starts_SC = np.zeros((2, steps, lanes), bool)
        valid_SC.reshape(-1)[places_M] = True
        starts_SC.reshape(-1)[begins_N] = True
        which_TB = which_TB.reshape(positions_TB.shape)
        return {
            "characters_SC": torch.from_numpy(characters_SC),
            "character_starts_SC": torch.from_numpy(starts_SC | padding_begins(valid_SC)),
            "spelling_begins_TB": torch.from_numpy(begins_N[which_TB]),
            "spelling_ends_TB": torch.from_numpy((begins_N + lanes * (lengths_N - 1))[which_TB]),
        }


def _words(characters: Lists, ends: Lists) -> pa.Array:
    """Each word's characters as bytes, not copied: Arrow finds the distinct ones."""
    ends_W = ends.values + np.repeat(characters.offsets[:-1], np.diff(ends.offsets))
    offsets = np.concatenate([np.zeros(1, np.int64), ends_W * characters.values.itemsize])
    assert (np.diff(offsets) > 0).all(), "a word has at least one character"
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(characters.values)]
    return pa.Array.from_buffers(pa.large_binary(), len(ends_W), buffers)


def _few_shapes(lanes: int) -> int:
    """`lanes` rounded up to a number of five binary digits and zeros: at most a sixteenth more, 2 % on average.

    Windows differ by a lane or two; what is prepared once a shape (a CUDA graph, a kernel's plan) is so found again.
    """
    unit = 1 << max(0, (lanes - 1).bit_length() - 5)
    return -(-lanes // unit) * unit
