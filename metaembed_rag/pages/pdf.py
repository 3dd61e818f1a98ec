"""PDF files as pages: the text layer where there is one worth reading, else character recognition."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from os.path import abspath
from typing import TYPE_CHECKING, Any, Literal

from metaembed_rag.errors import (
    CorruptDocumentError,
    DocumentError,
    DocumentNotFoundError,
    EmptyDocumentError,
    EncryptedDocumentError,
)
from metaembed_rag.pages.limits import Limits
from metaembed_rag.pages.ocr import OCR_DPI, OcrReader, shared_reader
from metaembed_rag.pages.page import Page
from metaembed_rag.pages.textlayer import TextLayer, read_layer

if TYPE_CHECKING:
    from PIL.Image import Image
    from pypdfium2 import PdfDocument, PdfPage

#: PDFium keeps global state: every call into it, from any thread, is made while holding this.
PDFIUM_LOCK = threading.RLock()

_POINTS_PER_INCH = 72
#: A whole file ends with these. One that broke off does not, and PDFium would mend it with blank pages.
_END_MARKS = (b"%%EOF", b"startxref")
_END_WITHIN = 64 * 1024
_NO_PAGES = re.compile(rb"/Kids\s*\[\s*\]")


def read_pdf(
    path: str,
    *,
    ocr: Literal["auto", "never", "always"],
    limits: Limits,
    reader: OcrReader | None,
    only: int | None = None,
) -> Iterator[Page]:
    """The pages of a PDF file, or page ``only`` (from 1). It stays open while being iterated; pages open it
    again to be drawn.

    Raises:
        CorruptDocumentError: the file, or a page of it, cannot be parsed.
        EncryptedDocumentError: it needs a password.
        EmptyDocumentError: it has no pages.
        DocumentTooLargeError: beyond ``limits``.
        MissingDependencyError: a page needs recognition and it is not installed.
    """
    place = abspath(path)
    with _document(path, place, limits) as document:
        with PDFIUM_LOCK:
            count = len(document)
        for index in range(count) if only is None else range(only - 1, min(only, count)):
            with PDFIUM_LOCK, _page(path, document, index) as page:
                layer = read_layer(path, index + 1, page, limits)
            render = partial(_render, path, place, index, limits)
            yield _choose(path, index, layer, render, ocr, reader)


def count_pdf_pages(path: str, limits: Limits) -> int:
    """Pages of a PDF file; reads its table of pages only."""
    with _document(path, abspath(path), limits) as document, PDFIUM_LOCK:
        return len(document)


def render_pdf_page(path: str, number: int, dpi: int, limits: Limits) -> Image:
    """One page as an RGB picture, without reading the others."""
    return _render(path, abspath(path), number - 1, limits, dpi)


def _choose(path: str, index: int, layer: TextLayer, render: Any, ocr: str, reader: OcrReader | None) -> Page:
    page = Page(source=path, number=index + 1, text=layer.text, words=layer.words, route="layer", render=render)
    if ocr == "never" or (ocr == "auto" and layer.usable) or layer.blank:
        return page
    text, words = (reader or shared_reader()).read(render(OCR_DPI))
    # A photograph with a caption: recognition may see less than the layer says. Then nothing is thrown away.
    seen = sum(map(str.isalnum, text))
    said = 0 if layer.garbled else sum(map(str.isalnum, layer.text))
    if (seen == 0 and said) or (ocr == "auto" and seen < said):
        return page
    return Page(source=path, number=index + 1, text=text, words=words, route="ocr", render=render)


@contextmanager
def _document(path: str, place: str, limits: Limits) -> Iterator[PdfDocument]:
    _check_end(path, place)
    with PDFIUM_LOCK:
        document = _open(path, place)
        try:
            limits.check_pages(path, len(document))
        except BaseException:
            document.close()
            raise
    try:
        yield document
    finally:
        with PDFIUM_LOCK:
            document.close()


def _check_end(path: str, place: str) -> None:
    try:
        with open(place, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _END_WITHIN))
            tail = file.read()
    except FileNotFoundError:
        raise DocumentNotFoundError(path, "no such file; it was moved or deleted since it was found") from None
    except OSError as error:
        raise DocumentError(path, f"cannot be opened ({error.strerror}); check its permissions") from error
    if not any(mark in tail for mark in _END_MARKS):
        raise CorruptDocumentError(path, "the PDF breaks off before its end; download or export it again")


def _open(path: str, place: str) -> PdfDocument:
    import pypdfium2
    from pypdfium2 import raw

    try:
        document = pypdfium2.PdfDocument(place)
        if document.get_formtype() == raw.FORMTYPE_ACRO_FORM:
            # Draws fields that come without an appearance of their own.
            document.init_forms()
        return document
    except pypdfium2.PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
            raise EncryptedDocumentError(path, "needs a password; save a copy without one (qpdf --decrypt)") from None
        if code == raw.FPDF_ERR_SUCCESS or _lists_no_pages(place):
            raise EmptyDocumentError(path, "is a PDF without pages; export it again") from None
        raise CorruptDocumentError(
            path, f"the PDF cannot be parsed ({error}); export it again or repair it (qpdf, mutool clean)"
        ) from None


def _lists_no_pages(place: str) -> bool:
    """Whether a file that PDFium refuses has an empty list of pages, for which it gives no other reason."""
    with open(place, "rb") as file:
        return bool(_NO_PAGES.search(file.read(_END_WITHIN)))


@contextmanager
def _page(path: str, document: PdfDocument, index: int) -> Iterator[PdfPage]:
    """One page, with form fields and notes drawn into it. Needs the lock."""
    import pypdfium2

    try:
        page = document[index]
        try:
            if _has_notes(page):
                # What people filled in lies beside the page's text; flattening (in memory) puts it in.
                _flatten(page)
                page.close()
                page = document[index]
            yield page
        finally:
            page.close()
    except pypdfium2.PdfiumError as error:
        raise CorruptDocumentError(
            path,
            f"page {index + 1} of {len(document)} cannot be loaded ({error}); "
            "export the file again or repair it (qpdf, mutool clean)",
        ) from error


def _has_notes(page: PdfPage) -> bool:
    """Whether the page has form fields, typed notes or stamps; links and highlights add no words."""
    from pypdfium2 import raw

    wanted = (raw.FPDF_ANNOT_WIDGET, raw.FPDF_ANNOT_FREETEXT, raw.FPDF_ANNOT_STAMP)
    for index in range(raw.FPDFPage_GetAnnotCount(page)):
        note = raw.FPDFPage_GetAnnot(page, index)
        if not note:
            continue
        subtype = raw.FPDFAnnot_GetSubtype(note)
        raw.FPDFPage_CloseAnnot(note)
        if subtype in wanted:
            return True
    return False


def _flatten(page: PdfPage) -> None:
    import pypdfium2
    from pypdfium2 import raw

    # Not page.flatten(): it refuses notes in documents that have no form.
    if raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY) == raw.FLATTEN_FAIL:
        raise pypdfium2.PdfiumError("its form fields and notes cannot be drawn")


def _render(path: str, place: str, index: int, limits: Limits, dpi: int) -> Image:
    with PDFIUM_LOCK, _document(path, place, limits) as document:
        if index >= len(document):
            raise CorruptDocumentError(path, f"has no page {index + 1} any more; index it again")
        with _page(path, document, index) as page:
            width, height = page.get_size()
            scale = limits.scale_within(max(width, 1e-3), max(height, 1e-3), dpi / _POINTS_PER_INCH)
            bitmap = page.render(scale=scale, rev_byteorder=True, prefer_bgrx=False)
            try:
                # A copy: the bitmap's memory belongs to PDFium.
                image: Image = bitmap.to_pil().convert("RGB").copy()
                return image
            finally:
                bitmap.close()
