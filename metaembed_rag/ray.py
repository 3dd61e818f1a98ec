"""Indexing with Ray Data: files are read and embedded by actors on one machine or many; this process writes them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from metaembed_rag.errors import MissingDependencyError, StoreError
from metaembed_rag.workers import Job, Outcome, check_workers, encode_file

if TYPE_CHECKING:
    from metaembed_rag.hit import Added
    from metaembed_rag.index import MetaEmbedIndex
    from metaembed_rag.pages import OcrMode
    from metaembed_rag.writing import Path_

#: Parts that the files are cut into at most; a part arrives, and is kept, whole.
_PARTS = 1000


def index_with_ray(
    index: MetaEmbedIndex,
    documents: Path_ | Sequence[Path_],
    *,
    ocr: OcrMode = "auto",
    metadata: Mapping[str, Any] | None = None,
    concurrency: int = 2,
    progress: bool | None = None,
) -> Added:
    """``MetaEmbedIndex.add`` with reading and embedding spread by Ray Data.

    Documents are written, whole, as they arrive; when it is interrupted, the next run goes on with those that are
    missing. The files and a model given by its folder must be found under the same paths on every machine. Uses the
    Ray that is initialized, or starts one here.

    Args:
        index: opened with the name or folder of its model.
        documents: as for ``add``; Pages are embedded in this process.
        ocr: as for ``add``.
        metadata: as for ``add``.
        concurrency: actors, each with a model of its own in memory, on one processor each.
        progress: as for ``add``.

    Raises:
        MissingDependencyError: Ray is not installed.
        InputError: the index was given a loaded model, or ``concurrency`` is below 1.
        StoreError: Ray lost its workers; what was written stays.
        DocumentError, NothingIndexedError: as for ``add``.
    """
    try:
        import ray.data  # noqa: F401 - asked for before anything is read
    except ImportError as error:
        raise MissingDependencyError('indexing with Ray needs it: pip install "metaembed-rag[ray]"') from error
    spread = partial(_spread, concurrency=check_workers(concurrency))
    return index.add_by(spread, documents, ocr=ocr, metadata=metadata, progress=progress)


def _spread(files: Iterable[str], job: Job, *, concurrency: int) -> Iterator[tuple[str, Outcome]]:
    import ray.data
    from ray.exceptions import RayError

    rows = [{"file": file} for file in files]
    if not rows:
        return
    given = ray.data.from_items(rows, override_num_blocks=min(len(rows), _PARTS))
    encoded = given.map(
        _Encoder,
        fn_constructor_args=(job, os.getcwd()),
        compute=ray.data.ActorPoolStrategy(size=min(concurrency, len(rows))),
        num_cpus=1,
    )
    try:
        for row in encoded.iter_rows():
            yield row["file"], row["outcome"]
    except RayError as error:
        raise StoreError(
            f"Ray could not embed everything ({error}); what was written stays: run it again, with a lower concurrency "
            "if memory ran out"
        ) from error


class _Encoder:
    """An actor: the model is loaded once, then files are encoded one by one."""

    def __init__(self, job: Job, folder: str) -> None:
        import torch

        # Relative paths mean the same as where the index is; on other machines as far as that folder exists.
        if os.path.isdir(folder):
            os.chdir(folder)
        # An actor has one processor.
        torch.set_num_threads(1)
        self._job = job
        self._model = job.model.load()

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        return {"file": row["file"], "outcome": encode_file(self._model, row["file"], self._job)}
