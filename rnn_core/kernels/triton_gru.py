"""The GRU over a window on a GPU, resets inside it included; the equations are in `rnn_core/kernels/gru.py`.

Two forms, by steps and by lanes; `rnn_core/kernels/triton_window.py` says which is for what. As W_h h has to be kept
apart from x_n, a step's product has a buffer of its own.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.gru import GRU
from rnn_core.kernels import triton_window
from rnn_core.kernels.triton_window import BLOCK, COLUMNS, DEPTH, LANES, WARPS, inputs, marks, order, tanh
from rnn_core.kernels.window import differentiable, last, states


def fits_steps(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, reverse: bool = False) -> bool:
    """Whether `by_steps` can take this window."""
    return isinstance(cell, GRU) and triton_window.fits_steps(cell, x_TBD)


def fits_lanes(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, reverse: bool = False) -> bool:
    """Whether `by_lanes` can take this window and is the faster one."""
    return isinstance(cell, GRU) and triton_window.fits_lanes(cell, x_TBD, cell.w_h)


def by_steps(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    return _window(cell, x_TBD, resets_TB, state, reverse, False)


def by_lanes(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    return _window(cell, x_TBD, resets_TB, state, reverse, True)


def _window(
    cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool, lanes: bool
) -> tuple[Tensor, State]:
    assert isinstance(cell, GRU)
    x_TBG = inputs(cell, x_TBD)
    keep = differentiable(x_TBG, cell.w_h, cell.b_hn, *state)
    h_TBH, h_BH = _Window.apply(x_TBG, cell.w_h, cell.b_hn, *state, resets_TB, reverse, lanes, keep)
    return h_TBH, (h_BH,)


class _Window(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_TBG: Tensor,
        w_h: Tensor,
        b_hn: Tensor,
        h_BH: Tensor,
        resets_TB: Tensor,
        reverse: bool,
        lanes: bool,
        keep: bool,
    ) -> tuple[Tensor, Tensor]:
        ctx.weight_dtype, w_h = w_h.dtype, w_h.to(x_TBG.dtype).contiguous()
        now_TB, next_TB = marks(resets_TB, reverse)
        first_B1 = resets_TB[-1 if reverse else 0, :, None]
        seen_TBH, seen_after_TBH = states(h_BH.masked_fill(first_B1, 0).to(x_TBG.dtype), len(x_TBG), reverse)
        h_before_TBH, h_after_TBH = states(h_BH, len(x_TBG), reverse)
        # r, z and n take the place of x, which is the kernel's own and needed no more.
        m_TBH = torch.empty_like(seen_TBH)
        (T, B, H), w_HG, tiles = m_TBH.shape, w_h.t(), (LANES, COLUMNS, DEPTH)
        windows = x_TBG, m_TBH, h_before_TBH, h_after_TBH, seen_after_TBH, now_TB, next_TB
        if lanes:
            weights = b_hn, seen_TBH, w_h
            _forward_lanes[(triton.cdiv(B, LANES),)](*windows, *weights, T, B, H, reverse, *tiles, num_warps=WARPS)
        else:
            for t in order(T, reverse):
                u_BG = seen_TBH[t] @ w_HG
                _forward_step[(triton.cdiv(B * H, BLOCK),)](*(w[t] for w in windows), b_hn, u_BG, B * H, H, BLOCK)
        if keep:
            ctx.save_for_backward(x_TBG, m_TBH, h_before_TBH, seen_TBH, w_h, now_TB, next_TB)
            ctx.reverse, ctx.lanes = reverse, lanes
        return h_after_TBH, last(h_after_TBH, reverse)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh_TBH: Tensor, dh_BH: Tensor) -> tuple[Tensor | None, ...]:
        gates_TBG, m_TBH, h_before_TBH, seen_TBH, w_h, now_TB, next_TB = ctx.saved_tensors
        # da_TBG: of W_h h, with dm in its last third, and da_n apart.
        da_TBG, da_n_TBH, dh_TBH = torch.empty_like(gates_TBG), torch.empty_like(m_TBH), dh_TBH.contiguous()
        # What has come back through the steps so far: by the products, and past them.
        dh_BH = dh_BH.clone(memory_format=torch.contiguous_format)
        (T, B, H), tiles = dh_TBH.shape, (LANES, COLUMNS, DEPTH)
        windows = gates_TBG, m_TBH, h_before_TBH, dh_TBH, da_TBG, da_n_TBH, now_TB, next_TB
        if ctx.lanes:
            sums = dh_BH, w_h, T, B, H
            _backward_lanes[(triton.cdiv(B, LANES),)](*windows[:-1], *sums, ctx.reverse, *tiles, num_warps=WARPS)
        else:
            past_BH = torch.zeros_like(dh_BH)
            for t in order(T, not ctx.reverse):
                sizes = dh_BH, past_BH, B * H, H
                _backward_step[(triton.cdiv(B * H, BLOCK),)](*(w[t] for w in windows), *sizes, BLOCK)
                dh_BH = da_TBG[t] @ w_h
            dh_BH = past_BH.add_(dh_BH.masked_fill_(now_TB[t].bool()[:, None], 0))
        dw_h = (da_TBG.flatten(0, 1).t() @ seen_TBH.flatten(0, 1)).to(ctx.weight_dtype)
        db_hn = da_TBG[:, :, 2 * H :].sum((0, 1), dtype=ctx.weight_dtype)
        da_TBG[:, :, 2 * H :] = da_n_TBH
        return da_TBG, dw_h, db_hn, dh_BH, None, None, None, None


@triton.jit
def _forward(x_r, x_z, x_n, m, h):
    """With W_h h in x_r, x_z and m."""
    r, z = tl.sigmoid(x_r), tl.sigmoid(x_z)
    n = tanh(x_n + r * m)
    return r, z, n, n + z * (h - n)


@triton.jit
def _backward(r, z, n, m, h, dh):
    da_n = dh * (1 - z) * (1 - n * n)
    da_r = da_n * m * r * (1 - r)
    da_z = dh * (h - n) * z * (1 - z)
    return da_r, da_z, da_n, da_n * r, dh * z


@triton.jit
def _load_gates(gates, H, inside, dtype: tl.constexpr):
    r = tl.load(gates, mask=inside, other=0).to(dtype)
    z = tl.load(gates + H, mask=inside, other=0).to(dtype)
    n = tl.load(gates + 2 * H, mask=inside, other=0).to(dtype)
    return r, z, n


@triton.jit
def _store_gates(gates, H, inside, r, z, n):
    tl.store(gates, r, mask=inside)
    tl.store(gates + H, z, mask=inside)
    tl.store(gates + 2 * H, n, mask=inside)


@triton.jit
def _forward_step(x, m, h_before, h_after, seen_after, now, following, b_hn, u, N, H, BLOCK: tl.constexpr):
    """A block of the step's N = B H features; u is W_h h."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    lane, inside = at // H, at < N
    kept = inside & (tl.load(now + lane, mask=inside, other=1) == 0)
    kept_next = tl.load(following + lane, mask=inside, other=1) == 0
    gates_at = at + lane * 2 * H
    h = tl.load(h_before + at, mask=kept, other=0)
    x_r, x_z, x_n = _load_gates(x + gates_at, H, inside, h.dtype)
    u_r, u_z, u_n = _load_gates(u + gates_at, H, inside, h.dtype)
    m_new = u_n + tl.load(b_hn + at - lane * H, mask=inside, other=0)
    r, z, n, h = _forward(x_r + u_r, x_z + u_z, x_n, m_new, h)
    _store_gates(x + gates_at, H, inside, r, z, n)
    tl.store(m + at, m_new, mask=inside)
    tl.store(h_after + at, h, mask=inside)
    tl.store(seen_after + at, tl.where(kept_next, h, 0), mask=inside)


@triton.jit
def _backward_step(gates, m, h_before, dh, da, da_n, now, following, dh_came, past, N, H, BLOCK: tl.constexpr):
    """As `_forward_step`. `dh_came` is what the product made of the following step, whose mark it does not know."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    lane, inside = at // H, at < N
    kept = inside & (tl.load(now + lane, mask=inside, other=1) == 0)
    kept_next = inside & (tl.load(following + lane, mask=inside, other=1) == 0)
    gates_at = at + lane * 2 * H
    h = tl.load(h_before + at, mask=kept, other=0)
    r, z, n = _load_gates(gates + gates_at, H, inside, h.dtype)
    dh_new = tl.load(dh + at, mask=inside, other=0) + tl.load(past + at, mask=inside, other=0)
    dh_new += tl.load(dh_came + at, mask=kept_next, other=0).to(h.dtype)
    m_old = tl.load(m + at, mask=inside, other=0).to(h.dtype)
    da_r, da_z, da_n_new, dm, dh_past = _backward(r, z, n, m_old, h, dh_new)
    _store_gates(da + gates_at, H, inside, da_r, da_z, dm)
    tl.store(da_n + at, da_n_new, mask=inside)
    tl.store(past + at, tl.where(kept, dh_past, 0), mask=inside)


@triton.jit
def _forward_lanes(
    x,
    m,
    h_before,
    h_after,
    seen_after,
    now,
    following,
    b_hn,
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
            at, gates = row * H + column, x + row * 3 * H + column
            a_r, a_z, x_n = _load_gates(gates, H, inside, tl.float32)
            m_new = tl.zeros((LANES, COLUMNS), tl.float32)
            for begin in tl.range(0, H, DEPTH):
                depth = begin + tl.arange(0, DEPTH)
                h = tl.load(seen + row * H + depth[None, :], mask=(lane < B) & (depth[None, :] < H), other=0)
                within = (depth[:, None] < H) & (column < H)
                w_at = w + column * H + depth[:, None]
                a_r = tl.dot(h, tl.load(w_at, mask=within, other=0), a_r, "tf32x3")
                a_z = tl.dot(h, tl.load(w_at + H * H, mask=within, other=0), a_z, "tf32x3")
                m_new = tl.dot(h, tl.load(w_at + 2 * H * H, mask=within, other=0), m_new, "tf32x3")
            m_new += tl.load(b_hn + column, mask=column < H, other=0)
            h_old = tl.load(h_before + at, mask=inside & kept, other=0)
            r, z, n, h_new = _forward(a_r, a_z, x_n, m_new, h_old)
            _store_gates(gates, H, inside, r, z, n)
            tl.store(m + at, m_new, mask=inside)
            tl.store(h_after + at, h_new, mask=inside)
            tl.store(seen_after + at, tl.where(kept_next, h_new, 0), mask=inside)
        # Other threads of this program read what this one has written.
        tl.debug_barrier()


@triton.jit
def _backward_lanes(
    gates,
    m,
    h_before,
    dh,
    da,
    da_n,
    now,
    dh_came,
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
            at, gates_at, came = row * H + column, row * 3 * H + column, lane * H + column
            r, z, n = _load_gates(gates + gates_at, H, inside, tl.float32)
            dh_new = tl.load(dh + at, mask=inside, other=0) + tl.load(dh_came + came, mask=inside, other=0)
            h = tl.load(h_before + at, mask=inside & kept, other=0)
            m_old = tl.load(m + at, mask=inside, other=0).to(tl.float32)
            da_r, da_z, da_n_new, dm, dh_past = _backward(r, z, n, m_old, h, dh_new)
            _store_gates(da + gates_at, H, inside, da_r, da_z, dm)
            tl.store(da_n + at, da_n_new, mask=inside)
            tl.store(dh_came + came, dh_past, mask=inside)
        # Other threads of this program read what this one has written.
        tl.debug_barrier()
        for first in tl.range(0, H, COLUMNS, num_stages=1):
            column = (first + tl.arange(0, COLUMNS))[None, :]
            inside, came = (lane < B) & (column < H), dh_came + lane * H + column
            dh_new = tl.load(came, mask=inside, other=0)
            for begin in tl.range(0, 3 * H, DEPTH):
                depth = begin + tl.arange(0, DEPTH)
                x = tl.load(da + row * 3 * H + depth[None, :], mask=(lane < B) & (depth[None, :] < 3 * H), other=0)
                within = (depth[:, None] < 3 * H) & (column < H)
                dh_new = tl.dot(x, tl.load(w + depth[:, None] * H + column, mask=within, other=0), dh_new, "tf32x3")
            tl.store(came, tl.where(kept, dh_new, 0), mask=inside)
        tl.debug_barrier()
