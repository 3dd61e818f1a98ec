"""Choose the engine for a folder, a URL or memory."""

from __future__ import annotations

import os
from typing import Literal

from metaembed_rag.errors import InputError
from metaembed_rag.store.engine import Engine
from metaembed_rag.store.options import ServerOptions

API_KEY_VARIABLE = "QDRANT_API_KEY"


def open_engine(
    *,
    path: str | None,
    url: str | None,
    collection: str,
    api_key: str | None = None,
    engine: Literal["edge", "local"] | None = None,
    server: ServerOptions | None = None,
) -> Engine:
    """Open, without making a collection yet.

    Args:
        path: a folder or ":memory:", or None with a url.
        url: a Qdrant server.
        collection: name on a server or in the local mode.
        api_key: of the server; ``$QDRANT_API_KEY`` otherwise.
        engine: "edge" (default) or "local" for a path.
        server: how a collection on a server is made and reached.

    Raises:
        InputError: the arguments contradict each other.
        StoreError: it cannot be opened; see IndexLockedError and IndexMismatchError.
    """
    if engine not in (None, "edge", "local"):
        raise InputError(f"engine={engine!r} is not known: 'edge' is the embedded engine, 'local' qdrant-client's")
    if url is not None:
        if engine is not None or path is not None:
            raise InputError("url= names a server: leave path and engine out")
        from metaembed_rag.store.client import ClientEngine

        return ClientEngine.server(url, collection, api_key or os.environ.get(API_KEY_VARIABLE), server)
    if server is not None:
        raise InputError("server= says how a collection lies on a server: give url= as well, or leave it out")
    if not path:
        raise InputError("an index needs a path or a url")
    if engine == "local":
        from metaembed_rag.store.client import ClientEngine

        return ClientEngine.local(path, collection)
    from metaembed_rag.store.edge import EdgeEngine

    return EdgeEngine(path)
