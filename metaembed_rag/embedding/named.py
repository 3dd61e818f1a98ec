"""A model by its name, to be loaded when it is needed, here or in another process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metaembed_rag.embedding.dtypes import Dtype, check_dtype

if TYPE_CHECKING:
    from metaembed_rag.embedding.model import MetaEmbed


@dataclass(frozen=True, slots=True)
class NamedModel:
    """What ``MetaEmbed.from_pretrained`` needs; making one loads nothing.

    Attributes:
        name: a packaged model, a model folder or a hub id.
        dtype: in which its backbone computes; None keeps the checkpoint's own.

    Raises:
        InputError: no such dtype.
    """

    name: str | Path
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_dtype(self.dtype)

    def load(self) -> MetaEmbed:
        """The model; errors as of ``MetaEmbed.from_pretrained``."""
        from metaembed_rag.embedding.model import MetaEmbed

        return MetaEmbed.from_pretrained(self.name, dtype=self.dtype)
