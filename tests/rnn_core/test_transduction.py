"""Many to many: windows of pairs, networks that see whole sources and no future, a search through a network."""

import dataclasses

import numpy as np
import pytest
import torch

from rnn_core import arrow, bptt, decoding, networks, optim
from rnn_core.attention import AttentionConfig
from rnn_core.decoding import SearchConfig
from rnn_core.errors import ConfigError
from rnn_core.lanes import Windows
from rnn_core.models import transduction
from rnn_core.models.transduction import BEGIN, END, PADDING, Config, EncoderConfig, Sizes

VOCABULARY, LANES = 12, 4
GREEDY = SearchConfig(width=1, length_penalty=0.0, coverage_penalty=0.0)
CONFIG = Config(
    cell="gru",
    embedding_size=16,
    hidden_size=24,
    num_layers=1,
    input_dropout=0.0,
    dropout=0.0,
    encoder=EncoderConfig(hidden_size=12, num_layers=1),
    attention=AttentionConfig(score="multiplicative"),
    feeding="none",
    tie="all",
    word_dropout=0.0,
    label_smoothing=0.0,
    search=GREEDY,
)


def columns_of(count=50, seed=0):
    """Pairs to reverse: the target is the source backwards."""
    rng = np.random.default_rng(seed)
    sources = [rng.integers(3, VOCABULARY, rng.integers(1, 6)) for _ in range(count)]
    rows = [{"target": np.append(s[::-1], END), "source": np.append(s, END)} for s in sources]
    return arrow.from_rows(rows, "transduction")


def windows_of(columns, lanes=LANES, seed=4):
    filling = transduction.filling(columns, lanes=lanes, window=9, seed=seed, carries=False)
    return Windows(filling=filling, assemble=transduction.assemble(columns), lanes=slice(0, lanes), seed=seed)


def network_of(**options):
    torch.manual_seed(1)
    config = dataclasses.replace(CONFIG, **options)
    return networks.network("transduction", config, Sizes(vocabulary=VOCABULARY)).double()


def test_windows_have_a_source_beside_each_target():
    columns, seen = columns_of(), []
    windows = windows_of(columns)
    for step in range(windows.per_epoch):
        window = windows(step)
        fields, valid_TB, valid_SB = window.fields, window.valid_TB, window.fields["source_valid_SB"]
        assert (fields["tokens_TB"][0] == BEGIN).all()
        for lane in valid_TB[0].nonzero().squeeze(1).tolist():
            target = fields["targets_TB"][valid_TB[:, lane], lane].tolist()
            source = fields["source_SB"][valid_SB[:, lane], lane].tolist()
            assert source == [*target[-2::-1], END]
            assert fields["tokens_TB"][valid_TB[:, lane], lane].tolist() == [BEGIN, *target[:-1]]
            seen.append(source)
        assert (fields["source_SB"][~valid_SB] == PADDING).all()
        marks_SB = fields["source_starts_SB"]
        assert marks_SB[0].all()
        assert torch.equal(marks_SB[1:], ~valid_SB[1:] & valid_SB[:-1])
    assert sorted(seen) == sorted(row.tolist() for row in columns["source"])


@pytest.mark.parametrize("feeding", ["none", "context"])
@pytest.mark.parametrize("cell", ["gru", "lstm", "memoryless"])
def test_a_pair_is_read_the_same_whatever_stands_beside_it(cell, feeding):
    network = network_of(cell=cell, feeding=feeding).eval()
    columns = columns_of()
    together, apart = ({}, {})
    for lanes, found in ((LANES, together), (1, apart)):
        for window, hidden_TBO in bptt.read(network, windows_of(columns, lanes, seed=None), ()):
            for lane in window.valid_TB[0].nonzero().squeeze(1).tolist():
                valid_T = window.valid_TB[:, lane]
                key = tuple(window.fields["targets_TB"][valid_T, lane].tolist())
                found[key] = hidden_TBO[valid_T, lane]
    assert together.keys() == apart.keys()
    for key, hidden_TO in together.items():
        torch.testing.assert_close(hidden_TO, apart[key])


@pytest.mark.parametrize("feeding", ["none", "output"])
def test_what_workers_find_adds_up_to_what_one_finds(feeding):
    """Also with all that is drawn: the draws are the lanes', not the workers'."""
    options = {"input_dropout": 0.3, "dropout": 0.3, "zoneout": 0.2, "word_dropout": 0.3, "label_smoothing": 0.1}
    columns, found = columns_of(7), []
    for slices in ([slice(0, 4)], [slice(0, 1), slice(1, 4)]):
        network, losses, counts = network_of(feeding=feeding, **options).train(), 0.0, 0
        for part in slices:
            windows = dataclasses.replace(windows_of(columns), lanes=part)
            for step in range(windows.per_epoch):
                window = windows(step)
                loss, count = network.loss(window, network(window, ())[0])
                loss.backward()
                losses, counts = losses + float(loss.detach()), counts + count
        found.append((losses, counts, [p.grad for p in network.parameters()]))
    (one_loss, one_count, one_grads), (loss, count, grads) = found
    assert (count, loss) == (one_count, pytest.approx(one_loss))
    for gradient, expected in zip(grads, one_grads, strict=True):
        torch.testing.assert_close(gradient, expected)


def trained(**options):
    """A network that has learnt to reverse short sequences."""
    network, windows = network_of(**options).float(), windows_of(columns_of(600), lanes=32)
    optimizer = optim.optimizer(optim.OptimizerConfig(name="adamw", rate=0.02), network.parameters())
    state = bptt.TrainState(network=network, optimizer=optimizer, carry=())
    for step in bptt.fit(state, windows, rate=lambda update: 0.015 * 0.99**update, clip=1.0):
        if step.update == 300:
            return network.eval()


def answers_of(network, columns, search):
    """Right answers as a share of all, by a search."""
    right = []
    for window, _ in bptt.read(network, windows_of(columns, lanes=8, seed=None), ()):
        memory = network.model.encode(window.fields)
        longest_B = torch.where(window.valid_TB[0], 9, 0)
        found = decoding.search(
            decoding.steps(network.model, network.head),
            memory,
            network.model.start(memory),
            begin=BEGIN,
            end=END,
            longest_B=longest_B,
            config=search,
        )
        for lane in window.valid_TB[0].nonzero().squeeze(1).tolist():
            target = window.fields["targets_TB"][window.valid_TB[:, lane], lane].tolist()
            right.append([*found[lane], END] == target)
    return np.mean(right)


def test_a_small_network_learns_to_reverse():
    network = trained(label_smoothing=0.05)
    columns = columns_of(100, seed=9)
    assert answers_of(network, columns, GREEDY) > 0.9
    wide = SearchConfig(width=4, length_penalty=1.0, coverage_penalty=0.1)
    assert answers_of(network, columns, wide) > 0.9
    window = windows_of(columns, lanes=8, seed=None)(5)
    weights_BTS = network.model.attended(window)
    assert weights_BTS.shape == (8, *window.valid_TB.shape[:1], *window.fields["source_SB"].shape[:1])


def test_words_are_hidden_in_training_only():
    windows = windows_of(columns_of())
    network = network_of(word_dropout=0.5)
    in_training, in_use = network.train()(windows(0), ())[0], network.eval()(windows(0), ())[0]
    assert not torch.equal(in_training, in_use)
    assert torch.equal(in_use, network_of().eval()(windows(0), ())[0])


@pytest.mark.parametrize(("tie", "matrices", "width"), [("none", 3, 24), ("target", 2, 16), ("all", 1, 16)])
def test_ties(tie, matrices, width):
    network = network_of(tie=tie)
    assert network.model.output_size == width
    shapes = [p.shape for p in network.parameters() if len(p) == VOCABULARY and p.dim() == 2]
    assert len(shapes) == matrices


def test_settings_that_do_not_fit():
    search = SearchConfig(width=2, length_penalty=0.0, coverage_penalty=0.2)
    with pytest.raises(ConfigError, match="model.search.coverage_penalty: found 0.2 without attention"):
        dataclasses.replace(CONFIG, attention=None, search=search)
    with pytest.raises(ConfigError, match="train.carry: found true; pairs are read whole: false"):
        transduction.filling(columns_of(), lanes=2, window=9, seed=None, carries=True)
    with pytest.raises(ConfigError, match="model.encoder.num_layers"):
        EncoderConfig(hidden_size=3, num_layers=0)
