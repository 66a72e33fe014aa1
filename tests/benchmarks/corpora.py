"""What the benchmarks read: lengths of real sentences, and the words of two corpora where `RNN_DATA_MIRROR` has them.

Without a folder of that name words are drawn at random: speed and memory hardly depend on which words they are.
"""

import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.tasks import Where, pos_tagging
from pipelines.tasks.pos_tagging import Sentence
from rnn_core.lanes import Stream

MIRROR = os.environ.get("RNN_DATA_MIRROR", "")
"""Read here, for while a test runs no deployment's settings are seen."""
VOCABULARY = 10_000

# Sentences of 1, 2, ... words in the training split of UD English EWT; the few of over 80 words stand apart.
COUNTS = [521, 625, 491, 368, 419, 446, 435, 430, 455, 471, 488, 475, 421, 438, 443, 409, 379, 373, 351, 356, 300, 314]
COUNTS += [313, 256, 213, 216, 177, 180, 181, 135, 136, 111, 119, 100, 78, 76, 87, 71, 77, 57, 54, 60, 37, 34, 32, 21]
COUNTS += [22, 32, 23, 23, 18, 25, 11, 12, 11, 7, 11, 7, 8, 11, 4, 10, 2, 4, 5, 11, 3, 8, 1, 5, 4, 4, 2, 4, 1, 4, 2, 0]
COUNTS += [1, 1]
LONG = [81, 83, 85, 85, 88, 89, 89, 90, 91, 95, 95, 97, 99, 102, 102, 104, 135, 159]
train_N = np.concatenate([np.repeat(np.arange(1, len(COUNTS) + 1), COUNTS), LONG])


def sentence_lengths(count: int, longest: int | None = None) -> NDArray[np.int64]:
    """Lengths of that many sentences, drawn from UD English EWT's, none above `longest`."""
    some_N = train_N[train_N <= longest] if longest else train_N
    return np.random.default_rng(1).choice(some_N, count)


def starts(window: int, lanes: int) -> NDArray[np.bool_]:
    """starts_TB of sentences that stand back to back in lanes, amid an epoch: no lane begins with a whole one."""
    lengths_N = sentence_lengths(window * lanes // 4)
    stream = Stream(np.cumsum(lengths_N) - lengths_N, lengths_N, lanes=lanes, window=window, seed=1)
    return stream.place(0, 1, slice(0, lanes))[1]


def tokens(count: int) -> NDArray[np.int32]:
    """A stream of ids below `VOCABULARY`: Penn Treebank's training split (again and again), or random ones."""
    archive = Path(MIRROR, "ptb/ptb.zip")
    if not (MIRROR and archive.is_file()):
        return np.random.default_rng(1).integers(0, VOCABULARY, count, np.int32)
    with zipfile.ZipFile(archive) as contents:
        words = contents.read("ptb.train.txt").decode().replace("\n", " <eos> ").split()
    ids = {word: index for index, (word, _) in enumerate(Counter(words).most_common())}
    assert len(ids) == VOCABULARY
    return np.resize(np.array([ids[word] for word in words[:count]], np.int32), count)


def sentences(count: int, longest: int) -> list[Sentence]:
    """Tagged ones of up to `longest` words, longer ones cut in pieces: UD English EWT's first, or random ones."""
    file = Path(MIRROR, "ud_english_ewt/en_ewt-ud-train.conllu")
    if not (MIRROR and file.is_file()):
        return _random_sentences(sentence_lengths(count, longest))
    data = pos_tagging.Data(max_length=longest, too_long="split")
    found = pos_tagging.read(file.read_bytes(), Where(file.name, 1, True, True), data)
    return [sentence for _, sentence in zip(range(count), found, strict=False) if isinstance(sentence, Sentence)]


def _random_sentences(lengths_N: NDArray[np.int64]) -> list[Sentence]:
    """Words by Zipf's law, spelled in 1 to 10 letters."""
    random = np.random.default_rng(1)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    forms = ["".join(random.choice(letters, size)) for size in random.integers(1, 11, VOCABULARY)]
    share_V = 1 / np.arange(1, VOCABULARY + 1)
    drawn = random.choice(VOCABULARY, int(lengths_N.sum()), p=share_V / share_V.sum())
    words = iter(zip([forms[form] for form in drawn], random.choice(pos_tagging.TAGS, len(drawn)), strict=True))
    taken = [[next(words) for _ in range(length)] for length in lengths_N]
    return [Sentence(tuple(w for w, _ in some), tuple(str(t) for _, t in some), 1) for some in taken]
