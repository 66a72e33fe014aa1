"""Word vectors from a file: both formats, words with blanks, and every way in which a file can be wrong."""

import gzip
import hashlib

import pytest
import torch

from rnn_core.errors import DataError
from rnn_core.text import word_vectors
from rnn_core.text.word_vectors import Vectors

WORDS = ["<pad>", "<unk>", "the", "cat", "new york", "42"]
GLOVE = "cat 1 2 3\nnew york 4 5 6\ndog 7 8 9\n42 -1 0 1e-1\ncat 0 0 0\n"


def write(folder, text, name="vectors.txt"):
    content = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(content)
    return Vectors(path=name, sha256=hashlib.sha256(content).hexdigest())


def filled(folder, text, words=WORDS, known=None, **changes):
    weight_VE = torch.randn(known or len(words), 3, generator=torch.Generator().manual_seed(0))
    before = weight_VE.clone()
    found = word_vectors.fill(weight_VE, words, write(folder, text, **changes), folder)
    return weight_VE, before, found


@pytest.mark.parametrize("header", ["", "5 3\n"])
def test_rows_of_known_words_are_set_and_scaled(tmp_path, header):
    weight_VE, before, found = filled(tmp_path, header + GLOVE)
    wanted = torch.tensor([[1, 2, 3], [4, 5, 6], [-1, 0, 0.1]])
    assert found == 3
    torch.testing.assert_close(weight_VE[:3], before[:3])
    torch.testing.assert_close(weight_VE[3:], wanted * (before.std() / wanted.std()))


def test_a_compressed_file_and_words_that_the_model_does_not_know(tmp_path):
    weight_VE, before, found = filled(tmp_path, gzip.compress(GLOVE.encode()), known=4, name="vectors.txt.gz")
    assert (found, len(weight_VE)) == (1, 4)
    torch.testing.assert_close(weight_VE[:3], before[:3])


def test_nothing_found_changes_nothing(tmp_path):
    weight_VE, before, found = filled(tmp_path, "dog 1 2 3\n")
    assert found == 0
    torch.testing.assert_close(weight_VE, before)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat 1 2 3\ncat 1 2\n", r"vectors\.txt:2: 2 numbers; a word and 3 numbers \(model\.embedding_size\)"),
        ("cat 1 x 3\n", r"vectors\.txt:1: .*x.*; numbers"),
        ("the 1 nan 3\n", r"vectors\.txt:1: a number that is not finite"),
    ],
)
def test_lines_that_are_no_vectors(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        filled(tmp_path, text)


def test_another_file_than_the_block_names(tmp_path):
    named = write(tmp_path, GLOVE)
    (tmp_path / "vectors.txt").write_text(GLOVE + "fox 1 2 3\n")
    with pytest.raises(DataError, match=rf"sha256 [0-9a-f]{{64}}; {named.sha256} \(model\.vectors\.sha256\)"):
        word_vectors.fill(torch.zeros(6, 3), WORDS, named, tmp_path)
    with pytest.raises(DataError, match="none.txt: cannot be read"):
        word_vectors.fill(torch.zeros(6, 3), WORDS, Vectors(path="none.txt", sha256="0"), tmp_path)
