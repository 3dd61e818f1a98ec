"""Which failures of a Qdrant client pass by themselves, how long to wait for that, and how to tell them to people."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from metaembed_rag.errors import StoreError
from metaembed_rag.store.engine import RefusedError

#: Seconds before the second and third try of a call that failed for a moment.
BACKOFF = (0.2, 1.0)
#: Seconds between tries while a server cannot be reached: doubled from the first to the second.
RECONNECT = (0.2, 5.0)

_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_REFUSED_STATUS = frozenset({400, 404, 409, 422})
_TRANSIENT_GRPC = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED"})
_REFUSED_GRPC = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION"})
#: Names of what httpx raises where nobody listens or answers, found in the chain of causes.
_UNREACHABLE = frozenset({"ConnectError", "ConnectTimeout", "RemoteProtocolError", "ReadError", "WriteError"})


def pauses(error: Exception, patience: float) -> Iterator[float]:
    """Seconds to wait before each further try; none for what will not pass.

    Args:
        error: what failed first. Every call of this package may be made again: ids and payloads are the caller's.
        patience: seconds in all for a server that cannot be reached.
    """
    if unreachable(error):
        pause, waited = RECONNECT[0], 0.0
        while waited < patience:
            pause = min(pause, patience - waited)
            yield pause
            waited += pause
            pause = min(2 * pause, RECONNECT[1])
    elif transient(error):
        yield from BACKOFF


def passing(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    return unreachable(error) or transient(error)


def transient(error: Exception) -> bool:
    """Whether a server that answers may answer otherwise in a moment."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _TRANSIENT_STATUS
    if isinstance(error, (ResponseHandlingException, ConnectionError, TimeoutError)):
        return True
    return grpc_status(error) in _TRANSIENT_GRPC


def unreachable(error: BaseException | None) -> bool:
    """Whether nobody answered at all."""
    if error is None:
        return False
    if isinstance(error, ConnectionError) or type(error).__name__ in _UNREACHABLE:
        return True
    if grpc_status(error) == "UNAVAILABLE":
        return True
    source = getattr(error, "source", None)  # of a ResponseHandlingException
    return unreachable(source if isinstance(source, BaseException) else error.__cause__)


def to_store_error(name: str, error: Exception) -> StoreError:
    """The failure in words, without request headers, which may hold the API key."""
    kind = StoreError
    if isinstance(error, UnexpectedResponse):
        reason = f"HTTP status {error.status_code} {error.reason_phrase}"
        kind = RefusedError if error.status_code in _REFUSED_STATUS else StoreError
    else:
        details = getattr(error, "details", None)
        reason = str(details()) if callable(details) else str(error) or type(error).__name__
        kind = RefusedError if grpc_status(error) in _REFUSED_GRPC else StoreError
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        reason = f"the disk is full ({reason}): free some space, then do it again"
    return kind(f"Qdrant failed in {name}: {reason}")


def grpc_status(error: BaseException) -> str:
    """The name of a gRPC status: grpc is imported by the client only."""
    code = getattr(error, "code", None)
    return str(getattr(code(), "name", "")) if callable(code) else ""
