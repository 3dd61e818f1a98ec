"""MetaEmbedLoader: files as LangChain documents, one a page."""

from __future__ import annotations

import base64
import io
import logging
import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from metaembed_rag.errors import DocumentError, InputError
from metaembed_rag.pages import Limits, OcrMode, Page, find_documents, read_document

logger = logging.getLogger(__name__)

#: What becomes of a page's picture: nothing, base64 in the metadata, or a PNG file named in the metadata.
PictureMode: TypeAlias = Literal["none", "base64", "file"]


class MetaEmbedLoader(BaseLoader):
    """Reads PDFs, pictures, texts and Markdown as the index does, and gives each page as a Document.

    The metadata hold JSON values: "source", "page" (from 1) and "route" ("layer", "ocr" or "text": where the text
    comes from). ``draw_page(document)`` draws the page at any time, so pictures need not travel with the documents;
    where they should, ``pictures`` says how.

    To index files, ``MetaEmbedVectorStore(...).index.add(path)`` is shorter, skips what is unchanged and lets models
    with eyes see the pages. Load documents to change them on the way, or for the indexing API.

    Args:
        paths: files and folders.
        ocr: "auto" reads pages without a usable text layer by OCR, "never" does not, "always" reads all.
        pictures: "base64" puts a PNG into ``metadata["image"]`` and its kind into ``metadata["mime_type"]``; "file"
            writes one into ``folder`` and its path into ``metadata["image_path"]``. Pages of text have none.
        folder: for ``pictures="file"``; made if it is missing.
        dpi: of these pictures, dots per inch.
        on_error: "raise" ends at a file that cannot be read; "skip" logs a warning and goes on.
        limits: what a document may cost; see ``Limits``.

    Raises:
        InputError: an argument is nothing of this.
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        ocr: OcrMode = "auto",
        pictures: PictureMode = "none",
        folder: str | os.PathLike[str] | None = None,
        dpi: int = 144,
        on_error: Literal["raise", "skip"] = "raise",
        limits: Limits | None = None,
    ) -> None:
        for name, value, known in (
            ("ocr", ocr, get_args(OcrMode)),
            ("pictures", pictures, get_args(PictureMode)),
            ("on_error", on_error, ("raise", "skip")),
        ):
            if value not in known:
                raise InputError(f"{name}={value!r} is not known: it is one of {', '.join(known)}")
        if (pictures == "file") != (folder is not None):
            raise InputError("pictures='file' needs a folder= to write to, and no other choice takes one")
        if isinstance(dpi, bool) or not isinstance(dpi, int) or dpi < 1:
            raise InputError(f"dpi must be a whole number of at least 1, not {dpi!r}")
        self.paths = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        self.ocr: OcrMode = ocr
        self.pictures: PictureMode = pictures
        self.folder = None if folder is None else Path(folder)
        self.dpi = dpi
        self.on_error = on_error
        self.limits = limits or Limits()

    def lazy_load(self) -> Iterator[Document]:
        """The pages, one by one, each read when it is asked for.

        Raises:
            DocumentError: a file cannot be read, with ``on_error="raise"``.
            MissingDependencyError: a page needs recognition and rapidocr is not installed.
        """
        for path in self.paths:
            try:
                files = find_documents(path)
            except DocumentError as error:
                self._skip(error)
                continue
            for file in files:
                try:
                    for page in read_document(file, ocr=self.ocr, limits=self.limits):
                        yield self._to_document(page)
                except DocumentError as error:
                    self._skip(error)

    def _skip(self, error: DocumentError) -> None:
        if self.on_error == "raise":
            raise error
        logger.warning("skipped %s", error)

    def _to_document(self, page: Page) -> Document:
        metadata: dict[str, Any] = {**page.metadata, "source": page.source, "page": page.number, "route": page.route}
        picture = None if self.pictures == "none" else page.image(self.dpi)
        if picture is not None:
            content = io.BytesIO()
            picture.save(content, "PNG")
            metadata["mime_type"] = "image/png"
            if self.folder is None:
                metadata["image"] = base64.b64encode(content.getvalue()).decode("ascii")
            else:
                metadata["image_path"] = str(_write(self.folder, page, content.getvalue()))
        return Document(page_content=page.text, metadata=metadata)


def _write(folder: Path, page: Page, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    # The source's digest: two files of one name in different folders get different pictures.
    name = f"{Path(page.source).stem[:60]}-{sha256(page.source.encode()).hexdigest()[:12]}-{page.number}.png"
    path = folder / name
    path.write_bytes(content)
    return path
