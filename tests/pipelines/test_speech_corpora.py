"""Layouts of speech corpora: which recordings, transcripts and splits they give, and what is amiss in them."""

from pathlib import Path

from pipelines.parsers.speech_corpora import Entry, Flaw, entries


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"RIFF")


def told(folder: Path, own: dict[str, Path] | None = None) -> tuple[list[tuple[str, str, str | None]], list[Flaw]]:
    found = list(entries(folder, own))
    good = [(e.path.relative_to(folder).as_posix(), e.transcript, e.split) for e in found if isinstance(e, Entry)]
    return good, [flaw for flaw in found if isinstance(flaw, Flaw)]


def test_an_index_for_each_split(tmp_path: Path) -> None:
    files(tmp_path, "a.wav", "b.wav", "more/c.wav")
    for split, line in (("train", "a.wav\tone two\n\n"), ("validation", "b.wav\tü"), ("test", "more/c.wav\t\r\n")):
        (tmp_path / f"{split}.tsv").write_text(line, encoding="utf-8")
    assert told(tmp_path) == (
        [("a.wav", "one two", "train"), ("b.wav", "ü", "validation"), ("more/c.wav", "", "test")],
        [],
    )
    own = {split: tmp_path / f"{split}.tsv" for split in ("train", "validation", "test")}
    assert told(tmp_path, own) == told(tmp_path)


def test_one_index_is_split_by_hash(tmp_path: Path) -> None:
    files(tmp_path, "wav/a.wav")
    (tmp_path / "all.tsv").write_text("wav/a.wav\tone\n")
    assert told(tmp_path) == ([("wav/a.wav", "one", None)], [])


def test_flaws_of_an_index(tmp_path: Path) -> None:
    files(tmp_path, "a.wav", "b.wav")
    (tmp_path / "train.tsv").write_text("a.wav\tone\na.wav\ttwo\nc.wav\n../d.wav\tthree\ngone.wav\tfour\n")
    (tmp_path / "validation.tsv").write_text("")
    good, flaws = told(tmp_path)
    # A transcript without its file is an entry still: whoever reads the file finds that there is none.
    assert good == [("a.wav", "one", "train"), ("gone.wav", "four", "train")]
    assert [(flaw.where, flaw.found) for flaw in flaws] == [
        ("train.tsv:2", "a.wav once more"),
        ("train.tsv:3", "1 columns"),
        ("train.tsv:4", "the file ../d.wav"),
        ("test.tsv", "no such file"),
        ("b.wav", "a recording without transcript"),
    ]


def test_spoken_digits_by_their_names(tmp_path: Path) -> None:
    files(
        tmp_path, *(f"recordings/{name}.wav" for name in ("7_jackson_0", "7_jackson_4", "0_theo_5", "3_theo_10", "x"))
    )
    good, flaws = told(tmp_path)
    assert [(transcript, split) for _, transcript, split in good] == [
        ("0", "validation"),
        ("3", "train"),
        ("7", "test"),
        ("7", "test"),
    ]
    assert [(flaw.where, flaw.found) for flaw in flaws] == [("recordings/x.wav", "another name")]


def an4(folder: Path, half: str, ids: list[str], lines: list[str]) -> None:
    (folder / "etc").mkdir(exist_ok=True)
    (folder / f"etc/an4_{half}.fileids").write_text("".join(f"{key}\n" for key in ids))
    (folder / f"etc/an4_{half}.transcription").write_text("".join(f"{line}\n" for line in lines))
    files(folder, *(f"wav/{key}.wav" for key in ids))


def test_an4_holds_training_speakers_out(tmp_path: Path) -> None:
    speakers = [f"m{n:02d}" for n in range(12)]
    ids = [f"an4_clstk/{speaker}/{key}-{speaker}-b" for speaker in speakers for key in ("an1", "cen2")]
    lines = [f"<s> YES {n} </s> ({key.rpartition('/')[2]})" for n, key in enumerate(ids)]
    an4(tmp_path, "train", ids, lines)
    an4(tmp_path, "test", ["an4test_clstk/fcaw/an3-fcaw-b"], ["RUBOUT G M (an3-fcaw-b)"])
    good, flaws = told(tmp_path)
    assert flaws == []
    by_split = {split: [text.strip() for _, text, found in good if found == split] for split in ("validation", "test")}
    assert by_split == {"validation": ["YES 0", "YES 1", "YES 18", "YES 19"], "test": ["RUBOUT G M"]}
    assert len(good) == 25


def test_flaws_of_an4(tmp_path: Path) -> None:
    an4(tmp_path, "train", ["a/m1/k1-m1-b", "a/m2/k2-m2-b"], ["<s> YES </s> (k1-m1-b)", "<s> NO </s> (k3-m2-b)"])
    an4(tmp_path, "test", ["t/f/k4-f-b"], [])
    files(tmp_path, "wav/a/m1/stray.wav")
    good, flaws = told(tmp_path)
    assert [transcript.strip() for _, transcript, _ in good] == ["YES"]
    assert [(flaw.where, flaw.found) for flaw in flaws] == [
        ("etc/an4_train.transcription:2", "the line '<s> NO </s> (k3-m2-b)'"),
        ("etc/an4_test.transcription", "0 lines"),
        ("wav/a/m1/stray.wav", "a recording without transcript"),
        ("wav/a/m2/k2-m2-b.wav", "a recording without transcript"),
        ("wav/t/f/k4-f-b.wav", "a recording without transcript"),
    ]
