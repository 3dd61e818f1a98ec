"""How many processor threads one query may take: few, so that a busy core does not hold all of them up.

torch's threads meet at the end of every matrix product. Beside another process the slowest of them sets the pace, and
a query that takes 25 ms alone can take 500; with half of the threads it takes about as long as before, and stays so
(``benchmarks/latency.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

_lock = Lock()
_inside = 0
_before = 0


@contextmanager
def few_threads() -> Iterator[None]:
    """Half of torch's threads, at least one, inside the block.

    torch keeps the number for each thread, and a thread that is new takes over what was set last: who leaves restores
    what the first to enter found, not what a neighbour's block had set meanwhile.
    """
    global _inside, _before
    with _lock:
        if _inside == 0:
            _before = torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(max(1, _before // 2))
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            torch.set_num_threads(_before)
