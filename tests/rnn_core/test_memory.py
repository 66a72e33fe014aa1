"""Memory that is kept: what a window frees the next one finds, without a page that is new to it."""

import subprocess
import sys

PROGRAM = """
import resource, torch
from rnn_core import memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(16 * 2**20).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
torn, kept = faults(), memory.keep()
faults()
print(torn, int(kept), faults())
"""


def test_large_blocks_are_used_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    torn, kept, faults = map(int, done.stdout.split())
    # Another C library may have no such settings; then nothing is promised.
    assert not kept or faults < torn / 10 or torn == 0, (torn, faults)
