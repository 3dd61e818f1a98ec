"""Reading and embedding documents in worker processes, each with its own model; the index stays with its owner."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, TypeAlias

from metaembed_rag.embedding.named import NamedModel
from metaembed_rag.errors import DocumentError, InputError
from metaembed_rag.ingest import bare_page, embed_pages, file_digest, page_id
from metaembed_rag.pages import Limits, OcrMode, read_document
from metaembed_rag.store.documents import WritePoint

if TYPE_CHECKING:
    from metaembed_rag.embedding.model import MetaEmbed

#: Documents handed out a worker: one under way and one ready to be begun. Bounds what lies in memory.
AHEAD = 2


@dataclass(frozen=True, slots=True)
class Job:
    """How the files of one ``add`` are read, and the model that embeds them.

    Attributes:
        model: each worker loads its own.
        ocr: as for ``MetaEmbedIndex.add``.
        limits: what a document may cost.
        metadata: JSON values kept with every page.
    """

    model: NamedModel
    ocr: OcrMode
    limits: Limits
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A document, read and embedded whole.

    Attributes:
        digest: of what it was made from.
        page_ids: in order.
        points: its windows.
        fingerprint: of the model that embedded it.
    """

    digest: str
    page_ids: list[str]
    points: list[WritePoint]
    fingerprint: str


Outcome: TypeAlias = "Encoded | DocumentError"

#: Files in, each with what became of it out; in order or not.
Spread: TypeAlias = Callable[[Iterable[str], Job], Iterator[tuple[str, Outcome]]]


def encode_file(model: MetaEmbed, file: str, job: Job) -> Outcome:
    """Read and embed one file, as an index would itself; why it cannot be read is the outcome then."""
    try:
        reading = read_document(file, ocr=job.ocr, limits=job.limits)
        content = file_digest(file, job.ocr, job.metadata)
        named = [(page_id(file, page.number), bare_page(page, job.metadata)) for page in reading]
    except DocumentError as error:
        return error
    return Encoded(content, [identifier for identifier, _ in named], list(embed_pages(model, named)), model.fingerprint)


def check_workers(workers: int) -> int:
    """``workers`` if it is a number of processes.

    Raises:
        InputError: it is not.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise InputError(f"workers must be a whole number of at least 1, not {workers!r}")
    return workers


def spread_over_processes(files: Iterable[str], job: Job, *, workers: int) -> Iterator[tuple[str, Outcome]]:
    """Encode files in ``workers`` processes, in the order given and so many ahead only.

    A process that dies takes down all that were started with it, and does not tell which document it died of: each
    that was under way is tried once more, alone.

    Raises:
        InputError: worker processes cannot be started here.
        ModelError: a worker cannot load the model.
    """
    rest = iter(files)
    first = next(rest, None)
    if first is None:
        # Nothing is new: not even torch is loaded.
        return
    pool = _Pool(job, workers)
    waiting: deque[tuple[str, Future[Outcome]]] = deque()
    try:
        for file in chain([first], rest):
            waiting.append((file, pool.submit(file)))
            if len(waiting) >= AHEAD * workers:
                pool = _settle(pool, waiting)
                yield _take(waiting)
        while waiting:
            pool = _settle(pool, waiting)
            yield _take(waiting)
        pool.finish()
    finally:
        pool.stop()


def _take(waiting: deque[tuple[str, Future[Outcome]]]) -> tuple[str, Outcome]:
    file, future = waiting.popleft()
    return file, future.result()


def _settle(pool: _Pool, waiting: deque[tuple[str, Future[Outcome]]]) -> _Pool:
    """Wait for the first document; if a worker died, try again what it took along, and return another pool."""
    if not _died(waiting[0][1]):
        return pool
    pool = pool.renew()
    # The pool has stopped, so every document was finished or is lost.
    for place, (file, future) in enumerate(waiting):
        if not _died(future):
            continue
        again = pool.submit(file)
        if _died(again):
            pool = pool.renew()
            again = Future()
            again.set_result(DocumentError(file, _DIED))
        waiting[place] = (file, again)
    return pool


_DIED = (
    "a worker process died while it was being read or embedded, twice (memory may have run out); try workers=1, "
    "or leave it out"
)


def _died(future: Future[Outcome]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


class _Pool:
    """Worker processes that end with this process, or at once when told to."""

    def __init__(self, job: Job, workers: int) -> None:
        import torch

        self._job = job
        self._workers = workers
        # Spawned: a forked copy of a process that has threads (torch, the engine) may hang.
        context = multiprocessing.get_context("spawn")
        self._heard, self._said = context.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(
            workers,
            mp_context=context,
            initializer=_begin,
            initargs=(job, max(1, torch.get_num_threads() // workers), self._heard),
        )

    def submit(self, file: str) -> Future[Outcome]:
        """Hand out a file; the future of one for a pool that has lost a worker fails as those before it."""
        try:
            return self._executor.submit(_encode, file)
        except BrokenProcessPool as error:
            lost: Future[Outcome] = Future()
            lost.set_exception(error)
            return lost

    def renew(self) -> _Pool:
        """Stop, and start another pool.

        Raises:
            InputError: its processes do not even start.
        """
        self.stop()
        pool = _Pool(self._job, self._workers)
        try:
            pool._executor.submit(os.getpid).result()
        except BrokenProcessPool as error:
            pool.stop()
            raise InputError(
                'worker processes cannot start; a script must index below if __name__ == "__main__":, or with workers=1'
            ) from error
        return pool

    def finish(self) -> None:
        """Let processes that have nothing left to do end by themselves: they clean up, which a stopped one cannot."""
        self._executor.shutdown()
        self._close()

    def stop(self) -> None:
        """End all processes, whatever they are doing. Safe to call twice, and after ``finish``."""
        if self._said.closed:
            return
        # Nobody reads it, so that all of them see it.
        self._said.send_bytes(b"stop")
        self._executor.shutdown(cancel_futures=True)
        self._close()

    def _close(self) -> None:
        self._said.close()
        self._heard.close()


# -- inside a worker ---------------------------------------------------------------------------------------

_job: Job | None = None
_model: MetaEmbed | None = None


def _begin(job: Job, threads: int, heard: Connection) -> None:
    """First thing in a worker process."""
    global _job
    # Ctrl-C in a terminal reaches every process; the index's owner decides and tells.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    sentinels: list[Any] = [heard] if parent is None else [heard, parent.sentinel]
    threading.Thread(target=_end_with, args=(sentinels,), daemon=True).start()
    import torch

    torch.set_num_threads(threads)
    _job = job


def _end_with(sentinels: list[Any]) -> None:
    """End this process once the index's owner says so or is gone; a killed one leaves nobody behind."""
    wait(sentinels)
    os._exit(0)


def _encode(file: str) -> Outcome:
    global _model
    if _job is None:
        raise RuntimeError("the worker was not begun")
    if _model is None:
        # Not in _begin: an error there would be told as a process that died.
        _model = _job.model.load()
    return encode_file(_model, file, _job)
