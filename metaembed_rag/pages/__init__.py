"""Pages: what a document is before it is a vector. Readers load their libraries when first used."""

from __future__ import annotations

from metaembed_rag.pages.documents import (
    OcrMode,
    check_ocr,
    count_pages,
    find_documents,
    read_document,
    read_page,
    render_page,
)
from metaembed_rag.pages.limits import Limits
from metaembed_rag.pages.ocr import OcrReader, RapidOcrReader
from metaembed_rag.pages.page import Page, Route, Word

__all__ = [
    "Limits",
    "OcrMode",
    "OcrReader",
    "Page",
    "RapidOcrReader",
    "Route",
    "Word",
    "check_ocr",
    "count_pages",
    "find_documents",
    "read_document",
    "read_page",
    "render_page",
]
