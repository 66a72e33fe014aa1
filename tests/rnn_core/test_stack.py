"""What stands around cells: connections, weight dropout, zoneout, initialisation; on every cell that can have them."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from rnn_core import cells
from rnn_core.cells import CELLS, Cell
from rnn_core.config import from_mapping
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.kernels import KERNELS
from rnn_core.layers import Layer, Stack, StackConfig, step_by_step
from rnn_core.models import language_model, tagging

T, B, H = 7, 4, 6
EXACT = {"atol": 1e-12, "rtol": 0}
DRAWS = Draws(seed=1, update=2, lanes_B=torch.arange(B))
PLAIN = StackConfig(cell="lstm", hidden_size=H, num_layers=2, input_dropout=0.0, dropout=0.0)
RECURRENT = [name for name in CELLS if cells.make(name, 1, 1).recurrent]
BLENDING = [name for name in CELLS if cells.make(name, 1, 1).blends]
GATED = [name for name in CELLS if cells.make(name, 1, 1).gated]
EITHER = pytest.mark.parametrize("bidirectional", [False, True])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(7)


def stack(input_size: int = H, bidirectional: bool = False, **changed) -> Stack:
    return Stack(replace(PLAIN, **changed), input_size, bidirectional=bidirectional, first_mask=3).double()


def window(input_size: int = H) -> tuple[Tensor, Tensor]:
    """x_TBD and starts_TB."""
    return torch.randn(T, B, input_size, dtype=torch.float64), torch.rand(T, B) < 0.2


def run(network: Stack, x_TBD: Tensor, starts_TB: Tensor, draws: Draws | None = None):
    return network(x_TBD, starts_TB, network.initial_carry(x_TBD.shape[1], x_TBD), draws)


# Connections


@EITHER
@pytest.mark.parametrize("name", ["none", "residual", "highway"])
def test_a_connection_is_its_formula(name: str, bidirectional: bool) -> None:
    """Written out: each layer's output is dropped, then joined to what came in; the first layer widens, and is not."""
    network = stack(5, bidirectional, connection=name, num_layers=3, dropout=0.5, cell="memoryless")
    x_TBD, starts_TB = window(5)
    h = x_TBD
    for number in range(3):
        sides = [side[number].cell for side in (network.forwards, network.backwards) if len(side)]
        f = torch.cat([cell(h, ())[0] for cell in sides], 2)
        f = f * DRAWS.mask(4 + number, f.shape[2], 0.5, f)
        if name == "none" or number == 0:
            h = f
        elif name == "residual":
            h = h + f
        else:
            gate = network.connections[number]
            t = torch.sigmoid(h @ gate.w_t.t() + gate.b_t)
            h = t * f + (1 - t) * h
    torch.testing.assert_close(run(network, x_TBD, starts_TB, DRAWS)[0], h, **EXACT)


def test_the_first_layer_too_is_joined_where_its_widths_agree() -> None:
    wide, same = stack(5, connection="highway"), stack(H, connection="highway")
    assert [len(list(c.parameters())) for c in wide.connections] == [0, 2]
    assert [len(list(c.parameters())) for c in same.connections] == [2, 2]


def test_a_highway_begins_nearly_open_and_learns() -> None:
    network = stack(connection="highway")
    x_TBD, starts_TB = window()
    h_TBH, _ = run(network, x_TBD, starts_TB)
    h_TBH.sum().backward()
    for gate in network.connections:
        assert (gate.b_t == -2).all()
        assert gate.w_t.abs().max() <= H**-0.5
        assert gate.w_t.grad.abs().min() > 0
        assert gate.b_t.grad.abs().min() > 0
    assert torch.corrcoef(torch.stack((h_TBH.flatten(), x_TBD.flatten())))[0, 1] > 0.9


def test_the_default_is_the_stack_without_any_of_it() -> None:
    names = [name for name, _ in stack(5, bidirectional=True).named_parameters()]
    assert names == [
        f"{side}.{n}.cell.{w}" for side in ("forwards", "backwards") for n in (0, 1) for w in ("w_x", "w_h", "b")
    ]


# Weight dropout


def masked(layer: Layer, mask_GH: Tensor) -> Cell:
    return layer.cell.replaced(w_h=layer.cell.w_h * mask_GH)


@EITHER
@pytest.mark.parametrize("cell", RECURRENT)
def test_weight_dropout_is_a_cell_with_other_weights(cell: str, bidirectional: bool) -> None:
    network = stack(cell=cell, bidirectional=bidirectional, weight_dropout=0.4, num_layers=1)
    plain = stack(cell=cell, bidirectional=bidirectional, num_layers=1)
    plain.load_state_dict(network.state_dict())
    # Two places of dropout come first, from number 3 on; then the layers, the forward ones first.
    for number, layer in enumerate([*plain.forwards, *plain.backwards]):
        w_h = layer.cell.w_h
        with torch.no_grad():
            w_h *= DRAWS.weight_mask(5 + number, w_h.shape, 0.4, w_h)
    x_TBD, starts_TB = window()
    found_TBH, _ = run(network, x_TBD, starts_TB, DRAWS)
    torch.testing.assert_close(found_TBH, run(plain, x_TBD, starts_TB)[0], **EXACT)
    assert not torch.allclose(found_TBH, run(network, x_TBD, starts_TB)[0]), "evaluation drops nothing"


@pytest.mark.parametrize("cell", RECURRENT)
def test_only_the_weights_that_were_kept_learn(cell: str) -> None:
    network = stack(cell=cell, weight_dropout=0.4)
    before = {name: p.clone() for name, p in network.named_parameters()}
    x_TBD, starts_TB = window()
    run(network, x_TBD, starts_TB, DRAWS)[0].square().sum().backward()
    for number, layer in enumerate(network.forwards):
        w_h = layer.cell.w_h
        mask_GH = DRAWS.weight_mask(6 + number, w_h.shape, 0.4, w_h)
        assert (w_h.grad[mask_GH == 0] == 0).all()
        assert (w_h.grad[mask_GH != 0] != 0).double().mean() > 0.3, "all, but for rectified units that rest"
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters()), "the weights are as they were"


def test_all_lanes_and_restarts_share_the_mask_and_other_updates_and_layers_do_not() -> None:
    network = stack(weight_dropout=0.5)
    x_TBD, starts_TB = window()
    whole_TBH, _ = run(network, x_TBD, starts_TB, DRAWS)
    part = replace(DRAWS, lanes_B=torch.arange(1, 3))
    part_TBH, _ = run(network, x_TBD[:, 1:3], starts_TB[:, 1:3], part)
    torch.testing.assert_close(part_TBH, whole_TBH[:, 1:3], **EXACT)
    assert torch.equal(run(network, x_TBD, starts_TB, DRAWS)[0], whole_TBH)
    later = replace(DRAWS, first_step=3)
    assert torch.equal(run(network, x_TBD, starts_TB, later)[0], whole_TBH), "one mask for all steps"
    assert not torch.allclose(run(network, x_TBD, starts_TB, replace(DRAWS, update=3))[0], whole_TBH)
    masks = {tuple(DRAWS.weight_mask(n, (4, 4), 0.5, x_TBD).flatten().tolist()) for n in range(20)}
    assert len(masks) == 20


@pytest.mark.parametrize("cell", [name for name in RECURRENT if name in KERNELS])
def test_weight_dropout_goes_by_the_kernel(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def kernel(given, *arguments):
        asked.append(given)
        return step_by_step(given, *arguments)

    monkeypatch.setitem(KERNELS, cell, kernel)
    network = stack(cell=cell, weight_dropout=0.5, num_layers=1)
    run(network, *window(), DRAWS)
    (given,) = asked
    assert type(given) is CELLS[cell]
    assert given.w_x is network.forwards[0].cell.w_x
    assert 0 < (given.w_h == 0).double().mean() < 1


# Zoneout


@pytest.mark.parametrize("cell", BLENDING)
def test_zoneout_of_nothing_changes_no_bit(cell: str) -> None:
    network = stack(cell=cell, zoneout=0.0)
    plain = stack(cell=cell)
    plain.load_state_dict(network.state_dict())
    x_TBD, starts_TB = window()
    assert torch.equal(run(network, x_TBD, starts_TB, DRAWS)[0], run(plain, x_TBD, starts_TB, DRAWS)[0])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", BLENDING)
def test_each_unit_keeps_its_old_value_or_takes_the_new_one(cell: str, reverse: bool) -> None:
    """Step by step by hand, from the draws of each step; resets come first."""
    layer = Layer(cells.make(cell, H, H), zoneout=0.3, number=9).double()
    x_TBD, starts_TB = window()
    state = tuple(torch.randn_like(s) for s in layer.cell.initial_state(B, x_TBD))
    found_TBH, after = layer(x_TBD, starts_TB, state, reverse, DRAWS)
    initial, kept = layer.cell.initial_state(B, x_TBD), 0
    size = sum(s.shape[1] for s in state)
    chosen_TBS = DRAWS.chosen(9, T, size, 0.3, x_TBD).bool()
    ends_TB = torch.cat((starts_TB[1:], torch.ones(1, B, dtype=torch.bool)))
    for t in reversed(range(T)) if reverse else range(T):
        resets_B1 = (ends_TB if reverse else starts_TB)[t][:, None]
        state = tuple(torch.where(resets_B1, i, s) for i, s in zip(initial, state, strict=True))
        h_BH, new = layer.cell(x_TBD[t], state)
        chosen = chosen_TBS[t].split([s.shape[1] for s in state], 1)
        state = tuple(torch.where(c, old, n) for c, old, n in zip(chosen, state, new, strict=True))
        spoken = state[0] if new[0] is h_BH else h_BH
        assert torch.equal(found_TBH[t], spoken)
        kept += sum(int(c.sum()) for c in chosen)
    assert all(torch.equal(a, b) for a, b in zip(after, state, strict=True))
    assert abs(kept / (T * B * size) - 0.3) < 0.15


@pytest.mark.parametrize("cell", BLENDING)
def test_in_evaluation_a_unit_is_the_mean_of_what_it_may_be(cell: str) -> None:
    layer = Layer(cells.make(cell, H, H), zoneout=0.3).double()
    x_TBD, starts_TB = window()
    state = tuple(torch.randn_like(s) for s in layer.cell.initial_state(B, x_TBD))
    found_TBH, after = layer(x_TBD[:1], starts_TB[:1] & False, state)
    h_BH, new = layer.cell(x_TBD[0], state)
    expected = tuple(0.3 * old + 0.7 * n for old, n in zip(state, new, strict=True))
    torch.testing.assert_close(after, expected, **EXACT)
    torch.testing.assert_close(found_TBH[0], expected[0] if new[0] is h_BH else h_BH, **EXACT)


@pytest.mark.parametrize("cell", BLENDING)
def test_zoneout_lets_nothing_pass_a_start(cell: str) -> None:
    layer = Layer(cells.make(cell, H, H), zoneout=0.5).double()
    x_TBD, starts_TB = window()
    starts_TB[0] = True
    state = tuple(torch.randn_like(s) for s in layer.cell.initial_state(B, x_TBD))
    expected_TBH, _ = layer(x_TBD, starts_TB, state, draws=DRAWS)
    bad = tuple(torch.full_like(s, torch.nan).requires_grad_() for s in state)
    found_TBH, _ = layer(x_TBD, starts_TB, bad, draws=DRAWS)
    assert torch.equal(found_TBH, expected_TBH)
    assert all((g == 0).all() for g in torch.autograd.grad(found_TBH.sum(), bad))


def test_a_window_in_parts_draws_what_the_whole_one_draws() -> None:
    network = stack(zoneout=0.3, weight_dropout=0.2, dropout=0.5)
    x_TBD, starts_TB = window()
    whole_TBH, last = run(network, x_TBD, starts_TB, DRAWS)
    carry, parts = network.initial_carry(B, x_TBD), []
    for begin, end in ((0, 2), (2, 3), (3, T)):
        draws = replace(DRAWS, first_step=begin)
        part_TBH, carry = network(x_TBD[begin:end], starts_TB[begin:end], carry, draws)
        parts.append(part_TBH)
    torch.testing.assert_close((torch.cat(parts), carry), (whole_TBH, last), **EXACT)
    lane = replace(DRAWS, lanes_B=torch.tensor([2]))
    lane_TBH, _ = run(network, x_TBD[:, 2:3], starts_TB[:, 2:3], lane)
    torch.testing.assert_close(lane_TBH, whole_TBH[:, 2:3], **EXACT)


# Initialisation


@pytest.mark.parametrize("cell", RECURRENT)
def test_each_gates_block_is_orthogonal(cell: str) -> None:
    made = stack(cell=cell, initialisation="orthogonal").forwards[0].cell
    blocks = made.w_h.chunk(len(made.gates))
    for block in blocks:
        narrow = block if block.shape[0] <= block.shape[1] else block.t()
        torch.testing.assert_close(narrow @ narrow.t(), torch.eye(len(narrow), dtype=torch.float64), atol=1e-6, rtol=0)
    assert len({block.flatten()[0].item() for block in blocks}) == len(blocks), "each for itself"


@pytest.mark.parametrize("cell", CELLS)
def test_gates_name_the_blocks_of_a_cell(cell: str) -> None:
    made = cells.make(cell, 2, 3)
    assert {made.forget_gate, made.input_gate} <= {None, *made.gates}
    assert len(made.b) % len(made.gates) == 0
    assert len(made.gates) > 1 or len(made.b) == made.hidden_size


@pytest.mark.parametrize("cell", GATED)
def test_the_biases_of_the_gates_span_the_memory(cell: str) -> None:
    """b_f = log U(1, T_max - 1), b_i = -b_f; the other gates are as ever."""
    network = stack(cell=cell, hidden_size=400, memory_length=100)
    made = network.forwards[1].cell
    biases = dict(zip(made.gates, made.b.detach().chunk(len(made.gates)), strict=True))
    for gate, bias in biases.items():
        if gate in (made.forget_gate, made.input_gate):
            spans = (bias if gate == made.forget_gate else -bias).exp()
            assert 1 <= spans.min() < 5
            assert 94 < spans.max() <= 99
            assert abs(spans.mean() - 50) < 5 * 98 / math.sqrt(12 * 400)
        else:
            assert bias.abs().max() <= 400**-0.5
    if made.forget_gate and made.input_gate:
        assert torch.equal(biases[made.input_gate], -biases[made.forget_gate])


def test_the_gates_of_the_lstm_and_the_gru() -> None:
    assert (cells.LSTM.gates, cells.LSTM.forget_gate, cells.LSTM.input_gate) == (("i", "f", "g", "o"), "f", "i")
    assert (cells.GRU.gates, cells.GRU.forget_gate, cells.GRU.input_gate) == (("r", "z", "n"), "z", None)
    made = stack(cell="gru", memory_length=1000, hidden_size=50).forwards[0].cell
    h_BH = torch.ones(1, 50, dtype=torch.float64)
    for _ in range(50):
        _, (h_BH,) = made(torch.zeros(1, H, dtype=torch.float64), (h_BH,))
    assert h_BH.mean() > 0.7, "z weighs the old state: a large bias remembers"


def test_initialisation_changes_nothing_else_and_can_be_counted_without_memory() -> None:
    torch.manual_seed(3)
    plain = stack(5)
    torch.manual_seed(3)
    first = stack(5, initialisation="orthogonal", memory_length=10).forwards[0].cell
    assert torch.equal(first.w_x, plain.forwards[0].cell.w_x)
    before = torch.get_rng_state()
    with torch.device("meta"):
        made = Stack(replace(PLAIN, initialisation="orthogonal", memory_length=9, connection="highway"), H)
    assert torch.equal(torch.get_rng_state(), before)
    assert sum(p.numel() for p in made.parameters()) == sum(p.numel() for p in stack(connection="highway").parameters())


# Every cell, every option


OPTIONS = {
    "residual": ({"connection": "residual"}, "always"),
    "highway": ({"connection": "highway"}, "always"),
    "weight dropout": ({"weight_dropout": 0.2}, "recurrent"),
    "zoneout": ({"zoneout": 0.1}, "blends"),
    "orthogonal": ({"initialisation": "orthogonal"}, "recurrent"),
    "chrono": ({"memory_length": 10}, "gated"),
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_trains_with_every_option_or_says_why_not(cell: str, option: str) -> None:
    settings, needs = OPTIONS[option]
    if needs != "always" and not getattr(cells.make(cell, 1, 1), needs):
        (key,) = settings
        with pytest.raises(ConfigError, match=rf"model\.{key}: found .* with cell {cell}; .*, or a cell with"):
            stack(cell=cell, **settings)
        return
    network = stack(cell=cell, dropout=0.1, **settings)
    head = nn.Linear(H, 1).double()
    x_TBD, starts_TB = window()
    goal_TB1 = x_TBD[:, :, :1].cumsum(0).tanh()
    optimizer, losses = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=0.02), []
    for update in range(15):
        optimizer.zero_grad()
        h_TBH, _ = run(network, x_TBD, starts_TB, replace(DRAWS, update=update))
        loss = (head(h_TBH) - goal_TB1).square().mean()
        loss.backward()
        assert all(p.grad.isfinite().all() and p.grad.any() for p in network.parameters())
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


# Settings that cannot be


MODEL = {"cell": "lstm", "embedding_size": 4, "hidden_size": 4, "num_layers": 2, "input_dropout": 0, "dropout": 0}
KINDS = {
    "language_model": (language_model.Config, {"tie": True}),
    "tagging": (
        tagging.Config,
        {
            "bidirectional": True,
            "word_dropout": 0.0,
            "min_count": 1,
            "characters": {"cell": "gru", "embedding_size": 3, "hidden_size": 2},
        },
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hidden_size": 0}, "model.hidden_size: found 0; a whole number from 1 on is wanted"),
        ({"num_layers": -1}, "model.num_layers: found -1; a whole number from 1 on is wanted"),
        ({"embedding_size": 0}, "model.embedding_size: found 0; a whole number from 1 on is wanted"),
        ({"dropout": 1.0}, "model.dropout: found 1.0; a rate from 0 to below 1 is wanted"),
        ({"input_dropout": -0.5}, "model.input_dropout: found -0.5; a rate"),
        ({"weight_dropout": 1}, "model.weight_dropout: found 1.0; a rate"),
        ({"zoneout": float("nan")}, "model.zoneout: found nan; a rate"),
        ({"memory_length": 1}, "model.memory_length: found 1; null, or steps from 2 on"),
        (
            {"connection": "resdual"},
            "model.connection: found 'resdual' (text); wanted is one of none, residual, highway",
        ),
        ({"initialisation": "chrono"}, "model.initialisation: found 'chrono' (text); wanted is one of default, ortho"),
        ({"connection": "highway", "num_layers": 1}, "model.connection: found highway with model.num_layers: 1; none,"),
        ({"zonout": 0.1}, "model.zonout: unknown key (did you mean `zoneout`?)"),
    ],
)
def test_settings_that_cannot_be_are_told_with_their_key(kind: str, changed: dict, message: str) -> None:
    config, own = KINDS[kind]
    with pytest.raises(ConfigError) as raised:
        from_mapping(config, MODEL | own | changed, "model")
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"word_dropout": 1.0}, "model.word_dropout: found 1.0; a rate"),
        (
            {"characters": {"cell": "gru", "embedding_size": 3, "hidden_size": 0}},
            "model.characters.hidden_size: found 0",
        ),
        (
            {"characters": {"cell": "gru", "embedding_size": 0, "hidden_size": 2}},
            "model.characters.embedding_size: fou",
        ),
    ],
)
def test_a_taggers_own_settings_that_cannot_be(changed: dict, message: str) -> None:
    config, own = KINDS["tagging"]
    with pytest.raises(ConfigError) as raised:
        from_mapping(config, MODEL | own | changed, "model")
    assert str(raised.value).startswith(message)


def test_what_was_valid_is_valid_and_means_the_same() -> None:
    for config, own in KINDS.values():
        made = from_mapping(config, MODEL | own, "model")
        assert (made.weight_dropout, made.zoneout, made.connection) == (0, 0, "none")
        assert (made.initialisation, made.memory_length) == ("default", None)
