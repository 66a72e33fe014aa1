"""The kind `recognition`: whole utterances packed, their fields, no leak between them, a loss that falls."""

import numpy as np
import pytest
import torch

from rnn_core import arrow, bptt, networks, optim
from rnn_core.errors import ConfigError
from rnn_core.lanes import Windows
from rnn_core.models import recognition
from rnn_core.readouts import sequences
from rnn_core.speech.augmentation import SpecAugment

LENGTHS = [5, 9, 3, 7, 4, 6]
LABELS = [[1, 2], [3], [], [2, 2, 1], [1], [3, 1]]
LANES, WINDOW, D = 2, 12, 4
AUGMENT = SpecAugment(
    time_masks=1, time_share=0.3, time_steps=3, band_masks=1, band_width=1, time_warp=0.2, band_warp=0.2
)


def columns(seed: int = 0) -> arrow.Columns:
    random = np.random.default_rng(seed)
    rows = [
        {"features": random.normal(size=(length, D)), "steps": length, "labels": labels}
        for length, labels in zip(LENGTHS, LABELS, strict=True)
    ]
    return arrow.from_rows(rows, "recognition")


def windows_of(data: arrow.Columns, seed: int | None = None) -> Windows:
    filling = recognition.filling(data, lanes=LANES, window=WINDOW, seed=seed, carries=False)
    return Windows(filling=filling, assemble=recognition.assemble(data), lanes=slice(0, LANES), seed=seed)


def network_of(bidirectional: bool, augment: SpecAugment | None = None) -> networks.Network:
    torch.manual_seed(2)
    options = {"hidden_size": 5, "num_layers": 2, "input_dropout": 0.0, "dropout": 0.0}
    config = recognition.Config(cell="gru", bidirectional=bidirectional, augment=augment, **options)
    return networks.network("recognition", config, recognition.Sizes(bands=2, stack=2, classes=4)).double()


def test_fields_are_those_of_the_utterances() -> None:
    data, met = columns(), []
    windows = windows_of(data, seed=3)
    for number in range(windows.per_epoch):
        window = windows(number)
        fields, where = window.fields, sequences(window.starts_TB, window.valid_TB)
        rows_N = where.at_first(fields["row_TB"])
        for row, first, length in zip(rows_N.tolist(), where.first_N.tolist(), where.lengths_N.tolist(), strict=True):
            example, (lane, step) = int(fields["examples_N"][row]), divmod(first, WINDOW)
            met.append(example)
            assert length == LENGTHS[example] == int(fields["lengths_N"][row])
            assert fields["labels_NL"][row, : fields["label_counts_N"][row]].tolist() == LABELS[example]
            span = slice(step, step + length)
            assert fields["step_TB"][span, lane].tolist() == list(range(length))
            assert (fields["row_TB"][span, lane] == row).all()
            frames_TD = torch.tensor(data["features"][example].reshape(-1, D))
            assert torch.equal(fields["frames_TBD"][span, lane], frames_TD)
        assert (fields["frames_TBD"][~window.valid_TB] == 0).all()
    assert sorted(met) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("bidirectional", [True, False])
def test_an_utterance_is_heard_alone(bidirectional: bool) -> None:
    data, network = columns(), network_of(bidirectional)
    alone = {}
    for window, hidden_TBH in bptt.read(network, windows_of(data), network.initial_carry(LANES)):
        rows_N = sequences(window.starts_TB, window.valid_TB).at_first(window.fields["row_TB"])
        for row, log_p_TV in zip(rows_N.tolist(), network.head.predict(window, hidden_TBH), strict=True):
            alone[int(window.fields["examples_N"][row])] = log_p_TV
    for example, length in enumerate(LENGTHS):
        frames_TBD = torch.tensor(data["features"][example].reshape(-1, 1, D)).double()
        starts_TB = torch.arange(length)[:, None] == 0
        with torch.no_grad():
            hidden_TBH, _ = network.model.stack(frames_TBD, starts_TB, network.initial_carry(1), None)
            log_p_TV = (hidden_TBH[:, 0] @ network.head.weight.T + network.head.bias).log_softmax(1)
        torch.testing.assert_close(alone[example], log_p_TV)


def test_training_learns_them_by_heart_and_draws_by_example() -> None:
    network = network_of(True, AUGMENT)
    optimizer = optim.optimizer(optim.OptimizerConfig(name="adamw", rate=0.02), network.parameters())
    state = bptt.TrainState(network=network, optimizer=optimizer, carry=network.initial_carry(LANES))
    windows = windows_of(columns(), seed=1)
    steps = bptt.fit(state, windows, rate=lambda update: 0.02, clip=1.0)
    losses = [next(steps).loss for _ in range(120)]
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:10])


def test_other_lanes_of_a_worker_draw_the_same() -> None:
    network, windows = network_of(True, AUGMENT).train(), windows_of(columns(), seed=1)
    halves = [
        Windows(filling=windows.filling, assemble=windows.assemble, lanes=slice(i, i + 1), seed=1) for i in (0, 1)
    ]
    for number in range(3):
        whole = network.loss(windows(number), network(windows(number), ())[0])
        parts = [network.loss(half(number), network(half(number), ())[0]) for half in halves]
        torch.testing.assert_close(whole[0], parts[0][0] + parts[1][0])
        assert whole[1] == parts[0][1] + parts[1][1]


def test_a_carry_between_windows_is_refused() -> None:
    with pytest.raises(ConfigError, match="train.carry: found true; CTC needs whole utterances"):
        recognition.filling(columns(), lanes=2, window=12, seed=None, carries=True)
