"""The shipped model, asked once about each text: drills ask about the same few texts thousands of times."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from metaembed_rag import MetaEmbed

FloatArray = npt.NDArray[np.float32]


class CachedModel(MetaEmbed):
    """MetaEmbed that remembers the full embedding of every single text; a budget takes its first rows."""

    def __init__(self, model: MetaEmbed) -> None:
        super().__init__(model.config, model.encoder, model.fingerprint, model.folder, model.document_fingerprint)
        self._known: dict[tuple[str, str], FloatArray] = {}

    def _encode(self, texts: list[str], task: str, count: int, batch_size: int) -> FloatArray:
        full = self.query_tokens if task == "query" else self.document_tokens
        for text in texts:
            if (task, text) not in self._known:
                self._known[task, text] = super()._encode([text], task, full, batch_size)[0]
        if not texts:
            return super()._encode(texts, task, count, batch_size)
        return np.stack([self._known[task, text][:count] for text in texts])


@cache
def cached_model() -> Any:
    """The one of this process."""
    return CachedModel(MetaEmbed.from_pretrained("mini", device="cpu"))
