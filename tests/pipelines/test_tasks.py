"""Tasks: found by name, alike in their interface; what each makes of raw text."""

import dataclasses
import json
from collections import Counter

import pytest

from pipelines import tasks
from pipelines.tasks import BadRecord, Where
from rnn_core import arrow
from rnn_core.config import from_mapping
from rnn_core.errors import ConfigError, DataError

WHOLE = Where("file.txt", 1, True, True)
LM, POS = tasks.load("language_model"), tasks.load("pos_tagging")
WORDS = LM.Data(level="word", min_count=1)
CHARACTERS = LM.Data(level="character", min_count=1)
SENTENCES = POS.Data(max_length=100, too_long="split")


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_has_the_whole_interface(name):
    task = tasks.load(name)
    wanted = [tasks.Task, tasks.SORTS[task.RAW], *([tasks.Simply] if task.SIMPLE else [])]
    for protocol in wanted:
        for member in (*protocol.__annotations__, *(m for m in vars(protocol) if not m.startswith("_"))):
            assert hasattr(task, member), member
    assert task.INPUT in ("text", "file", "table")
    assert task.KIND in arrow.SCHEMAS
    assert set(task.METRICS.values()) <= {"max", "min"}
    assert task.METRICS
    fields = dataclasses.fields(task.Data)
    assert all(field.kw_only and field.default is dataclasses.MISSING for field in fields)
    assert len(task.__doc__.splitlines()) > 2


def test_an_unknown_task_names_the_choices():
    with pytest.raises(ConfigError, match="no task `pos`; one of .*language_model, pos_tagging"):
        tasks.load("pos")


def test_counts_of_parts_are_those_of_the_whole():
    counts = tasks.merge({"w": Counter("aab")}, {"w": Counter("bc"), "v": Counter("d")})
    assert counts == {"w": Counter("aabbc"), "v": Counter("d")}
    assert tasks.by_count(Counter("bbaac")) == ["a", "b", "c"]


# language_model


def pieces(text, data=WORDS, where=WHOLE):
    return list(LM.read(text.encode(), where, data))


def test_words_and_line_ends():
    (piece,) = pieces(" a  b \n\nc\td")
    assert list(piece.tokens) == ["a", "b", "<eos>", "<eos>", "c", "d", "<eos>"]
    assert (piece.first, piece.records) == (True, 3)
    inner = Where("f", 7, False, False)
    assert [(list(p.tokens), p.first) for p in pieces("a b ", where=inner)] == [(["a", "b"], False)]


def test_characters_are_all_kept():
    (piece,) = pieces("Ab\n\n ü", CHARACTERS)
    assert list(piece.tokens) == list("Ab\n\n ü")
    assert piece.records == 3


def test_rows_are_bounded():
    rows = pieces("x" * (2 * LM.ROW_STEPS + 3), CHARACTERS)
    assert [len(row.tokens) for row in rows] == [LM.ROW_STEPS, LM.ROW_STEPS, 3]
    assert [row.first for row in rows] == [True, False, False]
    assert sum(row.records for row in rows) == 1


def test_the_row_that_begins_the_stream_is_there_without_tokens():
    bad, piece = LM.read(b"\xff\n", WHOLE, WORDS)
    assert isinstance(bad, BadRecord)
    assert (len(piece.tokens), piece.first, piece.records) == (0, True, 0)


def test_a_line_that_is_no_utf8_is_a_bad_record_and_the_others_stay():
    found = list(LM.read(b"a\nb \xe9\rc\nd\n", Where("f.txt", 10, True, True), WORDS))
    assert found[0] == BadRecord("f.txt:11", "byte 0xe9 at column 3 is no UTF-8", "UTF-8 text", "b \\xe9\rc\n")
    assert list(found[1].tokens) == ["a", "<eos>", "d", "<eos>"]


def lm_sidecar(text, data=WORDS):
    return json.loads(json.dumps(LM.sidecar(LM.count(pieces(text, data)), data)))


def test_vocabulary_by_falling_count_with_one_unknown():
    sidecar = lm_sidecar("b b a a <unk> c\n", LM.Data(level="word", min_count=2))
    assert sidecar["words"] == ["<unk>", "a", "b", "<eos>"]  # the one in the text and c
    assert sidecar["counts"] == [2, 2, 2, 1]  # an end mark is never rare
    assert (sidecar["eos"], sidecar["unk"], sidecar["level"]) == (3, 0, "word")


def test_nothing_rare_still_has_an_unknown():
    sidecar = lm_sidecar("ab\nb\n", CHARACTERS)
    assert sidecar["words"] == ["\n", "b", "a", "<unk>"]
    assert sidecar["counts"] == [2, 2, 1, 0]
    assert (sidecar["eos"], sidecar["unk"]) == (0, 3)
    assert lm_sidecar("ab", CHARACTERS)["eos"] is None


def test_encoding_words_and_characters():
    sidecar = lm_sidecar("a a b\n")
    row = LM.encoder(sidecar)(pieces("b z a\n")[0])
    assert [sidecar["words"][i] for i in row["tokens"]] == ["b", "<unk>", "a", "<eos>"]
    assert row["first"] is True
    sidecar = lm_sidecar("ab\n", CHARACTERS)
    row = LM.encoder(sidecar)(pieces("bz", CHARACTERS)[0])
    assert [sidecar["words"][i] for i in row["tokens"]] == ["b", "<unk>"]


def test_a_prefix_begins_a_line():
    assert LM.raw_example("the cat", {"level": "word"}).tokens == ["<eos>", "the", "cat"]
    assert LM.raw_example("", {"level": "word"}).tokens == ["<eos>"]
    assert LM.raw_example("the\ncat", {"level": "word"}).tokens == ["<eos>", "the", "<eos>", "cat"]
    assert LM.raw_example("ab", {"level": "character"}).tokens == "\nab"


@pytest.mark.parametrize(("key", "value"), [("min_count", 0), ("level", "syllable"), ("documents", True)])
def test_language_model_data_keys(key, value):
    with pytest.raises(ConfigError, match=key):
        from_mapping(LM.Data, {"level": "word", "min_count": 1, key: value}, "data")


# pos_tagging


def conllu(*words, first=1):
    """Lines of CoNLL-U for words given as FORM/UPOS."""
    lines = [f"{i}\t{w.rpartition('/')[0]}\t_\t{w.rpartition('/')[2]}" for i, w in enumerate(words, first)]
    return "".join(line + "\t_" * 6 + "\n" for line in lines)


def sentences(text, data=SENTENCES, where=WHOLE):
    return list(POS.read(text if isinstance(text, bytes) else text.encode(), where, data))


def test_words_and_tags():
    text = "# text = The cat\n" + conllu("The/DET", "cat/NOUN") + "\n\n" + conllu("_/SYM", "1 000/NUM")
    first, second = sentences(text)
    assert (first.words, first.tags, first.records) == (("The", "cat"), ("DET", "NOUN"), 1)
    assert second.words == ("_", "1 000")


def test_multiword_lines_empty_nodes_and_blocks_of_comments_are_skipped():
    multiword, empty = "1-2\tcannot" + "\t_" * 8 + "\n", "1.1\tsees\t_\tVERB" + "\t_" * 6 + "\n"
    text = "# only = comments\n\n" + multiword + conllu("can/AUX") + empty + conllu("not/PART", first=2) + "\n"
    (sentence,) = sentences(text)
    assert sentence.words == ("can", "not")


LINE = "1\tcat\t_\tNOUN" + "\t_" * 6


@pytest.mark.parametrize(
    ("line", "found", "allowed"),
    [
        (LINE + "\t_", "11 columns", "10, apart by tabs"),
        (LINE.replace("\t", " "), "1 columns", "10, apart by tabs"),
        ("1-2\tcats", "2 columns", "10, apart by tabs"),
        (LINE.replace("NOUN", "NN"), "UPOS 'NN'", "one of ADJ, ADP, .*, X$"),
        (LINE.replace("NOUN", "_"), "UPOS '_'", "one of ADJ"),
        (LINE.replace("1\t", "2\t"), "ID '2'", "1: words count from 1"),
        (LINE.replace("1\t", "01\t"), "ID '01'", "1: words count from 1"),
        (LINE.replace("1\t", "1-\t"), "ID '1-'", "1: words count from 1"),
        (LINE.replace("cat", ""), "an empty FORM", "column 2"),
        (LINE.replace("cat", " "), "an empty FORM", "column 2"),
        (LINE.encode().replace(b"cat", b"c\xe4t"), "byte 0xe4 at column 4 is no UTF-8", "UTF-8"),
    ],
)
def test_a_malformed_line_is_named_and_the_other_sentences_stay(line, found, allowed):
    raw = line if isinstance(line, bytes) else line.encode()
    good = conllu("a/X").encode()
    text = good + b"\n# comment\n" + raw + b"\n\n" + good
    first, bad, last = sentences(text, where=Where("dev.conllu", 100, False, False))
    assert (first.words, last.words) == (("a",), ("a",))
    assert (bad.where, bad.found) == ("dev.conllu:103", found)
    with pytest.raises(DataError, match=allowed):
        raise DataError(bad.where, bad.found, bad.allowed)
    assert bad.text.startswith("# comment\n")


def test_too_long_sentences_are_split_or_refused():
    text = "\n" + conllu("a/X", "b/NUM", "c/X", "d/X", "e/X")
    parts = sentences(text, POS.Data(max_length=2, too_long="split"))
    assert [(p.words, p.records) for p in parts] == [(("a", "b"), 1), (("c", "d"), 0), (("e",), 0)]
    assert parts[0].tags == ("X", "NUM")
    (bad,) = sentences(text, POS.Data(max_length=4, too_long="refuse"))
    assert (bad.where, bad.found) == ("file.txt:2", "a sentence of 5 words")
    assert bad.allowed == "at most 4 (data.max_length)"
    assert len(sentences(text, POS.Data(max_length=5, too_long="refuse"))[0].words) == 5


def pos_sidecar(text):
    return json.loads(json.dumps(POS.sidecar(POS.count(sentences(text)), SENTENCES)))


def test_tagging_sidecar():
    sidecar = pos_sidecar(conllu("the/DET", "<unk>/SYM", "cat/NOUN", "the/DET"))
    assert sidecar["words"] == ["<pad>", "<unk>", "the", "<unk>", "cat"]
    assert sidecar["word_counts"] == [0, 0, 2, 1, 1]
    assert sidecar["characters"][:4] == ["<pad>", "<unk>", "t", "e"]
    assert sidecar["tags"] == sorted(sidecar["tags"])
    assert len(sidecar["tags"]) == 17


def test_tagging_rows():
    sidecar = pos_sidecar(conllu("the/DET", "<unk>/SYM", "cat/NOUN", "the/DET"))
    row = POS.encoder(sidecar)(sentences(conllu("cat/NOUN", "hat/X", "<unk>/SYM"))[0])
    assert row["words"].tolist() == [4, 1, 3]  # a word that looks like the unknown one is a word
    assert [sidecar["tags"][i] for i in row["tags"]] == ["NOUN", "X", "SYM"]
    assert row["ends"].tolist() == [3, 6, 11]
    shown = [sidecar["characters"][i] for i in row["characters"]]
    assert shown == [*"cathat", "<", "u", "n", "k", ">"]
    assert POS.encoder(sidecar)(sentences(conllu("q/X"))[0])["characters"].tolist() == [1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat sat.", "The cat sat ."),
        ("Well, (he said) ...", "Well , ( he said ) ..."),
        ('("Wait..." he said)', '( " Wait ... " he said )'),
        ("in the U.S.", "in the U.S."),
        ("the U.S., too?!", "the U.S. , too ? !"),
        ("don't   stop-start 3.5 1,000", "don't stop-start 3.5 1,000"),
        (". ... '", ". ... '"),
    ],
)
def test_a_typed_sentence(text, words):
    sentence = POS.raw_example(text, {})
    assert sentence.words == tuple(words.split())
    row = POS.encoder(pos_sidecar(conllu("a/X")))(sentence)
    assert len(row["tags"]) == len(row["words"]) == len(row["ends"]) == len(sentence.words)
    arrow.from_rows([row], POS.KIND)


def test_nothing_typed():
    with pytest.raises(DataError, match="input: a text without words; at least one word"):
        POS.raw_example(" \n", {})


@pytest.mark.parametrize(("key", "value"), [("max_length", 0), ("too_long", "drop"), ("max_length", "60")])
def test_pos_tagging_data_keys(key, value):
    with pytest.raises(ConfigError, match=key):
        from_mapping(POS.Data, {"max_length": 60, "too_long": "split", key: value}, "data")
