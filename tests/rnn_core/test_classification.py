"""The classifier: packed sequences as each alone, hidden steps, both sorts of input, every cell."""

import numpy as np
import pytest
import torch

from rnn_core import arrow, networks
from rnn_core.cells import CELLS
from rnn_core.errors import ConfigError
from rnn_core.lanes import Windows
from rnn_core.models import classification
from rnn_core.models.classification import Config, Sizes
from rnn_core.readouts import READ_OUTS, sequences

WIDTH, CLASSES = 3, 4
LENGTHS = [4, 1, 7, 3, 5, 2]
PLAIN = {"cell": "gru", "hidden_size": 5, "num_layers": 1, "input_dropout": 0.0, "dropout": 0.0}
PLAIN |= {"embedding_size": 6, "bidirectional": True, "read_out": "last", "step_dropout": 0.0}
SIZES = {"tokens": Sizes(input="tokens", size=9, classes=CLASSES)}
SIZES["features"] = Sizes(input="features", size=WIDTH, classes=CLASSES)


def rows_of(sort):
    random = np.random.default_rng(0)
    empty = {"tokens": [], "features": []}
    made = []
    for number, length in enumerate(LENGTHS):
        shape = length if sort == "tokens" else (length, WIDTH)
        values = random.integers(1, 12, shape) if sort == "tokens" else random.standard_normal(shape, np.float32)
        made.append({**empty, sort: values, "steps": length, "label": number % CLASSES})
    return made


def windows_of(rows, lanes=3, window=8, seed=None):
    columns = arrow.from_rows(rows, "classification")
    filling = classification.filling(columns, lanes=lanes, window=window, seed=seed, carries=False)
    return Windows(filling=filling, assemble=classification.assemble(columns), lanes=slice(0, lanes), seed=seed)


def network(sort, **changes):
    torch.manual_seed(0)
    return networks.network("classification", Config(**PLAIN | changes), SIZES[sort]).double()


def logits_by_row(made, windows):
    found = {}
    for number in range(windows.per_epoch):
        window = windows(number)
        hidden_TBH, _ = made(window, ())
        rows = sequences(window.starts_TB, window.valid_TB).at_first(window.fields["row_TB"]).tolist()
        found |= dict(zip(rows, made.head.predict(window, hidden_TBH), strict=True))
    return torch.stack([found[row] for row in range(len(LENGTHS))])


@pytest.mark.parametrize("sort", SIZES)
@pytest.mark.parametrize("read_out", READ_OUTS)
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_a_packed_sequence_is_classified_as_alone(cell, read_out, sort):
    made = network(sort, cell=cell, read_out=read_out).eval()
    rows = rows_of(sort)
    together = logits_by_row(made, windows_of(rows))
    alone = [made.head.predict(w, made(w, ())[0])[0] for row in rows for w in [windows_of([row], lanes=1)(0)]]
    torch.testing.assert_close(together, torch.stack(alone))


@pytest.mark.parametrize("sort", SIZES)
def test_the_loss_counts_sequences_and_reaches_all_weights(sort):
    made, windows = network(sort, num_layers=2), windows_of(rows_of(sort), seed=1)
    count = 0
    for number in range(windows.per_epoch):
        window = windows(number)
        loss, counted = made.loss(window, made(window, ())[0])
        loss.backward()
        count += counted
    assert count == len(LENGTHS)
    assert all(p.grad is not None and p.grad.any() for p in made.parameters())


@pytest.mark.parametrize("sort", SIZES)
def test_hidden_steps_are_drawn_by_lane_and_update_and_only_in_training(sort):
    made, windows = network(sort, step_dropout=0.5), windows_of(rows_of(sort), seed=1)
    window = windows(0)
    hidden_TB = window.draws.uniform(classification.STEP_MASK, len(window.valid_TB)).t() < 0.5
    field = "tokens_TB" if sort == "tokens" else "features_TBD"
    nothing = classification.UNKNOWN if sort == "tokens" else 0.0
    mask_TB = hidden_TB & window.valid_TB
    by_hand = window.fields[field].masked_fill(mask_TB if sort == "tokens" else mask_TB[:, :, None], nothing)
    replaced = type(window)(**{**vars(window), "fields": {**window.fields, field: by_hand}})
    torch.testing.assert_close(made(window, ())[0], made.eval()(replaced, ())[0])
    assert not torch.equal(made(window, ())[0], made(replaced, ())[0])


def test_tokens_that_the_model_does_not_know_are_one():
    made = network("tokens").eval()
    rows = rows_of("tokens")
    known = [{**row, "tokens": np.where(row["tokens"] >= 9, classification.UNKNOWN, row["tokens"])} for row in rows]
    torch.testing.assert_close(logits_by_row(made, windows_of(rows)), logits_by_row(made, windows_of(known)))


def test_smoothing_is_of_training_only():
    made, window = network("tokens", smoothing=0.3), windows_of(rows_of("tokens"))(0)
    hidden_TBH, _ = made(window, ())
    logp_NV = made.head.predict(window, hidden_TBH).log_softmax(1)
    labels_N = sequences(window.starts_TB, window.valid_TB).at_first(window.fields["label_TB"])
    right = -logp_NV.gather(1, labels_N[:, None]).sum()
    torch.testing.assert_close(made.loss(window, hidden_TBH)[0], 0.7 * right - 0.3 * logp_NV.mean(1).sum())
    torch.testing.assert_close(made.eval().loss(window, hidden_TBH)[0], right)


def test_settings_that_do_not_fit():
    with pytest.raises(ConfigError, match=r"train\.carry: found true"):
        classification.filling(
            arrow.from_rows(rows_of("tokens"), "classification"), lanes=1, window=9, seed=None, carries=True
        )
    with pytest.raises(ConfigError, match=r"model\.embedding_size: found null"):
        network("tokens", embedding_size=None)
    assert network("features", embedding_size=None).model.encoder.output_size == WIDTH
    with pytest.raises(ConfigError, match=r"model\.step_dropout"):
        Config(**PLAIN | {"step_dropout": 1.0})
