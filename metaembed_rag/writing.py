"""Writer: documents, pages and texts on their way into a store, each embedded once and visible whole."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from metaembed_rag.embedding.named import NamedModel
from metaembed_rag.errors import DocumentError, InputError, ModelError, NothingIndexedError
from metaembed_rag.hit import Added
from metaembed_rag.ingest import (
    bare_page,
    canonical_json,
    digest,
    embed_pages,
    file_digest,
    group_by_source,
    page_id,
    text_document,
    text_id,
    text_source,
    whole_page,
)
from metaembed_rag.pages import Limits, OcrMode, Page, check_ocr, count_pages, find_documents, read_document
from metaembed_rag.pages.clean import check_text
from metaembed_rag.progress import Progress, make_progress
from metaembed_rag.store.documents import WriteDocument
from metaembed_rag.store.engine import FloatArray
from metaembed_rag.store.schema import Schema
from metaembed_rag.store.store import Store
from metaembed_rag.workers import Job, Outcome, Spread

if TYPE_CHECKING:
    from metaembed_rag.embedding.model import MetaEmbed

logger = logging.getLogger(__name__)

Path_: TypeAlias = "str | os.PathLike[str]"

#: Texts written in one go by ``add_texts``: bounds memory, not visibility (each text appears whole).
TEXTS_AT_ONCE = 256


class Writer:
    """Embeds and stores what is new; what is there unchanged costs nothing.

    Args:
        store: where everything goes.
        model: gives the model, loading it on first use.
        limits: what a document may cost.
    """

    def __init__(self, store: Store, model: Callable[[], MetaEmbed], limits: Limits) -> None:
        self._store = store
        self._model = model
        self._limits = limits

    def add(
        self,
        documents: Path_ | Page | Sequence[Path_ | Page],
        *,
        ocr: OcrMode,
        metadata: Mapping[str, Any] | None,
        progress: bool | None,
        spread: tuple[Spread, NamedModel] | None = None,
    ) -> Added:
        """See ``MetaEmbedIndex.add``.

        Args:
            spread: who reads and embeds files instead of this process, and the model they load.
        """
        items = [documents] if isinstance(documents, (str, os.PathLike, Page)) else _listed("documents", documents)
        if stray := [item for item in items if not isinstance(item, (str, os.PathLike, Page))]:
            raise InputError(f"documents are paths or Pages, not {type(stray[0]).__name__}")
        check_ocr(ocr)
        fixed = _metadata(metadata)
        pages = [item for item in items if isinstance(item, Page)]
        paths = [os.fspath(item) for item in items if not isinstance(item, Page)]
        result = Added()
        files = _find_all(paths, result)
        grouped = group_by_source(pages)
        with make_progress(progress) as bar:
            bar.begin(len(files) + len(grouped))
            if spread is None:
                for file in files:
                    try:
                        self._add_file(file, ocr, fixed, result, bar)
                    except DocumentError as error:
                        _skip(error, result)
                    bar.finish()
            else:
                self._add_spread(files, Job(spread[1], ocr, self._limits, fixed), spread[0], result, bar)
            for source, members in grouped.items():
                self._add_pages(source, members, result, bar)
                bar.finish()
        if result.skipped and not result:
            raise result.skipped[0] if len(result.skipped) == 1 else NothingIndexedError(result.skipped)
        self._store.settle()
        return result

    def add_texts(
        self,
        texts: Sequence[str],
        ids: Sequence[str] | None,
        metadatas: Sequence[Mapping[str, Any] | None] | None,
        embeddings: Sequence[FloatArray] | None,
    ) -> Added:
        """See ``MetaEmbedIndex.add_texts``."""
        if isinstance(texts, str):
            raise InputError("add_texts takes a list of texts, not a single one: wrap it in a list")
        texts = _listed("texts", texts)
        metas = _aligned("metadatas", metadatas, len(texts))
        names = _aligned("ids", ids, len(texts))
        given = _aligned("embeddings", embeddings, len(texts))
        ready: dict[str, FloatArray] = {}
        entries: dict[str, Page] = {}
        order: list[str] = []
        for text, name, meta, rows in zip(texts, names, metas, given, strict=True):
            check_text("each of texts", text)
            values = _metadata(meta)
            identifier = text_id(text, values) if name is None else check_text("an id", name)
            if not identifier:
                raise InputError("an id must not be empty; leave ids out to have them made")
            if name is not None and identifier in entries:
                raise InputError(f"the id {identifier!r} occurs twice")
            entries[identifier] = Page(
                source=text_source(identifier, values), number=_number(values), text=text, metadata=values
            )
            order.append(identifier)
            if rows is not None:
                ready[identifier] = _rows(rows)
        result = Added(order)
        identifiers = list(entries)
        for start in range(0, len(identifiers), TEXTS_AT_ONCE):
            chunk = {key: entries[key] for key in identifiers[start : start + TEXTS_AT_ONCE]}
            self._add_text_chunk(chunk, ready, result)
        self._store.settle()
        return result

    def _ensure(self) -> MetaEmbed:
        """Make the collection on the first write, when the model tells its width."""
        model = self._model()
        if not self._store.exists:
            self._store.create(Schema(dim=model.dim), model=model.document_fingerprint, model_name=model.config.name)
        return model

    def _add_file(self, file: str, ocr: OcrMode, metadata: dict[str, Any], result: Added, bar: Progress) -> None:
        # First, because it refuses what is no document, or too large, before the content is read for its digest.
        reading = read_document(file, ocr=ocr, limits=self._limits)
        content = file_digest(file, ocr, metadata)
        if self._unchanged(file, content, result):
            return
        bar.document(file, count_pages(file, limits=self._limits))
        pages: list[Page] = []
        for page in reading:
            pages.append(bare_page(page, metadata))
            bar.read(page.route)
        self._write_pages(file, content, pages, result, bar)

    def _add_spread(self, files: list[str], job: Job, spread: Spread, result: Added, bar: Progress) -> None:
        """Files that others read and embed; whatever order they finish in, the result is in that of the files."""
        outcomes: dict[str, Added] = {}

        def new() -> Iterator[str]:
            for file in files:
                outcome = outcomes[file] = Added()
                try:
                    read_document(file, ocr=job.ocr, limits=job.limits)
                    if not self._unchanged(file, file_digest(file, job.ocr, job.metadata), outcome):
                        yield file
                        continue
                except DocumentError as error:
                    _skip(error, outcome)
                bar.finish()

        for file, encoded in spread(new(), job):
            self._write_encoded(file, encoded, outcomes[file])
            bar.finish()
        for outcome in outcomes.values():
            result.extend(outcome)
            result.added += outcome.added
            result.unchanged += outcome.unchanged
            result.skipped += outcome.skipped

    def _write_encoded(self, file: str, encoded: Outcome, result: Added) -> None:
        if isinstance(encoded, DocumentError):
            _skip(encoded, result)
            return
        if encoded.fingerprint != self._ensure().fingerprint:
            raise ModelError("a worker loaded another model than this process; give each the same files of it")
        self._store.write([WriteDocument(file, file, encoded.digest, encoded.points)])
        result.extend(encoded.page_ids)
        result.added += len(encoded.page_ids)

    def _add_pages(self, source: str, pages: list[Page], result: Added, bar: Progress) -> None:
        content = digest(*(f"{page.number}\n{canonical_json(dict(page.metadata))}\n{page.text}" for page in pages))
        if self._unchanged(source, content, result):
            return
        bar.document(source, len(pages))
        self._write_pages(source, content, pages, result, bar)

    def _unchanged(self, document: str, content: str, result: Added) -> bool:
        known = self._store.digests([document]).get(document)
        if known is None or known.digest != content:
            return False
        result.extend(known.page_ids)
        result.unchanged += len(known.page_ids)
        return True

    def _write_pages(self, source: str, content: str, pages: list[Page], result: Added, bar: Progress) -> None:
        model = self._ensure()
        named = [(page_id(source, page.number), page) for page in pages]
        self._store.write([WriteDocument(source, source, content, embed_pages(model, named, bar))])
        result.extend(identifier for identifier, _ in named)
        result.added += len(named)

    def _add_text_chunk(self, entries: Mapping[str, Page], ready: Mapping[str, FloatArray], result: Added) -> None:
        contents = {
            key: digest(
                page.text, canonical_json(dict(page.metadata)), *([ready[key].tobytes()] if key in ready else [])
            )
            for key, page in entries.items()
        }
        documents = {text_document(key): key for key in entries}
        known = self._store.digests(list(documents)) if self._store.exists else {}
        same = {documents[name] for name, was in known.items() if was.digest == contents[documents[name]]}
        new = {key: page for key, page in entries.items() if key not in same}
        result.unchanged += len(entries) - len(new)
        if not new:
            return
        model = self._ensure()
        points = chain(
            (whole_page(key, page, ready[key]) for key, page in new.items() if key in ready),
            embed_pages(model, ((key, page) for key, page in new.items() if key not in ready)),
        )
        self._store.write(_by_document(new, contents, points))
        result.added += len(new)


def _by_document(
    entries: Mapping[str, Page], contents: Mapping[str, str], points: Iterator[Any]
) -> list[WriteDocument]:
    members: dict[str, list[Any]] = {key: [] for key in entries}
    for point in points:
        members[point.id].append(point)
    return [
        WriteDocument(text_document(key), page.source, contents[key], members[key]) for key, page in entries.items()
    ]


def _find_all(paths: Sequence[str], result: Added) -> list[str]:
    """Every file below the paths once, in order; what cannot be found is skipped."""
    files: dict[str, None] = {}
    for path in paths:
        try:
            files.update(dict.fromkeys(find_documents(path)))
        except DocumentError as error:
            _skip(error, result)
    return list(files)


def _skip(error: DocumentError, result: Added) -> None:
    logger.warning("skipped %s", error)
    result.skipped.append(error)


def _metadata(given: object) -> dict[str, Any]:
    """Metadata that can be stored."""
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"metadata is a mapping, not {type(given).__name__}")
    values = dict(given or {})
    canonical_json(values)
    return values


def _rows(given: object) -> FloatArray:
    """Meta Tokens as they are stored; the store checks their shape."""
    try:
        return np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"an embedding is an array of document Meta Tokens, [tokens, dim]: {error}") from error


def _number(metadata: Mapping[str, Any]) -> int:
    """The page that a text says it is."""
    page = metadata.get("page")
    return page if isinstance(page, int) and not isinstance(page, bool) and 1 <= page < 2**31 else 1


def _listed(name: str, values: object) -> list[Any]:
    if not isinstance(values, Iterable) or isinstance(values, Mapping):
        raise InputError(f"{name} must be a list, not {type(values).__name__}")
    return list(values)


def _aligned(name: str, values: Sequence[Any] | None, length: int) -> Sequence[Any]:
    if values is None:
        return [None] * length
    if isinstance(values, (str, Mapping)) or not isinstance(values, Sized) or len(values) != length:
        raise InputError(f"{name} must have one entry a text ({length})")
    return values
