"""What the vector store writes and deletes: LangChain's names for MetaEmbedIndex.add_texts, add and delete."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.vectorstores import VectorStore

from langchain_metaembed.arguments import refuse_unknown
from langchain_metaembed.pictures import Picture, open_picture, path_of, picture_id
from metaembed_rag.errors import InputError
from metaembed_rag.index import MetaEmbedIndex
from metaembed_rag.pages import OcrMode, check_ocr

if TYPE_CHECKING:
    from PIL.Image import Image

_TEXTS = ("texts", "metadatas", "ids", "batch_size")


class MetaEmbedWrites(VectorStore):
    """What a MetaEmbedVectorStore takes in and lets go of."""

    index: MetaEmbedIndex

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Index texts. A text under an id that exists replaces the older one.

        Args:
            texts: what to index; long ones are embedded whole, window by window.
            metadatas: JSON values, one mapping a text.
            ids: one a text; None, for all or among others, derives an id from text and metadata.
            batch_size: texts handed to the index at once; None hands over all of them.
            **kwargs: nothing; what is misspelt is refused.

        Returns:
            the ids, one a text.

        Raises:
            InputError: lengths differ, an id occurs twice, or a value is of the wrong type.
            KeywordError: any other keyword.
        """
        refuse_unknown("add_texts", kwargs, _TEXTS)
        return [
            identifier
            for batch in _batches(texts, metadatas, ids, batch_size)
            for identifier in self.index.add_texts(*batch)
        ]

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """As ``add_texts``."""
        refuse_unknown("aadd_texts", kwargs, _TEXTS)
        return [
            identifier
            for batch in _batches(texts, metadatas, ids, batch_size)
            for identifier in await self.index.aadd_texts(*batch)
        ]

    def add_images(
        self,
        images: Sequence[Picture],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        ocr: OcrMode = "auto",
    ) -> list[str]:
        """Index pictures of pages.

        A file is indexed as ``MetaEmbedIndex.add`` does: each of its pages under an id made of path and number, to be
        drawn again from its source. A picture in memory is kept as the text that recognition finds in it, and as
        what a model with eyes sees.

        Args:
            images: paths or ``file:`` URIs of pictures and PDFs; base64 ``data:`` URIs; PIL pictures.
            metadatas: JSON values, one mapping a picture.
            ids: one a picture; pictures in memory only. None derives them from the pixels.
            ocr: as in ``MetaEmbedIndex.add``; "never" leaves pictures without text.

        Returns:
            the ids of all pages, in order.

        Raises:
            DocumentError: a picture cannot be read; those before it are indexed.
            InputError: lengths differ, or an id is given for a file.
        """
        check_ocr(ocr)
        added: list[str] = []
        for image, file, metadata, name in _each_image(images, metadatas, ids):
            if file is not None:
                added += self.index.add(file, ocr=ocr, metadata=metadata, progress=False)
                continue
            picture = open_picture(image, self.index.limits)
            identifier = picture_id(picture) if name is None else name
            # A model with eyes looks at the picture; its text is what the documents say.
            seen = list(self.index.model.encode_documents([picture])) if self.index.model.sees else None
            text = "" if ocr == "never" else _read_text(picture)
            added += self.index.add_texts([text], [identifier], [metadata], seen)
        return added

    async def aadd_images(
        self,
        images: Sequence[Picture],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        ocr: OcrMode = "auto",
    ) -> list[str]:
        """As ``add_images``."""
        return await asyncio.to_thread(self.add_images, images, metadatas, ids=ids, ocr=ocr)

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents by id; ids that do not exist are no error.

        Returns:
            True: failures are raised.

        Raises:
            InputError: no ids are given.
            KeywordError: any other keyword.
        """
        self.index.delete(_some(ids, kwargs))
        return True

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """As ``delete``."""
        await self.index.adelete(_some(ids, kwargs))
        return True


def _batches(
    texts: Iterable[str], metadatas: Sequence[Any] | None, ids: Sequence[str] | None, size: int | None
) -> Iterator[tuple[list[str], Sequence[str] | None, Sequence[Any] | None]]:
    """Texts, ids and metadatas, ``size`` texts at a time."""
    if isinstance(texts, str):
        raise InputError("add_texts takes a list of texts, not a single one: wrap it in a list")
    items = list(texts)
    if size is None:
        yield items, ids, metadatas
        return
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InputError(f"batch_size must be a whole number of at least 1, not {size!r}")
    # The index checks what it is given at once; these would pass a batch at a time.
    for name, values in (("metadatas", metadatas), ("ids", ids)):
        if values is not None and len(values) != len(items):
            raise InputError(f"{name} must have one entry a text ({len(items)})")
    named = [identifier for identifier in ids or () if identifier is not None]
    if len(set(named)) != len(named):
        raise InputError("an id occurs twice")
    for start in range(0, len(items), size):
        part = slice(start, start + size)
        yield items[part], None if ids is None else ids[part], None if metadatas is None else metadatas[part]


def _each_image(
    images: Sequence[Picture], metadatas: Sequence[dict[str, Any] | None] | None, ids: Sequence[str | None] | None
) -> Iterator[tuple[Picture, str | None, dict[str, Any], str | None]]:
    """Pictures with the path of those that are files, metadata and id; all checked before the first is indexed."""
    if isinstance(images, (str, Path)) or not isinstance(images, Sequence):
        raise InputError("add_images takes a list of pictures, not a single one: wrap it in a list")
    for what, values in (("metadatas", metadatas), ("ids", ids)):
        if values is not None and (isinstance(values, str) or len(values) != len(images)):
            raise InputError(f"{what} must have one entry a picture ({len(images)})")
    files = [path_of(image) for image in images]
    names: Sequence[str | None] = [None] * len(images) if ids is None else ids
    for file, name in zip(files, names, strict=True):
        if file is not None and name is not None:
            raise InputError(f"{file}: pages of files have ids made of path and number; give None as its id")
    found: Sequence[dict[str, Any] | None] = [None] * len(images) if metadatas is None else metadatas
    for image, file, metadata, name in zip(images, files, found, names, strict=True):
        yield image, file, dict(metadata or {}), name


def _some(ids: list[str] | None, unknown: dict[str, Any]) -> list[str]:
    refuse_unknown("delete", unknown, ("ids",))
    if ids is None:
        raise InputError("delete needs ids; for all pages of a file use store.index.delete(source=...)")
    return ids


def _read_text(picture: Image) -> str:
    from metaembed_rag.pages.ocr import shared_reader

    return shared_reader().read(picture)[0]
