"""Windows of both kinds against plain loops over the data: what stands at each step, and that nothing is lost."""

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core import arrow
from rnn_core.lanes import Windows
from rnn_core.models import language_model, tagging

numbers = st.integers(2, 9)
pieces = st.lists(st.lists(numbers, min_size=1, max_size=7), min_size=1, max_size=4)
streams = st.lists(pieces, min_size=1, max_size=5)
sentences = st.lists(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=9), min_size=1, max_size=12)


def in_batches(rows, kind, size):
    batches = [arrow.to_batch(rows[begin : begin + size], kind) for begin in range(0, len(rows), size)]
    return arrow.Columns(batches, arrow.SCHEMAS[kind], {})


def windows_of(kind, columns, lanes, window, carries):
    filling = kind.filling(columns, lanes=lanes, window=window, seed=None, carries=carries)
    return Windows(filling=filling, assemble=kind.assemble(columns), lanes=slice(0, lanes))


def lanes_of(windows, *fields):
    """The steps of each lane over successive windows: the fields and the mark of a start, or None for padding."""
    valid_TB = np.concatenate([window.valid_TB.numpy() for window in windows])
    columns = [np.concatenate([window.fields[name].numpy() for window in windows]) for name in fields]
    columns.append(np.concatenate([window.starts_TB.numpy() for window in windows]))
    steps = zip(*(column.T.tolist() for column in columns), strict=True)
    return [
        [step if valid else None for valid, *step in zip(valid_B, *lane, strict=True)]
        for valid_B, lane in zip(valid_TB.T.tolist(), steps, strict=True)
    ]


@given(streams, st.integers(1, 4), st.integers(1, 6), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_language_models_window_is_the_stream_cut_into_lanes(sequences, lanes, window, size):
    rows = [{"tokens": piece, "first": i == 0} for sequence in sequences for i, piece in enumerate(sequence)]
    steps = []
    for sequence in sequences:
        tokens = [token for piece in sequence for token in piece]
        steps += [[now, after, i == 0] for i, (now, after) in enumerate(itertools.pairwise(tokens))]
    if not steps:
        return
    share = math.ceil(len(steps) / lanes)
    wanted = [steps[lane * share : (lane + 1) * share] for lane in range(lanes)]
    windows = windows_of(language_model, in_batches(rows, "language_model", size), lanes, window, carries=True)
    epoch = [windows(number) for number in range(windows.per_epoch)]
    for lane, expected in zip(lanes_of(epoch, "tokens_TB", "targets_TB"), wanted, strict=True):
        assert [step[:2] for step in lane if step] == [step[:2] for step in expected]
        assert [step[2] for step in lane if step] == [i == 0 or step[2] for i, step in enumerate(expected)]
        assert lane[len(expected) :] == [None] * (len(lane) - len(expected))


@given(sentences, st.integers(1, 4), st.integers(9, 15), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_a_taggers_windows_hold_each_sentence_once_and_whole(texts, lanes, window, size):
    rows = []
    for text in texts:
        words, tags = [word for word, _ in text], [tag for _, tag in text]
        spelled = [character for word in words for character in spelling(word)]
        ends = np.cumsum([len(spelling(word)) for word in words])
        rows.append({"words": words, "tags": tags, "characters": spelled, "ends": ends})
    windows = windows_of(tagging, in_batches(rows, "tagging", size), lanes, window, carries=False)
    read = []
    for number in range(windows.per_epoch):
        one = windows(number)
        characters, width = one.fields["characters_SC"].flatten().tolist(), one.fields["characters_SC"].shape[1]
        for lane in lanes_of([one], "words_TB", "targets_TB", "spelling_begins_TB", "spelling_ends_TB"):
            for word, tag, begin, end, start in filter(None, lane):
                assert characters[begin : end + 1 : width] == spelling(word)
                if start:
                    read.append([])
                read[-1].append((word, tag))
    assert sorted(read) == sorted(texts)


def spelling(word):
    """The characters of a word: as many as its number says, and no other word's."""
    return [word] * word
