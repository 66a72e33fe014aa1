"""Captions in lanes: what a step is about, the network of a window against one caption at a time, and training."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core import arrow, bptt, networks, optim
from rnn_core.cells import CELLS
from rnn_core.config import from_mapping
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError, DataError
from rnn_core.images.illustrated import END, UNKNOWN
from rnn_core.lanes import Windows, lane_slice
from rnn_core.models import captioning

SIDE, WORDS = 8, 12
PLAIN = {
    "cell": "lstm",
    "hidden_size": 16,
    "num_layers": 1,
    "input_dropout": 0.0,
    "dropout": 0.0,
    "embedding_size": 8,
    "encoder": {"channels": (8, 16)},
    "attention": {"score": "multiplicative"},
    "whole": "mean",
    "image_dropout": 0.0,
    "augment": None,
    "search": {"width": 1, "length_penalty": 0.0, "coverage_penalty": 0.0},
    "longest": 6,
}

captions = st.lists(st.lists(st.integers(2, WORDS - 1), min_size=1, max_size=5), min_size=1, max_size=3)
data = st.lists(captions, min_size=1, max_size=7)


def columns_of(images: list[list[list[int]]], *, features: int = 0, bright: list[int] | None = None) -> arrow.Columns:
    """Each image with its captions; noise, or of one brightness each."""
    rng = np.random.default_rng(0)
    size = SIDE * SIDE * 3
    rows = [
        {
            "tokens": [word for words in captions for word in [*words, END]],
            "ends": np.cumsum([len(words) + 1 for words in captions]),
            "texts": "\n".join(str(words) for words in captions).encode(),
            "image": rng.integers(0, 256, size, np.uint8) if bright is None else np.full(size, bright[n], np.uint8),
            "features": rng.standard_normal(features, np.float32),
        }
        for n, captions in enumerate(images)
    ]
    return arrow.from_rows(rows, "captioning")


def windows_of(columns: arrow.Columns, lanes: int = 2, window: int = 20, seed: int | None = None, rank=0, workers=1):
    filling = captioning.filling(columns, lanes=lanes, window=window, seed=seed, carries=False)
    mine = lane_slice(lanes, rank, workers)
    return Windows(filling=filling, assemble=captioning.assemble(columns), lanes=mine, seed=seed)


def network(features: int = 0, side: int = SIDE, **changes) -> networks.Network:
    torch.manual_seed(0)
    config = from_mapping(captioning.Config, PLAIN | changes, "model")
    return networks.network("captioning", config, captioning.Sizes(words=WORDS, image=side, features=features))


@settings(max_examples=30, deadline=None)
@given(data, st.integers(1, 3), st.one_of(st.none(), st.integers(0, 9)))
def test_each_step_knows_its_image_and_the_word_before(images, lanes, seed) -> None:
    """Read back from the windows: every caption of every image once, beside that image, between its marks."""
    columns = columns_of(images)
    windows = windows_of(columns, lanes, seed=seed)
    found: dict[int, list[list[int]]] = {}
    for number in range(windows.per_epoch):
        window = windows(number)
        fields = {name: field.numpy() for name, field in window.fields.items()}
        for lane in range(lanes):
            for step in np.flatnonzero(window.valid_TB[:, lane]):
                image = fields["images_TB"][step, lane]
                example = int(fields["examples_N"][image])
                if window.starts_TB[step, lane]:
                    assert fields["inputs_TB"][step, lane] == END
                    found.setdefault(example, []).append([])
                else:
                    assert fields["inputs_TB"][step, lane] == found[example][-1][-1]
                found[example][-1].append(int(fields["targets_TB"][step, lane]))
                assert fields["image_NCYX"][image].transpose(1, 2, 0).ravel().tolist() == [*columns["image"][example]]
                assert fields["steps_NL"].reshape(-1)[fields["places_TB"][step, lane]] == step * lanes + lane
                assert fields["places_TB"][step, lane] // fields["steps_NL"].shape[1] == image
    assert found == {n: [[*words, END] for words in captions] for n, captions in enumerate(images)}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("attention", "other"),
    [(None, {"whole": "grid"}), ({"score": "additive", "size": 5}, {"encoder": None, "features": 3})],
)
def test_a_window_equals_its_captions_step_by_step(cell, attention, other) -> None:
    images = [[[2, 3, 4], [5]], [[6, 7]], [[3, 3, 3, 3], [8, 9], [10]]]
    columns = columns_of(images, features=6)
    net = network(cell=cell, attention=attention, **other).eval()
    assembly = captioning.assemble(columns)
    with torch.no_grad():
        sums = torch.zeros(2, dtype=torch.float64)
        for number in range(windows_of(columns).per_epoch):
            window = windows_of(columns)(number)
            hidden_TBH, _ = net(window, ())
            sums += torch.tensor([float(part) for part in net.loss(window, hidden_TBH)], dtype=torch.float64)
        loss = 0.0
        for number, captions in enumerate(images):
            seen = net.model.look(assembly.images(np.array([number])))
            for words in captions:
                state = net.model.start(seen)
                for before, word in zip([END, *words], [*words, END], strict=True):
                    o_11H, weights, state = net.model.step(torch.tensor([[before]]), seen, state)
                    loss -= float(net.head.predict(o_11H)[0, 0].log_softmax(0)[word])
                    assert weights is None or weights.sum() == pytest.approx(1)
    assert sums[1] == 19
    assert float(sums[0]) == pytest.approx(loss, rel=1e-5)


def test_draws_of_an_image_are_those_of_its_epoch_and_number_in_any_lane() -> None:
    columns = columns_of([[[2, 3]], [[4, 5, 6]], [[7]]])
    net = network(image_dropout=0.5, augment={"crop": 0.3, "flip": True, "colour": 0.3}).train()
    assembly = captioning.assemble(columns)

    def whole(examples: list[int], epoch: int) -> torch.Tensor:
        draws = Draws(seed=1, update=epoch, lanes_B=torch.tensor(examples))
        return net.model.look(assembly.images(np.array(examples)), draws).whole_NE

    assert torch.allclose(whole([0, 1, 2], 4)[1:], whole([1, 2], 4), atol=1e-5)
    assert not torch.allclose(whole([1], 4), whole([1], 5), atol=1e-4)


def test_two_workers_see_what_one_sees() -> None:
    columns = columns_of([[[2, 3, 4, 5]] * 3, [[6]], [[7, 8], [9]], [[10, 11, 4]], [[5]]])
    net = network(dropout=0.3, image_dropout=0.3, augment={"crop": 0.3, "flip": False, "colour": 0.0}).train()
    whole = windows_of(columns, seed=3)(1)
    parts = [windows_of(columns, seed=3, rank=rank, workers=2)(1) for rank in range(2)]
    loss, count = net.loss(whole, net(whole, ())[0])
    shares = [net.loss(part, net(part, ())[0]) for part in parts]
    assert sum(share[1] for share in shares) == count
    assert sum(share[0] for share in shares).item() == pytest.approx(loss.item(), rel=1e-4)


def test_it_learns_and_says_captions() -> None:
    """Dark and bright images with a caption each, said again without its unknown word."""
    columns = columns_of([[[2, 3, 4]], [[5, UNKNOWN]], [[2, 3, 4]], [[5, UNKNOWN]]], bright=[10, 240, 20, 250])
    net = network(search={"width": 3, "length_penalty": 1.0, "coverage_penalty": 0.1})
    optimizer = optim.optimizer(optim.OptimizerConfig(name="adamw", rate=0.02), net.parameters())
    state = bptt.TrainState(network=net, optimizer=optimizer, carry=())
    steps = bptt.fit(state, windows_of(columns, seed=1), rate=lambda update: 0.02, clip=1.0)
    losses = [next(steps).loss for _ in range(40)]
    assert losses[-1] < 0.1 * losses[0]
    seen = net.eval().model.look(captioning.assemble(columns).images(np.arange(2)))
    said = captioning.answers(net, seen)
    assert said[0] == [2, 3, 4]
    assert said[1][0] == 5
    assert UNKNOWN not in said[1]
    weights_TS = captioning.attended(net, net.model.look(captioning.assemble(columns).images(np.arange(1))), said[0])
    assert weights_TS.shape == (4, 4)
    assert torch.allclose(weights_TS.sum(1), torch.ones(4))


@pytest.mark.parametrize(
    ("changes", "sizes", "message"),
    [
        ({"encoder": None}, {}, "model.encoder: found null with data.features of 0"),
        ({}, {"features": 2}, "model.encoder: found an encoder with data.features of 2"),
        ({}, {"side": 10}, "data.image_size: found 10"),
        ({"attention": {"score": "multiplicative", "coverage": True}}, {}, "model.attention.coverage: found true"),
        ({"longest": 0}, {}, "model.longest"),
        ({"whole": "grid", "encoder": None}, {"features": 2}, "model.whole: found grid with outside features"),
        ({"image_dropout": 1.0}, {}, "model.image_dropout"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes, sizes, message) -> None:
    with pytest.raises(ConfigError, match=message):
        network(**changes, **sizes)


def test_nothing_is_carried_and_a_window_holds_all_captions_of_an_image() -> None:
    columns = columns_of([[[2] * 5] * 3])
    with pytest.raises(ConfigError, match="train.carry"):
        captioning.filling(columns, lanes=1, window=20, seed=None, carries=True)
    with pytest.raises(ConfigError, match="train.window: a sequence of 18 steps"):
        captioning.filling(columns, lanes=1, window=17, seed=None, carries=False)


def test_images_of_several_sizes_are_named() -> None:
    rows = [
        {"tokens": [2, END], "ends": [2], "texts": b"a", "image": b"", "features": np.zeros(size, np.float32)}
        for size in (4, 6)
    ]
    with pytest.raises(DataError, match="4 to 6 numbers an image in `features`; equally many for all images"):
        captioning.assemble(arrow.from_rows(rows, "captioning"))
