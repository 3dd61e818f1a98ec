"""The asynchronous half of MetaEmbedIndex: the same methods, off the event loop, first come first served.

One engine call at a time is possible in process, and the model takes one batch at a time, so calls of an embedded
index queue for one thread: whoever asked first is answered first, and a burst of requests waits in line instead of
fighting for the interpreter (benchmarks/results/concurrency.md). A server answers several at once. Writes have a queue
of their own, so that searches go on during a long ``aadd``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

#: Calls to a server that may be under way at once.
SERVER_LANES = 8


class Lane:
    """A queue of calls, made on first use.

    Args:
        width: calls at once.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    async def run(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Make a call when its turn comes; cancelled before that, it is never made."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._width, thread_name_prefix="metaembed")
            pool = self._pool
        future = pool.submit(call, *args, **kwargs)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let calls under way finish and drop those that wait."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = None
