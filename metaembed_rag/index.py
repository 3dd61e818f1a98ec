"""MetaEmbedIndex: the one place where pages, embedding, store and search meet."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast
from urllib.parse import urlsplit, urlunsplit

from metaembed_rag.aio import SERVER_LANES, Lane
from metaembed_rag.budget import BudgetLike
from metaembed_rag.embedding.dtypes import Dtype
from metaembed_rag.embedding.named import NamedModel, name_model
from metaembed_rag.errors import IndexNotFoundError, InputError
from metaembed_rag.hit import Added, Hit, Hits
from metaembed_rag.ingest import embed_again
from metaembed_rag.pages import Limits, OcrMode, Page
from metaembed_rag.pages.clean import check_ids, check_text
from metaembed_rag.progress import step_progress
from metaembed_rag.search.calibration import Calibration
from metaembed_rag.search.explanation import Explanation
from metaembed_rag.search.plan import Plan
from metaembed_rag.search.query import FloatArray, Query, check_query
from metaembed_rag.search.retrieval import Filter, Retrieval
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.options import ServerOptions
from metaembed_rag.store.resize import resize
from metaembed_rag.store.schema import Precision
from metaembed_rag.store.store import Store
from metaembed_rag.workers import Spread, check_workers, spread_over_processes
from metaembed_rag.writing import Path_, Writer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from metaembed_rag.embedding.model import MetaEmbed
    from metaembed_rag.evidence import Evidence, Method

#: Where an index lies when nobody says otherwise; the environment variable of this name comes first.
DEFAULT_INDEX = ".metaembed"
INDEX_VARIABLE = "METAEMBED_INDEX"


def default_index_path() -> str:
    """``$METAEMBED_INDEX``, or ``./.metaembed``."""
    return os.environ.get(INDEX_VARIABLE) or DEFAULT_INDEX


class SearchOptions(TypedDict, total=False):
    """The keywords of ``search``."""

    budget: BudgetLike | None
    latency_ms: float | None
    top_k: int
    filter: Filter
    hybrid: bool | None


class MetaEmbedIndex:
    """Pages in, ranked pages out, at the budget you choose.

    A context manager. Methods may be called from several threads. One process at a time may have an
    embedded index open.

    Args:
        path: the index's folder, made if it is missing; ":memory:" for one that is gone on ``close``. None is
            ``$METAEMBED_INDEX`` or ``./.metaembed``.
        url: a Qdrant server instead of a folder.
        collection: the collection's name on a server or in the local mode.
        api_key: of the server; ``$QDRANT_API_KEY`` otherwise. Never logged.
        model: a MetaEmbed, or a name for ``MetaEmbed.from_pretrained``. Loaded when first needed.
        dtype: in which the backbone of a model given by its name computes, as for ``MetaEmbed.from_pretrained``. It is
            no part of the index: what one dtype wrote another may search.
        device: torch device of a model given by its name; None lets torch choose.
        engine: "edge" is the embedded engine (default for a folder), "local" is qdrant-client's local mode.
        create: False refuses to make a new index (IndexNotFoundError).
        limits: what a document may cost; see ``Limits``.
        tenant: whose documents these are; no other tenant's are ever seen, changed or deleted. An index is
            divided by tenants or not from its first document on.
        precision: how vectors are stored, fixed when the index is made: "f32", "f16" (half of the disk), "int8" (a
            quarter), or "4bit" (an eighth of the memory, with 8 bit vectors on disk that rescore). None is that of
            the index, "f32" for a new one.
        page_vectors: at most so many vectors a page at each rung, however many windows it has, fixed when the index is
            made: those of a window that are most alike are merged. None is that of the index, no bound for a new one.
        hybrid: keep each page's words beside its Meta Tokens, fixed when the index is made: searches then find pages
            by both, see ``search``. It costs about a kilobyte a page. None is that of the index, False for a new one.
        server: how a collection on a server is spread, held and reached; see ``ServerOptions``.

    Raises:
        InputError: a path and a url, a dtype that is none, or a dtype or device for a model that is loaded already.
        IndexLockedError: another process has it open.
        IndexMismatchError: it was made by another model or another version, at another precision or number of
            vectors a page, with or without words, or it is not divided by tenants.
    """

    def __init__(
        self,
        path: Path_ | None = None,
        *,
        url: str | None = None,
        collection: str = "metaembed",
        api_key: str | None = None,
        model: str | Path | MetaEmbed = "mini",
        dtype: Dtype | None = None,
        device: str | None = None,
        engine: Literal["edge", "local"] | None = None,
        create: bool = True,
        limits: Limits | None = None,
        tenant: str | None = None,
        precision: Precision | None = None,
        page_vectors: int | None = None,
        hybrid: bool | None = None,
        server: ServerOptions | None = None,
    ) -> None:
        if url is not None and path is not None:
            raise InputError("give a path or a url, not both")
        if url is None and path is None:
            path = default_index_path()
        if not isinstance(path, (str, os.PathLike)) and (path is not None or not isinstance(url, str)):
            raise InputError("path is the path of a folder, and url the address of a server as a text")
        self.path = None if path is None else os.fspath(path)
        self._address = _address(self.path, url, collection, engine, tenant)
        if not create and self.path is not None and self.path != ":memory:" and not Path(self.path).is_dir():
            raise IndexNotFoundError(
                f"no index at {self.path}; make one with: metaembed index PATH --index {self.path}"
            )
        self.limits = limits or Limits()
        self._named = name_model(model, dtype=dtype, device=device)
        self._model = None if isinstance(model, (str, Path)) else model
        opened = open_engine(
            path=self.path, url=url, collection=collection, api_key=api_key, engine=engine, server=server
        )
        self._store = Store(opened, tenant=tenant, precision=precision, page_vectors=page_vectors, words=hybrid)
        if not create and self.path != ":memory:" and not self._store.exists:
            self._store.close()
            place = f"in collection {collection!r} at {url}" if self.path is None else f"at {self.path}"
            raise IndexNotFoundError(f"no index {place}; the one asked for must exist: check both, or make it first")
        self._writer = Writer(self._store, lambda: self.model, self.limits)
        self._retrieval = Retrieval(
            self._store, lambda: self.model, lambda: None if self._model is None else self._model.fingerprint
        )
        self._reads = Lane(SERVER_LANES if self._store.concurrent else 1)
        self._writes = Lane(1)

    def __enter__(self) -> MetaEmbedIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"MetaEmbedIndex({self.path or self._store.engine_name!r})"

    def close(self) -> None:
        """Write everything to disk and let go of the folder. Safe to call twice."""
        self._reads.close()
        self._writes.close()
        self._store.close()

    def configuration(self) -> dict[str, Any] | None:
        """The arguments that open this index again, as JSON values and without any key; None for one in memory.

        A model that was given loaded goes by the name in its config. ``limits`` and ``server`` are not among them.
        """
        if self._address is None:
            return None
        if self._named is None:
            return {**self._address, "model": cast("MetaEmbed", self._model).config.name}
        return {**self._address, **self._named.arguments()}

    @property
    def named_model(self) -> NamedModel | None:
        """How the model is loaded; None for one that was given loaded."""
        return self._named

    @property
    def model(self) -> MetaEmbed:
        """The model, loaded on first use and checked against the index."""
        if self._model is None:
            self._model = cast("NamedModel", self._named).load()
        self._store.check_model(
            self._model.document_fingerprint, self._model.config.name, former=self._model.fingerprint
        )
        return self._model

    # -- writing ---------------------------------------------------------------------------------------

    def add(
        self,
        documents: Path_ | Page | Sequence[Path_ | Page],
        *,
        ocr: OcrMode = "auto",
        metadata: Mapping[str, Any] | None = None,
        progress: bool | None = None,
        workers: int = 1,
    ) -> Added:
        """Index files, folders or Pages.

        A document becomes visible when all of its pages are written, and replaces an older version of the
        same source at that moment. A document whose content is in the index already costs no embedding.

        Args:
            documents: paths (a string is always a path) of PDFs, pictures, texts, Markdown or folders of
                such, or Pages (all pages of a document in one call).
            ocr: "auto" reads pages without a usable text layer by OCR, "never" does not, "always" reads all.
            metadata: JSON values kept with every page of files (Pages carry their own).
            progress: show a progress bar; None shows one if standard error is a terminal.
            workers: processes that read and embed files, each with a model of its own in memory; what is in the
                index afterwards is the same. 1 is this process. A script that asks for more must do so below
                ``if __name__ == "__main__":``. Pages are always embedded in this process.

        Returns:
            the page ids in order, with counts and what was skipped.

        Raises:
            InputError: ``workers`` is no such number, or they have no name to load this index's model by.
            DocumentError: the only document given cannot be read.
            NothingIndexedError: none of several documents can be read. As long as one can, the others are
                in ``skipped`` and logged as warnings.
        """
        if check_workers(workers) == 1:
            return self._writer.add(documents, ocr=ocr, metadata=metadata, progress=progress)
        return self.add_by(
            partial(spread_over_processes, workers=workers),
            documents,
            ocr=ocr,
            metadata=metadata,
            progress=progress,
        )

    def add_by(
        self,
        spread: Spread,
        documents: Path_ | Page | Sequence[Path_ | Page],
        *,
        ocr: OcrMode = "auto",
        metadata: Mapping[str, Any] | None = None,
        progress: bool | None = None,
    ) -> Added:
        """``add`` with files read and embedded elsewhere, such as by ``metaembed_rag.ray``; this process writes them.

        Args:
            spread: encodes files by the model of this index's name; see ``metaembed_rag.workers``.
            documents, ocr, metadata, progress: as for ``add``.

        Raises:
            InputError: the model was given loaded.
            DocumentError, NothingIndexedError: as for ``add``.
        """
        if self._named is None:
            raise InputError(
                "workers load the model themselves, and this index was given a loaded one: "
                'open it with a name or folder, such as MetaEmbedIndex(..., model="mini")'
            )
        return self._writer.add(documents, ocr=ocr, metadata=metadata, progress=progress, spread=(spread, self._named))

    def add_texts(
        self,
        texts: Sequence[str],
        ids: Sequence[str] | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        embeddings: Sequence[FloatArray] | None = None,
    ) -> Added:
        """Index texts, each as a document of one page. Texts are never mistaken for paths.

        Args:
            texts: what to index.
            ids: any strings; a text under an id that exists replaces the older one, also a page of a file, which
                adding the file again restores. None derives an id from text and metadata, so that adding the same text
                twice keeps it once.
            metadatas: JSON values, one mapping a text. ``"source"`` becomes the hit's source, and ``"page"``, a whole
                number from 1, its page.
            embeddings: document Meta Tokens ``[document tokens, dim]`` of each text by this index's model, which
                are stored as they are. None embeds the texts, window by window.

        Returns:
            the ids, one a text.

        Raises:
            InputError: lengths differ, an id occurs twice, or a value is of the wrong type.
        """
        return self._writer.add_texts(texts, ids, metadatas, embeddings)

    def delete(self, ids: Sequence[str] | None = None, *, source: str | None = None) -> int:
        """Delete pages by id, or all documents of a source.

        Returns:
            how many pages are gone; ids that do not exist count nothing.

        Raises:
            InputError: neither or both are given.
        """
        if (ids is None) == (source is None):
            raise InputError("delete needs either ids or source")
        if source is None:
            gone = self._store.delete_pages(check_ids(ids or ()))
        else:
            gone = self._store.delete_source(check_text("a source", source))
        self._store.settle()
        return gone

    def resize(self, document_tokens: int = 16, progress: bool | None = None) -> int:
        """Store up to ``document_tokens`` Meta Tokens of every window, fewer or more than now.

        Fewer gives the disk of the wider vectors back; budgets beyond are refused from then on. More embeds the
        stored text again; killed in between, the next call goes on from there. Meanwhile searches are answered at
        the budgets that every page has, and documents that are added get everything.

        Args:
            document_tokens: 1, 4, 8, 16 or 64.
            progress: show a progress bar; None shows one if standard error is a terminal.

        Returns:
            how many windows were embedded again.

        Raises:
            BudgetError: there is no such group of Meta Tokens.
            IndexNotFoundError: nothing was ever indexed.
            InputError: the index is open for one tenant only; this concerns all of them.
            StoreError: stored vectors came from elsewhere, so they cannot be made from the text.
        """
        with step_progress("embedding again", progress) as report:
            encoded = resize(self._store, document_tokens, lambda windows: embed_again(self.model, windows), report)
        self._store.settle()
        return encoded

    # -- reading ---------------------------------------------------------------------------------------

    def search(
        self,
        query: Query,
        *,
        budget: BudgetLike | None = None,
        latency_ms: float | None = None,
        top_k: int = 5,
        filter: Filter = None,
        hybrid: bool | None = None,
    ) -> Hits:
        """The pages that answer a query, best first, one result a page.

        Args:
            query: a text; a PIL picture; ``{"text": ..., "image": ...}``; float32 query Meta Tokens ``[q, dim]``; or
                ``{"text": ..., "vectors": ...}``, Meta Tokens with the text whose words count.
            budget: Meta Tokens that take part: 4, (4, 64), "full"; see ``Budget.parse``. None is the full budget.
            latency_ms: instead of a budget, the time that 95 of 100 queries may take from query to answer, encoding
                included: the best plan that meets it under the present load is used. The first such query of an index
                that was never calibrated takes seconds, to measure it. A target that cannot be met gets the cheapest
                plan, and ``hits.reachable`` is False.
            top_k: results at most.
            filter: ``{"source": "a.pdf"}``, ``{"page": {"lt": 9}}``, ``{"year": [2019, 2020]}``; "id",
                "source" and "page" are the hit's fields, other keys are metadata. See ``parse_filter``.
            hybrid: find pages by their words (BM25) as well as by Meta Tokens. A hit's score then lies between 0 and 1,
                and compares with those of the same answer only. None is as the index was made; queries without a
                text go by Meta Tokens alone.

        Raises:
            BudgetError: the budget is malformed or not stored in this index.
            FilterError: the filter is malformed.
            IndexMismatchError: hybrid is True, and the index keeps no words.
            InputError: the query is empty or of no such kind, top_k is below 1, or both a budget and a latency are
                given.
        """
        return self.search_many(
            [query], budget=budget, latency_ms=latency_ms, top_k=top_k, filter=filter, hybrid=hybrid
        )[0]

    def search_many(
        self,
        queries: Sequence[Query],
        *,
        budget: BudgetLike | None = None,
        latency_ms: float | None = None,
        top_k: int = 5,
        filter: Filter = None,
        hybrid: bool | None = None,
    ) -> list[Hits]:
        """Answer many queries: as ``search`` for each, but encoded together, which is faster.

        With ``latency_ms`` they are answered one after the other, the target holding for each.

        Args and errors are those of ``search``.
        """
        return self._retrieval.search(
            queries, budget=budget, latency_ms=latency_ms, top_k=top_k, filter=filter, hybrid=hybrid
        )

    def stream(
        self,
        query: Query,
        *,
        latency_ms: float | None = None,
        top_k: int = 5,
        filter: Filter = None,
        hybrid: bool | None = None,
    ) -> Iterator[Hits]:
        """A coarse ranking first and better ones as they are ready; the last one given is the answer.

        Args:
            query: as for ``search``.
            latency_ms: time until the deadline. Nothing is given after it, except the first answer, which always
                comes. None goes on up to the full budget.
            top_k: pages an answer.
            filter, hybrid: as for ``search``.

        Yields:
            answers; ``final`` is True for one that nothing better will follow.

        Raises:
            InputError, FilterError: as for ``search``, when called.
        """
        return self._retrieval.stream(query, latency_ms=latency_ms, top_k=top_k, filter=filter, hybrid=hybrid)

    def explain(
        self,
        query: Query,
        *,
        budget: BudgetLike | None = None,
        latency_ms: float | None = None,
        top_k: int = 5,
        filter: Filter = None,
        hybrid: bool | None = None,
    ) -> Explanation:
        """Search, and say which plan was taken and how long each part of it took; ``print`` shows it as a table.

        Stages run inside the engine in one go, so each is timed by running the plan up to it: this takes longer than
        a search. Args and errors are those of ``search``.
        """
        return self._retrieval.explain(
            query, budget=budget, latency_ms=latency_ms, top_k=top_k, filter=filter, hybrid=hybrid
        )

    def calibrate(
        self,
        queries: Sequence[str] | None = None,
        *,
        labels: Mapping[str, Iterable[str]] | None = None,
        progress: bool | None = None,
    ) -> Calibration:
        """Measure what each plan costs and is worth on this index and machine, and keep the figures in the index.

        Budgets and latency targets are planned by them from then on. It takes about a minute for 10,000 pages.

        Args:
            queries: texts as users ask them. None makes some from stored pages.
            labels: ids of the relevant pages by query; quality is nDCG with them, and the overlap with what the full
                budget finds without. The first 10 pages are compared, fewer in an index of less than 40.
            progress: show a progress bar; None shows one if standard error is a terminal.

        Raises:
            InputError: the index is empty, or a query has no labels.
        """
        if queries is not None and (isinstance(queries, str) or not isinstance(queries, Iterable)):
            raise InputError("calibrate takes a list of queries, not a single one: wrap it in a list")
        queries = None if queries is None else list(queries)
        for query in queries or ():
            check_query(query)
        relevant = None if labels is None else _relevant(labels)
        with step_progress("calibrating", progress) as advance:
            return self._retrieval.targets.calibrate(queries, labels=relevant, advance=advance)

    @property
    def calibration(self) -> Calibration | None:
        """The figures that ``calibrate`` kept in the index; None before."""
        return self._retrieval.targets.calibration

    def plan(self, budget: BudgetLike = "full", top_k: int = 5) -> Plan:
        """The stages that a search at this budget would run on the index as it is now.

        The measured best of the budget where the index was calibrated, else one for its size.
        """
        return self._retrieval.plan(budget, top_k)

    def get(self, ids: Sequence[str]) -> list[Hit]:
        """Pages by id, in the order given, with a score of 0; ids that do not exist are left out."""
        return self._retrieval.get(ids)

    def vectors(self, ids: Sequence[str]) -> dict[str, FloatArray]:
        """Stored vectors of pages, of the widest rung: ``[windows, vectors, dim]`` by id; unknown ids are absent."""
        return self._store.vectors(check_ids(ids))

    def info(self) -> dict[str, Any]:
        """What is in the index, and what it takes.

        Returns:
            a mapping with ``pages``, ``documents``, ``points`` (windows), ``bytes`` (on disk; None where the
            engine cannot tell, and for a tenant), ``path``, ``engine``, ``model``, ``tenant``, ``dim``,
            ``precision``, ``page_vectors``, ``hybrid`` (words are kept), ``document_tokens`` (groups that a search may
            use), ``building`` (groups that ``resize`` is adding) and ``calibration``: None, or when it was made and why
            it is ``stale``, if it is. Once something was written also ``tokens`` (vectors kept at the widest rung),
            ``bytes_by_group`` (raw bytes of vectors by the document Meta Tokens of their group),
            ``windows_per_page``, and ``budgets``: for every rung of the ladder the raw bytes of vectors, as
            ``{"pages_1m": ..., "pages_100m": ...}``, of so many pages like these in an index resized to that rung.
        """
        return {"path": self.path, **self._store.info(), "calibration": self._retrieval.targets.summary()}

    @property
    def document_tokens(self) -> tuple[int, ...]:
        """Document sides that a budget may have, narrowest first: what ``resize`` left."""
        return self._retrieval.groups

    def __len__(self) -> int:
        """Pages in the index."""
        return int(self._store.info()["pages"])

    def sources(self) -> list[str]:
        """The sources of all documents, sorted."""
        return self._store.sources()

    def explain_match(
        self, query: Query, hit: Hit, *, method: Method = "alone", budget: BudgetLike | None = None
    ) -> Evidence:
        """Which words, lines and regions of a hit's page answer the query, to look at and to draw.

        Args and errors are those of ``metaembed_rag.evidence.explain_match``.
        """
        from metaembed_rag.evidence import explain_match

        return explain_match(self, query, hit, method=method, budget=budget)

    # -- asynchronous ----------------------------------------------------------------------------------

    async def asearch(self, query: Query, **options: Unpack[SearchOptions]) -> Hits:
        """``search`` without blocking the event loop; see ``metaembed_rag.aio``."""
        return await self._reads.run(self.search, query, **options)

    async def asearch_many(self, queries: Sequence[Query], **options: Unpack[SearchOptions]) -> list[Hits]:
        """``search_many`` without blocking the event loop."""
        return await self._reads.run(self.search_many, queries, **options)

    async def aadd(
        self,
        documents: Path_ | Page | Sequence[Path_ | Page],
        *,
        ocr: OcrMode = "auto",
        metadata: Mapping[str, Any] | None = None,
        progress: bool | None = None,
        workers: int = 1,
    ) -> Added:
        """``add`` without blocking the event loop."""
        return await self._writes.run(
            self.add, documents, ocr=ocr, metadata=metadata, progress=progress, workers=workers
        )

    async def aadd_texts(
        self,
        texts: Sequence[str],
        ids: Sequence[str] | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        embeddings: Sequence[FloatArray] | None = None,
    ) -> Added:
        """``add_texts`` without blocking the event loop."""
        return await self._writes.run(self.add_texts, texts, ids, metadatas, embeddings)

    async def adelete(self, ids: Sequence[str] | None = None, *, source: str | None = None) -> int:
        """``delete`` without blocking the event loop."""
        return await self._writes.run(self.delete, ids, source=source)

    async def aget(self, ids: Sequence[str]) -> list[Hit]:
        """``get`` without blocking the event loop."""
        return await self._reads.run(self.get, ids)

    async def astream(
        self,
        query: Query,
        *,
        latency_ms: float | None = None,
        top_k: int = 5,
        filter: Filter = None,
        hybrid: bool | None = None,
    ) -> AsyncIterator[Hits]:
        """``stream`` without blocking the event loop: each answer waits for its turn."""
        stream = await self._reads.run(
            self.stream, query, latency_ms=latency_ms, top_k=top_k, filter=filter, hybrid=hybrid
        )
        while (hits := await self._reads.run(next, stream, None)) is not None:
            yield hits


def _relevant(labels: object) -> dict[str, list[str]]:
    """Labels as lists, which may be read more than once."""
    if not isinstance(labels, Mapping):
        raise InputError(f"labels are a mapping of queries to ids, not a {type(labels).__name__}")
    return {query: check_ids(ids) for query, ids in labels.items()}


def _address(
    path: str | None, url: str | None, collection: str, engine: str | None, tenant: str | None
) -> dict[str, Any] | None:
    """Where an index is, as arguments; an address that names a user or a key loses them."""
    if url is not None:
        parts = urlsplit(url)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
        place: dict[str, Any] = {"url": urlunsplit(bare), "collection": collection}
    elif path in (None, ":memory:"):
        return None
    else:
        place = {"path": path} if engine != "local" else {"path": path, "collection": collection, "engine": engine}
    return place if tenant is None else {**place, "tenant": tenant}
