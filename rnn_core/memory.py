"""Memory that a window has used is kept for the next one, on a CPU.

A training step asks for the same large blocks again and again. glibc gives blocks above 32 MiB back to the system each
time, and smaller ones once the heap's end is free, and the system clears each page anew: a seventh of the time
of large layers went there. With these settings what a process has had stays its own; its peak does not grow.
"""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
_NEVER = 2**31 - 1
_GROWTH = 64 * 2**20
"""So many bytes more than asked for when the heap grows: fewer calls, and no page that is not touched costs memory."""


def keep() -> bool:
    """For the process, from now on; whether its C library has these settings (glibc has, others need not)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_MMAP_THRESHOLD, 2**30), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _GROWTH))
    done = [mallopt(ctypes.c_int(name), ctypes.c_int(value)) for name, value in settings]
    return all(done)
