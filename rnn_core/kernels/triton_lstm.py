"""The LSTM over a window on a GPU, resets inside it included; the equations are in `rnn_core/kernels/lstm.py`.

Two forms, by steps and by lanes; `rnn_core/kernels/triton_window.py` says which is for what.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.lstm import LSTM
from rnn_core.kernels import triton_window
from rnn_core.kernels.triton_window import BLOCK, COLUMNS, DEPTH, LANES, WARPS, inputs, marks, order, tanh
from rnn_core.kernels.window import differentiable, last, states


def fits_steps(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, reverse: bool = False) -> bool:
    """Whether `by_steps` can take this window."""
    return isinstance(cell, LSTM) and triton_window.fits_steps(cell, x_TBD)


def fits_lanes(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, reverse: bool = False) -> bool:
    """Whether `by_lanes` can take this window and is the faster one."""
    return isinstance(cell, LSTM) and triton_window.fits_lanes(cell, x_TBD, cell.w_h)


def by_steps(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    return _window(cell, x_TBD, resets_TB, state, reverse, False)


def by_lanes(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    return _window(cell, x_TBD, resets_TB, state, reverse, True)


def _window(
    cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool, lanes: bool
) -> tuple[Tensor, State]:
    assert isinstance(cell, LSTM)
    z_TBG = inputs(cell, x_TBD)
    keep = differentiable(z_TBG, cell.w_h, *state)
    h_TBH, h_BH, c_BH = _Window.apply(z_TBG, cell.w_h, *state, resets_TB, reverse, lanes, keep)
    return h_TBH, (h_BH, c_BH)


class _Window(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z_TBG: Tensor,
        w_h: Tensor,
        h_BH: Tensor,
        c_BH: Tensor,
        resets_TB: Tensor,
        reverse: bool,
        lanes: bool,
        keep: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.weight_dtype, w_h = w_h.dtype, w_h.to(z_TBG.dtype).contiguous()
        now_TB, next_TB = marks(resets_TB, reverse)
        first_B1 = resets_TB[-1 if reverse else 0, :, None]
        seen_TBH, seen_after_TBH = states(h_BH.masked_fill(first_B1, 0).to(z_TBG.dtype), len(z_TBG), reverse)
        c_before_TBH, c_after_TBH = states(c_BH, len(z_TBG), reverse)
        h_TBH = torch.empty_like(c_after_TBH)
        # The gates take the place of z, which is the kernel's own and needed no more.
        (T, B, H), w_HG, tiles = h_TBH.shape, w_h.t(), (LANES, COLUMNS, DEPTH)
        windows = z_TBG, c_before_TBH, c_after_TBH, h_TBH, seen_after_TBH, now_TB, next_TB
        if lanes:
            _forward_lanes[(triton.cdiv(B, LANES),)](*windows, seen_TBH, w_h, T, B, H, reverse, *tiles, num_warps=WARPS)
        else:
            for t in order(T, reverse):
                z_TBG[t].addmm_(seen_TBH[t], w_HG)
                _forward_step[(triton.cdiv(B * H, BLOCK),)](*(window[t] for window in windows), B * H, H, BLOCK)
        if keep:
            ctx.save_for_backward(z_TBG, c_before_TBH, c_after_TBH, seen_TBH, w_h, now_TB, next_TB)
            ctx.reverse, ctx.lanes = reverse, lanes
        return h_TBH, last(h_TBH, reverse), last(c_after_TBH, reverse)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh_TBH: Tensor, dh_BH: Tensor, dc_BH: Tensor) -> tuple[Tensor | None, ...]:
        gates_TBG, c_before_TBH, c_after_TBH, seen_TBH, w_h, now_TB, next_TB = ctx.saved_tensors
        da_TBG, dh_TBH = torch.empty_like(gates_TBG), dh_TBH.contiguous()
        # What has come back through the steps so far; at the end, to the state before the window.
        dh_BH, dc_BH = (d.clone(memory_format=torch.contiguous_format) for d in (dh_BH, dc_BH))
        (T, B, H), tiles = dh_TBH.shape, (LANES, COLUMNS, DEPTH)
        windows = gates_TBG, c_before_TBH, c_after_TBH, dh_TBH, da_TBG, now_TB, next_TB
        if ctx.lanes:
            sums = dh_BH, dc_BH, w_h, T, B, H
            _backward_lanes[(triton.cdiv(B, LANES),)](*windows[:-1], *sums, ctx.reverse, *tiles, num_warps=WARPS)
        else:
            for t in order(T, not ctx.reverse):
                sizes = dh_BH, dc_BH, B * H, H
                _backward_step[(triton.cdiv(B * H, BLOCK),)](*(w[t] for w in windows), *sizes, BLOCK)
                dh_BH = da_TBG[t] @ w_h
            dh_BH = dh_BH.to(dc_BH.dtype).masked_fill_(now_TB[t].bool()[:, None], 0)
        dw_h = (da_TBG.flatten(0, 1).t() @ seen_TBH.flatten(0, 1)).to(ctx.weight_dtype)
        return da_TBG, dw_h, dh_BH, dc_BH, None, None, None, None


@triton.jit
def _forward(a_i, a_f, a_g, a_o, c):
    i, f, o = tl.sigmoid(a_i), tl.sigmoid(a_f), tl.sigmoid(a_o)
    g = tanh(a_g)
    c = f * c + i * g
    return i, f, g, o, c, o * tanh(c)


@triton.jit
def _backward(i, f, g, o, c_before, c, dh, dc):
    tanh_c = tanh(c)
    dc += dh * o * (1 - tanh_c * tanh_c)
    da_i = dc * g * i * (1 - i)
    da_f = dc * c_before * f * (1 - f)
    da_g = dc * i * (1 - g * g)
    da_o = dh * tanh_c * o * (1 - o)
    return da_i, da_f, da_g, da_o, dc * f


@triton.jit
def _load_gates(gates, H, inside, dtype: tl.constexpr):
    i = tl.load(gates, mask=inside, other=0).to(dtype)
    f = tl.load(gates + H, mask=inside, other=0).to(dtype)
    g = tl.load(gates + 2 * H, mask=inside, other=0).to(dtype)
    o = tl.load(gates + 3 * H, mask=inside, other=0).to(dtype)
    return i, f, g, o


@triton.jit
def _store_gates(gates, H, inside, i, f, g, o):
    tl.store(gates, i, mask=inside)
    tl.store(gates + H, f, mask=inside)
    tl.store(gates + 2 * H, g, mask=inside)
    tl.store(gates + 3 * H, o, mask=inside)


@triton.jit
def _forward_step(z, c_before, c_after, h, seen_after, now, following, N, H, BLOCK: tl.constexpr):
    """A block of the step's N = B H features; z has W_h h in it."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    lane, inside = at // H, at < N
    kept = inside & (tl.load(now + lane, mask=inside, other=1) == 0)
    kept_next = tl.load(following + lane, mask=inside, other=1) == 0
    gates = z + at + lane * 3 * H
    c = tl.load(c_before + at, mask=kept, other=0)
    a_i, a_f, a_g, a_o = _load_gates(gates, H, inside, c.dtype)
    i, f, g, o, c, h_new = _forward(a_i, a_f, a_g, a_o, c)
    _store_gates(gates, H, inside, i, f, g, o)
    tl.store(c_after + at, c, mask=inside)
    tl.store(h + at, h_new, mask=inside)
    tl.store(seen_after + at, tl.where(kept_next, h_new, 0), mask=inside)


@triton.jit
def _backward_step(gates, c_before, c_after, dh, da, now, following, dh_came, dc_came, N, H, BLOCK: tl.constexpr):
    """As `_forward_step`. `dh_came` is what the product made of the following step, whose mark it does not know."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    lane, inside = at // H, at < N
    kept = inside & (tl.load(now + lane, mask=inside, other=1) == 0)
    kept_next = inside & (tl.load(following + lane, mask=inside, other=1) == 0)
    gates_at = at + lane * 3 * H
    c = tl.load(c_after + at, mask=inside, other=0)
    i, f, g, o = _load_gates(gates + gates_at, H, inside, c.dtype)
    dh_new = tl.load(dh + at, mask=inside, other=0) + tl.load(dh_came + at, mask=kept_next, other=0).to(c.dtype)
    dc = tl.load(dc_came + at, mask=inside, other=0)
    c_old = tl.load(c_before + at, mask=kept, other=0)
    da_i, da_f, da_g, da_o, dc = _backward(i, f, g, o, c_old, c, dh_new, dc)
    _store_gates(da + gates_at, H, inside, da_i, da_f, da_g, da_o)
    tl.store(dc_came + at, tl.where(kept, dc, 0), mask=inside)


@triton.jit
def _forward_lanes(
    z,
    c_before,
    c_after,
    h,
    seen_after,
    now,
    following,
    seen,
    w,
    T,
    B,
    H,
    REVERSE: tl.constexpr,
    LANES: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """All steps of a block of lanes."""
    lane = (tl.program_id(0) * LANES + tl.arange(0, LANES))[:, None]
    for step in tl.range(0, T, num_stages=1):
        t = T - 1 - step if REVERSE else step
        row = t.to(tl.int64) * B + lane
        kept = (lane < B) & (tl.load(now + row, mask=lane < B, other=1) == 0)
        kept_next = tl.load(following + row, mask=lane < B, other=1) == 0
        for first in tl.range(0, H, COLUMNS, num_stages=1):
            column = (first + tl.arange(0, COLUMNS))[None, :]
            inside = (lane < B) & (column < H)
            at, gates = row * H + column, z + row * 4 * H + column
            a_i, a_f, a_g, a_o = _load_gates(gates, H, inside, tl.float32)
            for begin in tl.range(0, H, DEPTH):
                depth = begin + tl.arange(0, DEPTH)
                x = tl.load(seen + row * H + depth[None, :], mask=(lane < B) & (depth[None, :] < H), other=0)
                within = (depth[:, None] < H) & (column < H)
                w_at = w + column * H + depth[:, None]
                a_i = tl.dot(x, tl.load(w_at, mask=within, other=0), a_i, "tf32x3")
                a_f = tl.dot(x, tl.load(w_at + H * H, mask=within, other=0), a_f, "tf32x3")
                a_g = tl.dot(x, tl.load(w_at + 2 * H * H, mask=within, other=0), a_g, "tf32x3")
                a_o = tl.dot(x, tl.load(w_at + 3 * H * H, mask=within, other=0), a_o, "tf32x3")
            c = tl.load(c_before + at, mask=inside & kept, other=0)
            i, f, g, o, c, h_new = _forward(a_i, a_f, a_g, a_o, c)
            _store_gates(gates, H, inside, i, f, g, o)
            tl.store(c_after + at, c, mask=inside)
            tl.store(h + at, h_new, mask=inside)
            tl.store(seen_after + at, tl.where(kept_next, h_new, 0), mask=inside)
        # Other threads of this program read what this one has written.
        tl.debug_barrier()


@triton.jit
def _backward_lanes(
    gates,
    c_before,
    c_after,
    dh,
    da,
    now,
    dh_came,
    dc_came,
    w,
    T,
    B,
    H,
    REVERSE: tl.constexpr,
    LANES: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """As `_forward_lanes`, from the last step to the first."""
    lane = (tl.program_id(0) * LANES + tl.arange(0, LANES))[:, None]
    for step in tl.range(0, T, num_stages=1):
        t = step if REVERSE else T - 1 - step
        row = t.to(tl.int64) * B + lane
        kept = (lane < B) & (tl.load(now + row, mask=lane < B, other=1) == 0)
        for first in tl.range(0, H, COLUMNS, num_stages=1):
            column = (first + tl.arange(0, COLUMNS))[None, :]
            inside = (lane < B) & (column < H)
            at, gates_at, came = row * H + column, row * 4 * H + column, lane * H + column
            i, f, g, o = _load_gates(gates + gates_at, H, inside, tl.float32)
            dh_new = tl.load(dh + at, mask=inside, other=0) + tl.load(dh_came + came, mask=inside, other=0)
            dc = tl.load(dc_came + came, mask=inside, other=0)
            c_old = tl.load(c_before + at, mask=inside & kept, other=0)
            c = tl.load(c_after + at, mask=inside, other=0)
            da_i, da_f, da_g, da_o, dc = _backward(i, f, g, o, c_old, c, dh_new, dc)
            _store_gates(da + gates_at, H, inside, da_i, da_f, da_g, da_o)
            tl.store(dc_came + came, tl.where(kept, dc, 0), mask=inside)
        # Other threads of this program read what this one has written.
        tl.debug_barrier()
        for first in tl.range(0, H, COLUMNS, num_stages=1):
            column = (first + tl.arange(0, COLUMNS))[None, :]
            dh_new = tl.zeros((LANES, COLUMNS), tl.float32)
            for begin in tl.range(0, 4 * H, DEPTH):
                depth = begin + tl.arange(0, DEPTH)
                x = tl.load(da + row * 4 * H + depth[None, :], mask=(lane < B) & (depth[None, :] < 4 * H), other=0)
                within = (depth[:, None] < 4 * H) & (column < H)
                dh_new = tl.dot(x, tl.load(w + depth[:, None] * H + column, mask=within, other=0), dh_new, "tf32x3")
            tl.store(dh_came + lane * H + column, tl.where(kept, dh_new, 0), mask=(lane < B) & (column < H))
        tl.debug_barrier()
