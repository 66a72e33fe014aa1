"""What is told of an example is what the network's own loss is made of, for every head; and how it is judged so far."""

import itertools

import numpy as np
import pytest
import torch

from rnn_core import networks
from rnn_core.inspect import ahead, examples, while_read
from rnn_core.inspect.told import TELLERS
from tests.rnn_core import forecasting_data as series
from tests.rnn_core import test_captioning as captions
from tests.rnn_core import test_classification as classes
from tests.rnn_core import test_recognition as speech
from tests.rnn_core import test_transduction as pairs
from tests.rnn_core.small_tagger import sentences, tagger

IMAGES = [[[2, 3, 4], [5]], [[6, 7]], [[3, 3, 3, 3]]]
LEVELS = (0.1, 0.5, 0.9)


def crf_tagger():
    made = tagger("gru").double()
    torch.manual_seed(3)
    head = networks.CrfHead(made.model.output_size, 4).double()
    torch.nn.init.normal_(head.between)
    return networks.Network(made.model, head)


def forecasts(head, **options):
    columns = series.series_of([14, 9, 11])
    carries = options.pop("carries")
    windows = series.windows_of(columns, lanes=1, window=5, carries=carries)
    return series.network_of(head, **options).double(), windows


def quiet(windows):
    return type(windows)(filling=windows.filling, assemble=windows.assemble, lanes=windows.lanes)


def made():
    """A network of each head with its windows, and what one of its losses is of."""
    tagged = sentences(6, 2, 4, 8)
    return {
        "sequence": (classes.network("tokens"), classes.windows_of(classes.rows_of("tokens")), "sequence"),
        "ctc": (speech.network_of(True), speech.windows_of(speech.columns()), "label"),
        "crf": (crf_tagger(), lambda number: tagged, "marginal"),
        "captions": (captions.network(), captions.windows_of(captions.columns_of(IMAGES)), "step"),
        "pairs": (pairs.network_of(), quiet(pairs.windows_of(pairs.columns_of(9))), "step"),
        "student_t": (*forecasts("student_t", output="direct", carries=True), "step"),
        "quantile": (*forecasts("quantile", carries=True), "step"),
        "paths": (
            *forecasts("negative_binomial", output="paths", scaling={"scale": "global", "level": 1, "season": 0},
                       carries=True),
            "step",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", made())
def test_the_losses_of_all_examples_make_up_the_loss_of_the_windows(name):
    network, windows, of = made()[name]
    network.eval()
    count = getattr(windows, "per_epoch", 1)
    found = examples(network, windows, count)
    assert [e.loss for e in found] == sorted(e.loss for e in found)
    total, steps, carry = 0.0, 0, network.initial_carry(windows(0).starts_TB.shape[1])
    with torch.no_grad():
        for number in range(count):
            hidden, carry = network(windows(number), carry)
            loss, counted = network.loss(windows(number), hidden)
            total, steps = total + float(loss), steps + counted
    if of == "marginal":
        # The tags of a sentence together are less probable than each by itself.
        assert 0 < sum(e.losses_T.sum() for e in found) < total
        return
    weights = {
        "sequence": lambda e: 1,
        "label": lambda e: max(1, sum(1 for label, _ in itertools.groupby(e.right_T) if label)),
        "step": lambda e: int((~np.isnan(e.losses_T)).sum()),
    }[of]
    assert sum(e.loss * weights(e) for e in found) == pytest.approx(total, rel=1e-5)


def test_each_head_there_is_can_be_told_of():
    assert {name for name in vars(networks) if name.endswith("Head")} == set(TELLERS)


def test_the_path_of_a_string_says_it_and_its_steps_cost_at_least_the_string():
    network, windows, _ = made()["ctc"]
    for example in examples(network, windows, windows.per_epoch):
        window = windows(example.window)
        row = int(window.fields["row_TB"][example.steps.start, example.lane])
        labels = window.fields["labels_NL"][row, : window.fields["label_counts_N"][row]].tolist()
        assert [label for label, _ in itertools.groupby(example.right_T.tolist()) if label] == labels
        assert example.losses_T.sum() >= example.loss * max(1, len(labels)) - 1e-9


@pytest.mark.parametrize("read_out", ["last", "mean", "max"])
def test_a_sequence_is_judged_after_each_step_as_if_it_ended_there(read_out):
    network, rows = classes.network("tokens", read_out=read_out), classes.rows_of("tokens")
    windows = classes.windows_of(rows)
    (example,) = (e for e in examples(network, windows, windows.per_epoch) if e.num_steps == 7)
    window = windows(example.window)
    row = rows[int(window.fields["row_TB"][example.steps.start, example.lane])]
    so_far = while_read(network, window, example, 5)
    assert (so_far.num_steps, so_far.loss) == (5, example.loss)
    for steps in range(1, 6):
        cut = classes.windows_of([{**row, "tokens": row["tokens"][:steps], "steps": steps}], lanes=1)
        (alone,) = examples(network, cut, 1)
        assert so_far.losses_T[steps - 1] == pytest.approx(alone.loss, rel=1e-9)
        assert so_far.answered_T[steps - 1] == alone.answered_T[0]
    assert while_read(network, window, example, 99).losses_T[-1] == pytest.approx(example.loss, rel=1e-9)
    assert network.training


@pytest.mark.parametrize("name", ["student_t", "quantile", "paths"])
def test_what_is_foretold_of_the_next_value_is_what_the_head_says(name):
    network, windows, _ = made()[name]
    example = next(e for e in examples(network, windows, windows.per_epoch) if e.window == 0)
    q_TQ = ahead(network, windows(0), network.initial_carry(1), example, LEVELS)
    assert q_TQ.shape == (example.num_steps, 3)
    assert (np.diff(q_TQ, axis=1) >= 0).all()
    if name == "quantile":
        network.eval()
        hidden_TBH, _ = network(windows(0), network.initial_carry(1))
        base_TBS, scale_TB, _ = network.head.scaling.placed(windows(0).fields, hidden_TBH)
        z_TK = network.head.parameters_of(hidden_TBH)[:, 0, 0].sort(-1).values
        expected = (base_TBS[:, 0, :1] + scale_TB * z_TK).detach().numpy()
        np.testing.assert_allclose(q_TQ, expected[example.steps], rtol=1e-6)
