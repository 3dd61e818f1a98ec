"""From pages to stored points: windows, Meta Token vectors and payloads, a batch at a time."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaembed_rag.embedding.backbone import file_sha256
from metaembed_rag.embedding.windows import Window
from metaembed_rag.errors import DocumentError, InputError
from metaembed_rag.pages import Page, render_page
from metaembed_rag.pages.clean import check_text
from metaembed_rag.store.documents import WritePoint
from metaembed_rag.store.engine import FloatArray
from metaembed_rag.store.resize import StoredWindow

if TYPE_CHECKING:
    from metaembed_rag.embedding.model import MetaEmbed
    from metaembed_rag.progress import Progress

#: Raised whenever the same file would give other pages, so that a re-add reads it again.
READER_VERSION = 1

#: Windows embedded in one forward pass, and handed to the model at once: it sorts them by length, so that a
#: pass pads little.
BATCH = 16
WINDOWS_AT_ONCE = 128

#: Levels of metadata.
_MAX_DEPTH = 32

_NAMESPACE = uuid.UUID("5f0c7c6e-6a43-5b0e-9d0a-3f1f6f0f2c11")


def page_id(source: str, number: int) -> str:
    """The id of a page of a file: the same for the same source and number."""
    return str(uuid.uuid5(_NAMESPACE, f"page\n{source}\n{number}"))


def text_id(text: str, metadata: Mapping[str, Any]) -> str:
    """The id of a text that was added without one: the same for the same text and metadata."""
    return str(uuid.uuid5(_NAMESPACE, f"text\n{text}\n{canonical_json(metadata)}"))


def text_document(identifier: str) -> str:
    """The key of a text's document, which no source is: a text may have the path of a file as its id."""
    return f"\0{identifier}"


def text_source(identifier: str, metadata: Mapping[str, Any]) -> str:
    """The source of a text: what its metadata says, if that is a text or a number, or else its id."""
    named = metadata.get("source")
    return str(named) if isinstance(named, (str, int, float)) and named != "" else identifier


def canonical_json(value: Any) -> str:
    """JSON with sorted keys: equal values give equal text.

    Raises:
        InputError: the value is not made of JSON values that every engine can hold.
    """
    _check_json(value, _MAX_DEPTH)
    try:
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"metadata must be made of JSON values (text, numbers, lists, mappings): {error}") from error
    return check_text("metadata", text)


def _check_json(value: Any, depth: int) -> None:
    """Refuse what Python would write as JSON and an engine would not take, or would take as something else."""
    if depth < 0:
        raise InputError(f"metadata may be nested {_MAX_DEPTH} levels deep, not more")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InputError(f"the keys of metadata must be texts, not {type(key).__name__}")
            _check_json(inner, depth - 1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check_json(inner, depth - 1)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InputError("whole numbers in metadata have at most 64 bits; write longer ones as texts")


def digest(*parts: str | bytes) -> str:
    """Hex sha256 over parts, each set apart by its length."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.hexdigest()


def file_digest(file: str, ocr: str, metadata: Mapping[str, Any]) -> str:
    """Digest of everything that the pages of a file are made from.

    Raises:
        DocumentError: it cannot be read.
    """
    try:
        content = file_sha256(Path(file))
    except OSError as error:
        raise DocumentError(file, f"cannot be read ({error.strerror}); check that it is still there") from error
    return digest(content, ocr, str(READER_VERSION), canonical_json(metadata))


def bare_page(page: Page, metadata: Mapping[str, Any]) -> Page:
    """A page of a file as it is kept until it is embedded.

    Word boxes and pictures are drawn from the file when somebody looks; a long book's do not fit memory.
    """
    return replace(page, words=(), render=None, metadata={**page.metadata, **metadata})


def embed_pages(
    model: MetaEmbed, pages: Iterable[tuple[str, Page]], progress: Progress | None = None
) -> Iterator[WritePoint]:
    """Points of pages, one a window, embedded lazily in batches.

    Args:
        model: embeds the windows.
        pages: page ids and pages.
        progress: told about every finished page.
    """
    found = (
        (identifier, page, index, windows)
        for identifier, page in pages
        for windows in [_windows(model, page)]
        for index in range(len(windows))
    )
    while batch := list(islice(found, WINDOWS_AT_ONCE)):
        parts = [page if _is_seen(model, page) else windows[index].text for _, page, index, windows in batch]
        embeddings = model.encode_documents(parts, batch_size=BATCH)
        for (identifier, page, index, windows), vectors in zip(batch, embeddings, strict=True):
            yield WritePoint(
                id=identifier,
                page=page.number,
                window=index,
                windows=len(windows),
                span=windows[index].span,
                vectors=vectors,
                text=page.text,
                route=page.route,
                metadata=dict(page.metadata),
            )
            if progress is not None and index == 0:
                progress.encoded(1)


def _is_seen(model: MetaEmbed, page: Page) -> bool:
    """Whether a page is embedded as the picture it is, in one window over all of its text."""
    return model.sees and page.render is not None


def _windows(model: MetaEmbed, page: Page) -> list[Window]:
    return [Window(page.text, (0, len(page.text)))] if _is_seen(model, page) else model.windows(page.text)


def embed_again(model: MetaEmbed, windows: Sequence[StoredWindow]) -> FloatArray:
    """Meta Tokens ``[windows, document tokens, dim]`` of windows whose text is in the index.

    A model that sees draws pages from their files anew; of a page of route "text" it reads the text.

    Raises:
        DocumentError: a page has to be drawn, and its file is not there any more.
    """
    parts = [
        render_page(window.source, window.page) if model.sees and window.route != "text" else window.text
        for window in windows
    ]
    return model.encode_documents(parts, batch_size=BATCH)


def whole_page(identifier: str, page: Page, vectors: FloatArray) -> WritePoint:
    """The point of a page whose Meta Tokens ``[document tokens, dim]`` are known: one window over all of it."""
    return WritePoint(
        id=identifier,
        page=page.number,
        window=0,
        span=(0, len(page.text)),
        vectors=vectors,
        text=page.text,
        route=page.route,
        metadata=dict(page.metadata),
    )


def group_by_source(pages: Sequence[Page]) -> dict[str, list[Page]]:
    """Pages by document, in order of first appearance.

    Raises:
        InputError: two pages of a document have the same number, or a part of one cannot be stored.
    """
    grouped: dict[str, list[Page]] = {}
    for page in pages:
        if isinstance(page.number, bool) or not isinstance(page.number, int) or not 1 <= page.number < 2**31:
            raise InputError(f"the number of a page is a whole number from 1, not {page.number!r}")
        if not isinstance(page.metadata, Mapping):
            raise InputError(f"the metadata of page {page.number} is a mapping, not {type(page.metadata).__name__}")
        check_text(f"the text of page {page.number}", page.text)
        if "\0" in check_text("a page's source", page.source):
            raise InputError("a page's source must not hold a character of value 0")
        grouped.setdefault(page.source, []).append(page)
    for source, members in grouped.items():
        if len({page.number for page in members}) != len(members):
            raise InputError(f"{source}: two pages have the same number")
    return grouped
