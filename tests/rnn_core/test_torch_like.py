"""The drop-ins against torch.nn: outputs, states and gradients, weights both ways, and what the public door refuses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from rnn_core.cells import CELLS
from rnn_core.errors import ConfigError
from rnn_core.layers import from_torch, to_torch, torch_like

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
T, B, D, H = 7, 3, 5, 4
KINDS = {
    "LSTM": (nn.LSTM, {}, "lstm"),
    "projected LSTM": (nn.LSTM, {"proj_size": 2}, "lstm_projected"),
    "GRU": (nn.GRU, {}, "gru"),
    "RNN": (nn.RNN, {}, "elman"),
    "rectified RNN": (nn.RNN, {"nonlinearity": "relu"}, "elman_relu"),
}
KINDS = {name: (kind, options) for name, (kind, options, cell) in KINDS.items() if cell in CELLS}
# torch tells once a process that it has no fast path for these.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
EVERY_KIND = pytest.mark.parametrize("name", KINDS)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(7)


def reference(name: str, dtype: torch.dtype = torch.float64, **changed) -> nn.RNNBase:
    kind, options = KINDS[name]
    return kind(D, H, **options | changed).to(dtype)


def flat(hx) -> list[Tensor]:
    return list(hx) if isinstance(hx, tuple) else [hx]


def state_like(hx):
    """A state that is not zero, of the form of `hx`."""
    drawn = tuple(torch.randn_like(s).requires_grad_() for s in flat(hx))
    return drawn if isinstance(hx, tuple) else drawn[0]


@EVERY_KIND
@settings(max_examples=20, deadline=None)
@given(
    layers=st.integers(1, 3),
    options=st.fixed_dictionaries(
        {"bidirectional": st.booleans(), "batch_first": st.booleans(), "bias": st.booleans()}
    ),
    given_state=st.booleans(),
    lone=st.booleans(),
    dtype=st.sampled_from(list(TOLERANCE)),
    seed=st.integers(0, 2**31),
)
def test_a_drop_in_is_the_layer_of_torch(name, layers, options, given_state, lone, dtype, seed) -> None:
    torch.manual_seed(seed)
    theirs = reference(name, dtype, num_layers=layers, **options)
    ours = from_torch(theirs)
    shape = (T, D) if lone else (B, T, D) if options["batch_first"] else (T, B, D)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    hx = state_like(theirs(x)[1]) if given_state else None
    expected, found = theirs(x, hx), ours(x, hx)
    assert type(found[1]) is type(expected[1])
    close = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    torch.testing.assert_close(found, expected, **close)
    ways = [torch.randn_like(t) for t in (expected[0], *flat(expected[1]))]
    inputs = [x, *(flat(hx) if given_state else [])]

    def gradients(results, weights: list[Tensor]) -> tuple[Tensor, ...]:
        loss = sum((t * way).sum() for t, way in zip((results[0], *flat(results[1])), ways, strict=True))
        return torch.autograd.grad(loss, [*inputs, *weights])

    pairs = [(ours.cells[0].w_x, theirs.weight_ih_l0), (ours.cells[-1].w_h, theirs.all_weights[-1][1])]
    pairs += [(ours.cells[0].b, theirs.bias_ih_l0)] if options["bias"] else []
    mine, other = zip(*pairs, strict=True)
    torch.testing.assert_close(gradients(found, mine), gradients(expected, other), **close)
    assert all(p.requires_grad == (p.dim() > 1 or options["bias"]) for p in ours.parameters())


@EVERY_KIND
@pytest.mark.parametrize("bias", [True, False])
def test_weights_go_there_and_back(name: str, bias: bool) -> None:
    theirs = reference(name, num_layers=2, bidirectional=True, bias=bias).eval()
    before = torch.get_rng_state()
    ours = from_torch(theirs)
    again = to_torch(ours)
    assert torch.equal(torch.get_rng_state(), before), "nothing is to be drawn"
    assert type(again) is type(theirs)
    assert not again.training
    assert {n: p.shape for n, p in again.named_parameters()} == {n: p.shape for n, p in theirs.named_parameters()}
    x = torch.randn(T, B, D, dtype=torch.float64)
    torch.testing.assert_close(again(x), theirs(x), atol=1e-12, rtol=0)
    back = from_torch(again)
    assert all(torch.equal(a, b) for a, b in zip(back.parameters(), ours.parameters(), strict=True))
    shared = {p.data_ptr() for p in (*theirs.parameters(), *again.parameters())}
    assert not shared & {p.data_ptr() for p in (*ours.parameters(), *back.parameters())}, "copies, not views"


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_new_one_takes_the_arguments_of_torch(kind: str) -> None:
    positional = (D, H, 2, True, True, 0.0, True) if kind != "RNN" else (D, H, 2, "tanh", True, True, 0.0, True)
    theirs, ours = getattr(nn, kind)(*positional), getattr(torch_like, kind)(*positional, dtype=torch.float32)
    for name in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"):
        assert getattr(ours, name) == getattr(theirs, name)
    x = torch.randn(B, T, D)
    (h, hx), (expected_h, expected_hx) = ours(x), theirs(x)
    assert h.shape == expected_h.shape
    assert [s.shape for s in flat(hx)] == [s.shape for s in flat(expected_hx)]
    other = getattr(torch_like, kind)(D, H, device="meta", dtype=torch.float64)
    assert {(p.device.type, p.dtype) for p in other.parameters()} == {("meta", torch.float64)}


@pytest.mark.parametrize("bidirectional", [False, True])
@EVERY_KIND
def test_with_starts_each_sequence_stands_alone(name: str, bidirectional: bool) -> None:
    theirs = reference(name, num_layers=2, bidirectional=bidirectional)
    ours = from_torch(theirs)
    lengths = [[3, 4], [7], [1, 6]]
    x_TBD, starts_TB = torch.randn(T, B, D, dtype=torch.float64), torch.zeros(T, B, dtype=torch.bool)
    h_TBH, _ = ours(x_TBD, starts=starts_TB)
    torch.testing.assert_close(h_TBH, theirs(x_TBD)[0], atol=1e-10, rtol=0)
    for lane, parts in enumerate(lengths):
        for begin in torch.tensor([0, *parts]).cumsum(0)[:-1].tolist():
            starts_TB[begin, lane] = True
    h_TBH, _ = ours(x_TBD, starts=starts_TB)
    for lane, parts in enumerate(lengths):
        expected = torch.cat([theirs(part)[0] for part in x_TBD[:, lane].split(parts)])
        torch.testing.assert_close(h_TBH[:, lane], expected, atol=1e-10, rtol=0)


@EVERY_KIND
def test_a_padded_batch_with_marks_is_torchs_packed_one(name: str) -> None:
    theirs = reference(name, num_layers=2, bidirectional=True, batch_first=True)
    pieces = [torch.randn(n, D, dtype=torch.float64) for n in (7, 4, 2)]
    x_BTD = nn.utils.rnn.pad_sequence(pieces, batch_first=True)
    starts_BT = torch.tensor([[t == len(piece) for t in range(T)] for piece in pieces])
    h_BTH, _ = from_torch(theirs)(x_BTD, starts=starts_BT)
    expected_BTH, _ = nn.utils.rnn.pad_packed_sequence(theirs(pack_sequence(pieces))[0], batch_first=True)
    for lane, piece in enumerate(pieces):
        torch.testing.assert_close(h_BTH[lane, : len(piece)], expected_BTH[lane, : len(piece)], atol=1e-10, rtol=0)


@EVERY_KIND
def test_tensors_need_not_be_contiguous(name: str) -> None:
    ours = from_torch(reference(name))
    x = torch.randn(D, B, 2 * T, dtype=torch.float64).permute(2, 1, 0)[::2]
    starts = (torch.rand(B, T) < 0.3).t()
    hx = ours(x)[1]
    hx = tuple(s.transpose(0, 1).contiguous().transpose(0, 1) for s in flat(hx))
    hx = hx if len(hx) > 1 else hx[0]
    expected = ours(x.contiguous(), hx, starts.contiguous())
    torch.testing.assert_close(ours(x, hx, starts), expected, atol=0, rtol=0)


def test_dropout_is_between_layers_and_in_training_only() -> None:
    ours = from_torch(nn.GRU(D, H, 2, dropout=0.5))
    plain = from_torch(nn.GRU(D, H, 2))
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(T, B, D)
    assert not torch.equal(ours(x)[0], plain(x)[0])
    assert torch.equal(ours(x)[1][0], plain(x)[1][0]), "the first layer's state"
    ours.eval()
    assert torch.equal(ours(x)[0], plain(x)[0])
    assert not from_torch(nn.GRU(D, H, 2).eval()).training


def test_a_loop_of_ones_own_trains_it() -> None:
    model = torch_like.LSTM(D, H, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    x, losses = torch.randn(T, B, D), []
    for _ in range(20):
        optimizer.zero_grad()
        losses.append(model(x)[0].sub(0.1).square().mean())
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert all((p == 0).all() for p in model.parameters() if p.dim() == 1)


def test_under_autocast_any_floating_type_comes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def window(cell, x_TBD, resets_TB, state, reverse):
        seen.append(x_TBD.dtype)
        return x_TBD[:, :, :H], state

    monkeypatch.setattr(torch_like, "over_window", window)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch_like.GRU(D, H)(torch.zeros(T, B, D, dtype=torch.bfloat16))
    assert seen == [torch.float32]


ZEROS = torch.zeros(T, B, D)
STATE = torch.zeros(1, B, H)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([pack_sequence([torch.zeros(3, D)])], "input: found a PackedSequence; a dense tensor; `starts` marks"),
        ([[0.0]], r"input: found list; torch.float32 of shape (T, B, 5) on cpu is wanted"),
        ([ZEROS.double()], "input: found torch.float64 of shape (7, 3, 5) on cpu; torch.float32 of shape (T, B, 5)"),
        ([ZEROS[:, :, 1:]], "input: found torch.float32 of shape (7, 3, 4)"),
        ([ZEROS[:0]], "input: found torch.float32 of shape (0, 3, 5)"),
        ([ZEROS[0, 0]], "input: found torch.float32 of shape (5)"),
        ([ZEROS[0, :, 1:]], "input: found torch.float32 of shape (3, 4) on cpu; torch.float32 of shape (T, 5)"),
        ([ZEROS.to("meta")], "input: found torch.float32 of shape (7, 3, 5) on meta; torch.float32 of shape (T, B, 5)"),
        ([ZEROS, STATE], "hx: found 1 tensors; 2 are wanted"),
        (
            [ZEROS, (STATE, STATE[:, 1:])],
            "hx: found torch.float32 of shape (1, 2, 4) on cpu; torch.float32 of shape (1, 3, 4)",
        ),
        ([ZEROS, (STATE, STATE.double())], "hx: found torch.float64 of shape (1, 3, 4)"),
        (
            [ZEROS[:, 0], (STATE, STATE)],
            "hx: found torch.float32 of shape (1, 3, 4) on cpu; torch.float32 of shape (1, 4)",
        ),
        (
            [ZEROS, None, torch.zeros(T, B)],
            "starts: found torch.float32 of shape (7, 3) on cpu; torch.bool of shape (7, 3)",
        ),
        ([ZEROS, None, torch.zeros(B, T, dtype=torch.bool)], "starts: found torch.bool of shape (3, 7)"),
    ],
)
def test_what_the_door_refuses(arguments: list, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        torch_like.LSTM(D, H)(*arguments)
    assert f"LSTM.forward, {message}" in str(raised.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch_like.LSTM(0, H), "LSTM.input_size: found 0; a whole number from 1 on"),
        (lambda: torch_like.GRU(D, -1), "GRU.hidden_size: found -1"),
        (lambda: torch_like.GRU(D, H, 0), "GRU.num_layers: found 0"),
        (lambda: torch_like.RNN(D, H, dropout=1.5), "RNN.dropout: found 1.5"),
        (lambda: torch_like.RNN(D, H, nonlinearity="cos"), "RNN.nonlinearity: found cos; tanh and relu are allowed"),
        (lambda: torch_like.LSTM(D, H, proj_size=H), "LSTM.proj_size: found 4; 0, or in an LSTM less than hidden_size"),
        (lambda: torch_like.GRU(D, H, proj_size=1), "GRU.proj_size: found 1; 0, or in an LSTM less than hidden_size"),
        (lambda: from_torch(nn.Linear(2, 2)), "from_torch: found Linear; nn.LSTM, nn.GRU and nn.RNN are taken"),
        (lambda: to_torch(nn.LSTM(2, 2)), "to_torch: found LSTM; LSTM, GRU and RNN of rnn_core.layers.torch_like"),
    ],
)
def test_what_cannot_be_made_is_told(make, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make()
    assert message in str(raised.value)
