"""A model by its name, to be loaded when it is needed, here or in another process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metaembed_rag.embedding.dtypes import Dtype, check_dtype
from metaembed_rag.errors import InputError

if TYPE_CHECKING:
    from metaembed_rag.embedding.model import MetaEmbed


@dataclass(frozen=True, slots=True)
class NamedModel:
    """What ``MetaEmbed.from_pretrained`` needs; making one loads nothing.

    Attributes:
        name: a packaged model, a model folder or a hub id.
        dtype: in which its backbone computes; None keeps the checkpoint's own.
        device: where; None lets torch choose.

    Raises:
        InputError: no such dtype.
    """

    name: str | Path
    dtype: Dtype | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        check_dtype(self.dtype)

    def arguments(self) -> dict[str, str]:
        """What was given, as JSON values by the names that ``MetaEmbedIndex`` has for them."""
        given = {"model": str(self.name), "dtype": self.dtype, "device": self.device}
        return {name: value for name, value in given.items() if value is not None}

    def load(self) -> MetaEmbed:
        """The model; errors as of ``MetaEmbed.from_pretrained``."""
        from metaembed_rag.embedding.model import MetaEmbed

        return MetaEmbed.from_pretrained(self.name, dtype=self.dtype, device=self.device)


def name_model(
    model: str | Path | MetaEmbed, *, dtype: Dtype | None = None, device: str | None = None
) -> NamedModel | None:
    """How to load a model that is given by its name; None for one that is loaded.

    Raises:
        InputError: no such dtype, or a model that is loaded and a dtype or device beside it.
    """
    if isinstance(model, (str, Path)):
        return NamedModel(model, dtype, device)
    if not hasattr(model, "document_fingerprint"):
        raise InputError(f"model is a MetaEmbed or the name of one, not a {type(model).__name__}")
    if dtype is not None or device is not None:
        raise InputError("a loaded model stays as it is: leave dtype and device out, or give its name in its place")
    return None
