"""Characters: every word of a window finds its own spelling, each distinct one stands in the lanes once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core import arrow
from rnn_core.lanes import Windows
from rnn_core.models import tagging
from rnn_core.text.spelling import CHARACTER_WINDOW, PADDING, Spellings

word = st.lists(st.integers(2, 4), min_size=1, max_size=4) | st.lists(st.integers(2, 4), min_size=30, max_size=80)
sentences = st.lists(st.lists(word, min_size=1, max_size=8), min_size=1, max_size=12)


def columns_of(texts):
    """Sentences of words of characters as the tagger's columns, five to a batch."""
    rows = []
    for text in texts:
        sizes = [len(word) for word in text]
        rows.append(
            {"words": sizes, "tags": sizes, "characters": [c for word in text for c in word], "ends": np.cumsum(sizes)}
        )
    batches = [arrow.to_batch(rows[begin : begin + 5], "tagging") for begin in range(0, len(rows), 5)]
    return arrow.Columns(batches, arrow.SCHEMAS["tagging"], {})


def read_back(fields):
    """The spelling that each step of a window points to, read down its lane."""
    lanes = fields["characters_SC"].shape[1]
    characters = fields["characters_SC"].flatten().tolist()
    begins, ends = fields["spelling_begins_TB"].flatten().tolist(), fields["spelling_ends_TB"].flatten().tolist()
    return [characters[begin : end + 1 : lanes] for begin, end in zip(begins, ends, strict=True)]


@given(sentences, st.data())
@settings(max_examples=60, deadline=None)
def test_each_word_finds_its_spelling(texts, data):
    words = [word for text in texts for word in text]
    size = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 4)))
    positions = st.lists(st.integers(-1, len(words) - 1), min_size=size[0] * size[1], max_size=size[0] * size[1])
    positions_TB = np.array(data.draw(positions)).reshape(size)
    fields = Spellings(columns_of(texts)).fields(positions_TB)
    assert read_back(fields) == [words[max(0, position)] for position in positions_TB.flatten()]
    assert fields["spelling_begins_TB"].shape == size


@given(sentences)
@settings(max_examples=60, deadline=None)
def test_each_distinct_spelling_stands_once_and_only_it(texts):
    words = [word for text in texts for word in text]
    distinct = {tuple(word) for word in words}
    fields = Spellings(columns_of(texts)).fields(np.arange(len(words))[:, None])
    characters_SC, starts_SC = fields["characters_SC"].numpy(), fields["character_starts_SC"].numpy()
    assert len(characters_SC) % CHARACTER_WINDOW == 0
    assert (characters_SC != PADDING).sum() == sum(map(len, distinct))
    begins = set(fields["spelling_begins_TB"].flatten().tolist())
    assert len(begins) == len(distinct)
    padding_SC = characters_SC == PADDING
    for lane in range(characters_SC.shape[1]):
        padding_S = padding_SC[:, lane]
        first = int(np.argmax(padding_S)) if padding_S.any() else len(padding_S)
        assert padding_S[first:].all(), "padding stands at the end of a lane"
        marks = {step for step in range(len(padding_S)) if step * characters_SC.shape[1] + lane in begins}
        assert set(np.flatnonzero(starts_SC[:, lane])) == marks | ({first} if first < len(padding_S) else set())


def like_words(random, count):
    """Words of lengths like English ones, mean 5, most of them distinct."""
    return [random.integers(2, 28, size).tolist() for size in np.clip(random.gamma(4, 1.4, count), 1, 25).astype(int)]


def test_few_shapes_and_little_padding():
    random = np.random.default_rng(0)
    columns = columns_of([like_words(random, 20) for _ in range(500)])
    spellings, shapes, shares = Spellings(columns), set(), []
    for _ in range(100):
        fields = spellings.fields(random.integers(0, 10_000, (160, 8)))
        shapes.add(tuple(fields["characters_SC"].shape))
        shares.append(float((fields["characters_SC"] == PADDING).double().mean()))
    assert max(shares) < 0.08
    assert np.mean(shares) < 0.05
    assert len(shapes) <= 6


def test_a_run_tells_the_share_of_padded_characters():
    random = np.random.default_rng(0)
    columns = columns_of([like_words(random, 10) for _ in range(40)])
    filling = tagging.filling(columns, lanes=4, window=20, seed=1, carries=False)
    windows = Windows(filling=filling, assemble=tagging.assemble(columns), lanes=slice(0, 4))
    fields = [windows(update).fields for update in range(windows.per_epoch)]
    used = sum(sum(map(len, {tuple(spelling) for spelling in read_back(field)})) for field in fields)
    room = sum(field["characters_SC"].numel() for field in fields)
    shares = tagging.pad_shares(windows)
    assert shares == {"pad_share": 0.0, "character_pad_share": pytest.approx(1 - used / room)}


@given(sentences)
@settings(max_examples=10, deadline=None)
def test_the_speller_reads_each_word_as_if_it_stood_alone(texts):
    words = [word for text in texts for word in text]
    config = tagging.CharacterConfig(cell="lstm", embedding_size=3, hidden_size=4)
    torch.manual_seed(0)
    speller = tagging.Speller(config, 5).double()
    spelling_TBH = speller(Spellings(columns_of(texts)).fields(np.arange(len(words))[None]))
    for word, spelling_H in zip(words, spelling_TBH[0], strict=True):
        starts_S1 = torch.arange(len(word))[:, None] == 0
        h_S1H, _ = speller.stack(speller.embedding(torch.tensor(word)[:, None]), starts_S1, (), None)
        alone_H = torch.cat([h_S1H[-1, 0, :4], h_S1H[0, 0, 4:]])
        torch.testing.assert_close(spelling_H, alone_H, rtol=1e-10, atol=1e-12)
