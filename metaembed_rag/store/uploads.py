"""Uploads: batches of points on their way to an engine, several at once where it takes several."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from metaembed_rag.store.engine import Point


class Uploads:
    """Sends batches; a context that ends when none is in flight any more, so that whoever cleans up comes last.

    Args:
        send: writes one batch.
        lanes: batches in flight; one sends in the caller's thread.
    """

    def __init__(self, send: Callable[[Sequence[Point]], None], lanes: int) -> None:
        self._send = send
        self._lanes = lanes
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="metaembed-upload") if lanes > 1 else None
        self._flying: deque[Future[None]] = deque()

    def __enter__(self) -> Uploads:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def send(self, points: Sequence[Point]) -> None:
        """Send a batch, after waiting for the oldest one if all lanes are busy; its error is raised here."""
        if not points:
            return
        if self._pool is None:
            self._send(points)
            return
        if len(self._flying) >= self._lanes:
            self._flying.popleft().result()
        self._flying.append(self._pool.submit(self._send, list(points)))

    def finish(self) -> None:
        """Wait for everything sent.

        Raises:
            StoreError: a batch did not arrive.
        """
        while self._flying:
            self._flying.popleft().result()
