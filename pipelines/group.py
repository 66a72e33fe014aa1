"""The workers of a training as a group: which one this is, sums over all, the lanes of all in one tensor.

Knows torch.distributed but neither who started the workers nor what they train; one process alone is a group too.
"""

import torch
import torch.distributed as dist
from torch import Tensor

from rnn_core.lanes import lane_slice


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def reduce(tensors: list[Tensor], compressed: bool = False) -> None:
    """Sum over the workers in place, in one bucket a type: its order and size depend on the parameters alone.

    Args:
        compressed: what is float32 travels, and is summed, as bfloat16: half the bytes, 8 bits of precision.
    """
    if size() == 1:
        return
    for dtype in {t.dtype: None for t in tensors}:
        same = [t for t in tensors if t.dtype == dtype]
        bucket = torch.cat([t.flatten() for t in same])
        if compressed and dtype == torch.float32:
            bucket = bucket.bfloat16()
        dist.all_reduce(bucket)
        for tensor, part in zip(same, bucket.split([t.numel() for t in same]), strict=True):
            tensor.copy_(part.view_as(tensor))


def gathered(mine: Tensor) -> Tensor:
    """The tensors of all workers, one shape, in a new first dimension in the order of the workers."""
    if size() == 1:
        return mine[None]
    parts = [torch.empty_like(mine) for _ in range(size())]
    dist.all_gather(parts, mine)
    return torch.stack(parts)


def gather_lanes(mine: Tensor, lanes: int) -> Tensor:
    """All lanes, in lane order, from each worker's slice of them."""
    workers = size()
    if workers == 1:
        return mine
    slices = [lane_slice(lanes, rank, workers) for rank in range(workers)]
    width = slices[0].stop
    padded = torch.cat([mine, mine.new_zeros(width - len(mine), *mine.shape[1:])])
    return torch.cat([part[: s.stop - s.start] for part, s in zip(gathered(padded), slices, strict=True)])
