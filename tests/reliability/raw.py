"""Stored vectors as the engines hold them, read past every layer of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metaembed_rag.store.engine import Engine
from metaembed_rag.store.schema import WORDS

FloatArray = npt.NDArray[np.float32]


def read_vectors(engine: Engine, ids: Sequence[str]) -> dict[str, Mapping[str, FloatArray]]:
    """Named vectors of points by id, ``[rows, dim]`` each; not the sparse one of words."""
    inner: Any = engine
    if engine.name == "edge":
        records = inner._shard.retrieve(list(ids), with_payload=False, with_vector=True)
    else:
        records = inner._client.retrieve(inner._collection, list(ids), with_payload=False, with_vectors=True)
    return {
        str(record.id): {
            name: np.atleast_2d(np.asarray(rows, dtype=np.float32))
            for name, rows in (record.vector or {}).items()
            if name != WORDS
        }
        for record in records
    }
