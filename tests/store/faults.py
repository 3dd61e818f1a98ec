"""Faults below an engine: whatever it calls fails at a chosen moment, before or after it had its effect."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from httpx import Headers
from qdrant_client.http.exceptions import UnexpectedResponse

from metaembed_rag.store.client import ClientEngine
from metaembed_rag.store.edge import EdgeEngine
from metaembed_rag.store.engine import Engine


def _status(code: int) -> UnexpectedResponse:
    return UnexpectedResponse(code, "not now", b"", Headers())


#: What goes wrong. "lost" does what it was asked and loses the answer, "partial" does half of a batch.
ERRORS: dict[str, Callable[[], Exception]] = {
    "timeout": lambda: TimeoutError("timed out"),
    "refused": lambda: ConnectionRefusedError(errno.ECONNREFUSED, "connection refused"),
    "5xx": lambda: _status(503),
    "full": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "lost": lambda: TimeoutError("timed out"),
    "partial": lambda: OSError(errno.ENOSPC, "No space left on device"),
}


class Faults:
    """Makes calls of the engine's library fail.

    Attributes:
        calls: since the last ``arm``.
        failed: names of the calls that failed since then.
    """

    def __init__(self, engine: Engine) -> None:
        self.calls = 0
        self.failed: list[str] = []
        self._first: int | None = None
        self._times = 0
        self._kind = ""
        if isinstance(engine, EdgeEngine):
            load = engine._load
            engine._load = lambda *given: _Proxy(load(*given), self)  # type: ignore[method-assign,return-value,assignment]
            engine._shard = _Proxy(engine._shard, self)  # type: ignore[assignment]
        else:
            assert isinstance(engine, ClientEngine)
            engine._client = _Proxy(engine._client, self)  # type: ignore[assignment]

    def arm(self, kind: str, first: int, times: int = 1) -> None:
        """Let ``times`` calls fail, beginning with the ``first`` from now, counted from 1."""
        self.calls, self.failed = 0, []
        self._kind, self._first, self._times = kind, first, times

    def heal(self) -> None:
        """Let everything work again."""
        self._first = None

    def around(self, name: str, call: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Make a call, or fail."""
        self.calls += 1
        if self._first is None or not self._first <= self.calls < self._first + self._times:
            return call(*given, **named)
        self.failed.append(name)
        if self._kind == "lost":
            call(*given, **named)
        elif self._kind == "partial" and name == "upsert":
            collection, points = given
            call(collection, points[: len(points) // 2], **named)
        raise ERRORS[self._kind]()


class _Proxy:
    """An object whose methods may fail."""

    def __init__(self, target: Any, faults: Faults) -> None:
        self._target = target
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value) or name in ("close", "info"):
            return value
        return lambda *given, **named: self._faults.around(name, value, given, named)
