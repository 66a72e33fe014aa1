"""The task `speech_recognition`: from wav files and transcripts to rows, scores, tables and answers; bad records."""

import dataclasses
import io
import json
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch

from pipelines import tasks
from pipelines.tasks import BadRecord, Item, Where
from rnn_core import arrow, networks
from rnn_core.config import from_mapping
from rnn_core.errors import ConfigError, DataError
from rnn_core.lanes import Windows
from rnn_core.models import recognition

SPEECH = tasks.load("speech_recognition")
FRONT = {"rate": 8000, "window_ms": 25, "hop_ms": 10, "bands": 8, "low_hz": 50, "high_hz": 4000}
SETTINGS = {
    "front_end": FRONT,
    "stack": 2,
    "skip": 2,
    "normalise": "global",
    "alphabet": "ab c",
    "max_seconds": 2.0,
    "beam": 4,
    "language_model": None,
}
DATA = from_mapping(SPEECH.Data, SETTINGS, "data")


def sound(seconds: float = 0.4, seed: int = 0, rate: int = 8000, channels: int = 1) -> bytes:
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, (round(seconds * rate), channels))
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def read(tmp_path, content: bytes, transcript: str, data=DATA):
    path = tmp_path / "u.wav"
    path.write_bytes(content)
    item = Item("u.wav", (path,), "train", {"transcript": transcript})
    return next(SPEECH.read(item, Where("u.wav", 1, True, True), data))


def utterances(tmp_path, transcripts=("ab", "c", "a b", "ca")):
    return [read(tmp_path, sound(0.3 + 0.1 * n, n), text) for n, text in enumerate(transcripts)]


def sidecar_of(examples, data=DATA):
    return json.loads(json.dumps(SPEECH.sidecar(SPEECH.count(examples), data)))


def network_of(sidecar) -> networks.Network:
    torch.manual_seed(1)
    options = {"hidden_size": 6, "num_layers": 1, "input_dropout": 0.0, "dropout": 0.0}
    config = recognition.Config(cell="gru", bidirectional=True, augment=None, **options)
    network = networks.network("recognition", config, SPEECH.sizes(config, sidecar)).eval()
    network.head.weight.data *= 30
    return network


def windows_of(columns) -> Windows:
    filling = recognition.filling(columns, lanes=2, window=64, seed=None, carries=False)
    return Windows(filling=filling, assemble=recognition.assemble(columns), lanes=slice(0, 2))


def test_an_utterance_and_its_row(tmp_path) -> None:
    utterance = read(tmp_path, sound(), "  ab \t c ")
    assert utterance.transcript == "ab c"
    assert utterance.frames_TM.shape == (38, 8)
    row = SPEECH.encoder(sidecar_of([utterance]))(utterance)
    assert (row["steps"], row["features"].shape) == (19, (19, 16))
    assert row["labels"].tolist() == [1, 2, 3, 4]
    normal_TM = row["features"].reshape(-1, 8)
    np.testing.assert_allclose(normal_TM.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(normal_TM.std(0), 1, atol=1e-3)


def test_global_statistics_are_those_of_all_frames_in_any_order(tmp_path) -> None:
    some = utterances(tmp_path)
    whole = SPEECH.count(some)
    parts = tasks.merge(SPEECH.count(some[2:]), SPEECH.count(some[:2]))
    assert whole == parts
    frames_TM = np.concatenate([utterance.frames_TM for utterance in some]).astype(float)
    sidecar = sidecar_of(some)
    np.testing.assert_allclose(sidecar["mean"], frames_TM.mean(0), atol=1e-5)
    np.testing.assert_allclose(sidecar["deviation"], frames_TM.std(0), atol=1e-4)


def test_normalised_by_utterance_loudness_does_not_count(tmp_path) -> None:
    sidecar = sidecar_of(utterances(tmp_path), dataclasses.replace(DATA, normalise="utterance"))
    utterance = read(tmp_path, sound(), "a")
    louder = dataclasses.replace(utterance, frames_TM=utterance.frames_TM + 3)
    encode = SPEECH.encoder(sidecar)
    np.testing.assert_allclose(encode(utterance)["features"], encode(louder)["features"], atol=1e-5)


@pytest.mark.parametrize(
    ("content", "transcript", "found"),
    [
        (b"no wav", "a", "no sound file"),
        (sound(0.0), "a", "no samples"),
        (sound(0.02), "a", "0.020 seconds"),
        (sound(2.5), "a", "2.50 seconds"),
        (sound(), "", "an empty transcript"),
        (sound(), "a Bé", "the characters 'Bé' in 'a Bé'"),
        (sound(0.07), "aab", "2 steps for the 3 characters of 'aab'"),
    ],
)
def test_bad_records_are_named(tmp_path, content: bytes, transcript: str, found: str) -> None:
    bad = read(tmp_path, content, transcript)
    assert isinstance(bad, BadRecord)
    assert (bad.where, bad.split) == ("u.wav", "train")
    assert bad.found.startswith(found)


def test_what_was_converted_is_counted(tmp_path) -> None:
    some = [read(tmp_path, sound(rate=16000), "a"), read(tmp_path, sound(channels=2, rate=16000), "b")]
    changes = sidecar_of(some)["changes"]
    assert changes == {"resampled from 16000 Hz": 2, "mixed down from 2 channels": 1}


def test_scores_add_up_over_parts_of_the_data(tmp_path) -> None:
    some = utterances(tmp_path)
    sidecar = sidecar_of(some)
    encode, network = SPEECH.encoder(sidecar), network_of(sidecar)
    rows = [encode(utterance) for utterance in some]
    columns = arrow.from_rows(rows, SPEECH.KIND)
    whole = SPEECH.measure(network, windows_of(columns), sidecar)
    parts = [
        SPEECH.measure(network, windows_of(arrow.from_rows(part, SPEECH.KIND)), sidecar)
        for part in (rows[:1], rows[1:])
    ]
    for name, total in whole.items():
        torch.testing.assert_close(total, parts[0][name] + parts[1][name])
    scores = SPEECH.metrics(whole, sidecar)
    assert set(SPEECH.METRICS) < set(scores)
    texts = [answer["text"] for answer in SPEECH.answers(network, [sound(0.3 + 0.1 * n, n) for n in range(4)], sidecar)]
    assert scores["accuracy"] == 25 * sum(t == u.transcript for t, u in zip(texts, some, strict=True))
    matrix = SPEECH.tables(whole, sidecar)["confusion"]
    assert matrix.names == ["<blank>", "a", "b", "<space>", "c", "<none>"]
    assert float(matrix.counts_VV[:5].sum()) == sum(len(utterance.transcript) for utterance in some)
    shown = SPEECH.analysis(network, windows_of(columns), columns, sidecar)
    assert len(shown["worst"]) == sum(t != u.transcript for t, u in zip(texts, some, strict=True))
    assert shown["alignment_first"].rows == ["a", "b", "<blank>"]
    assert shown["alignment_first"].values_RC.shape == (3, columns.steps()[0])


def test_answers_to_any_wav(tmp_path) -> None:
    sidecar = sidecar_of(utterances(tmp_path))
    network = network_of(sidecar)
    plain, stereo = SPEECH.answers(network, [sound(), sound(0.6, 2, 16000, 2)], sidecar)
    assert json.loads(json.dumps(stereo))["changes"] == ["mixed down from 2 channels", "resampled from 16000 Hz"]
    assert [word["word"] for word in plain["words"]] == plain["text"].split()
    for word in plain["words"]:
        assert 0 <= word["begin"] < word["end"] <= 0.4
    assert SPEECH.answers(network, [], sidecar) == []
    with pytest.raises(DataError, match="input: no sound file"):
        SPEECH.answers(network, [b"text"], sidecar)


def test_nearest_template_knows_what_it_has_heard(tmp_path) -> None:
    some = utterances(tmp_path)
    sidecar = sidecar_of(some)
    rows = [SPEECH.encoder(sidecar)(utterance) for utterance in some]
    columns = arrow.from_rows(rows, SPEECH.KIND)
    (simple,) = SPEECH.simple({"train": columns, "validation": columns, "test": columns}, sidecar).values()
    assert simple.scores == {"word_error_rate": 0, "character_error_rate": 0, "accuracy": 100}
    assert simple.chosen == "the nearest of 4 whole utterances"


def test_one_length_in_training_is_the_length_of_answers(tmp_path) -> None:
    log_p_TV = np.log([[0.6, 0.2, 0.1, 0.05, 0.05]] * 3)
    assert SPEECH.decoder(sidecar_of(utterances(tmp_path, ("a", "b"))))(log_p_TV) == [1]
    assert SPEECH.decoder(sidecar_of(utterances(tmp_path, ("ab", "b"))))(log_p_TV) in ([], [1])
    none = dataclasses.replace(DATA, beam=None)
    assert SPEECH.decoder(sidecar_of(utterances(tmp_path, ("a",)), none))(log_p_TV) == []


def test_a_counted_language_model(tmp_path) -> None:
    told = {**SETTINGS, "language_model": {"order": 3, "weight": 2.0, "bonus": 0.0}}
    sidecar = sidecar_of(utterances(tmp_path, ("ab",) * 5 + ("a",)), from_mapping(SPEECH.Data, told, "data"))
    assert Counter(sidecar["grams"])["ab"] == 5
    p_TV = np.array([[0.05, 0.8, 0.05, 0.05, 0.05], [0.02, 0.02, 0.44, 0.06, 0.46]])
    assert SPEECH.decoder(sidecar)(np.log(p_TV)) == [1, 2]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"alphabet": "aa"}, "data.alphabet"),
        ({"stack": 0}, "data.stack"),
        ({"beam": None, "language_model": {"order": 3, "weight": 1.0, "bonus": 0.0}}, "data.language_model"),
        ({"front_end": {**FRONT, "high_hz": 5000}}, "data.front_end"),
    ],
)
def test_settings_that_cannot_be(change: dict, where: str) -> None:
    with pytest.raises(ConfigError, match=where):
        from_mapping(SPEECH.Data, {**SETTINGS, **change}, "data")
