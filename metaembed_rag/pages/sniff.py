"""What kind of document a file is: its first bytes decide, its suffix only breaks ties."""

from __future__ import annotations

import os
import stat
from typing import Literal, TypeAlias

from metaembed_rag.errors import (
    CorruptDocumentError,
    DocumentError,
    DocumentNotFoundError,
    DocumentTooLargeError,
    EmptyDocumentError,
    UnsupportedDocumentError,
)
from metaembed_rag.pages.limits import Limits

Kind: TypeAlias = Literal["pdf", "png", "jpeg", "tiff", "webp", "text", "markdown"]

SUPPORTED = "PDF, PNG, JPEG, TIFF, WebP, Markdown and plain text"
_HEAD = 8192
_PDF_MARK = b"%PDF-"
_PDF_MARK_WITHIN = 1024

_PICTURES: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
)
_CLAIMS: dict[str, str] = {
    ".pdf": "PDF",
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WebP",
}
_MARKDOWN = frozenset({".md", ".markdown", ".mdown", ".mkd"})
_OFFICE = "an Office, EPUB or ZIP file; export it to PDF, or unpack it"
_PACKED = "a compressed file; unpack it first"
_PICTURE = "a kind of picture that is not read here; convert it to PNG"
_MARKUP = "markup, whose tags would be indexed as text; print it to PDF or convert it to Markdown"
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", _OFFICE),
    (b"PK\x05\x06", _OFFICE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OFFICE),
    (b"\x1f\x8b", _PACKED),
    (b"BZh", _PACKED),
    (b"\xfd7zXZ\x00", _PACKED),
    (b"\x28\xb5\x2f\xfd", _PACKED),
    (b"7z\xbc\xaf\x27\x1c", _PACKED),
    (b"Rar!\x1a\x07", _PACKED),
    (b"GIF87a", _PICTURE),
    (b"GIF89a", _PICTURE),
    (b"\x00\x00\x00\x0cjP  ", _PICTURE),
    (b"{\\rtf", "an RTF file; export it to PDF"),
    (b"%!PS", "a PostScript file; convert it to PDF (ps2pdf)"),
)
_MARKUP_SUFFIXES = frozenset({".html", ".htm", ".xhtml", ".svg"})
_MARKUP_STARTS = (b"<!doctype html", b"<html", b"<svg")
_UNICODE_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def sniff(path: str, limits: Limits) -> Kind:
    """The kind of the file at ``path``, from its first 8 KiB.

    Raises:
        DocumentNotFoundError, EmptyDocumentError, DocumentTooLargeError: as named.
        CorruptDocumentError: the suffix names a supported kind, the content is none.
        UnsupportedDocumentError: any other kind of file, or not a file at all.
        DocumentError: the file may not be read.
    """
    size = _check_file(path, limits)
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise DocumentError(path, f"cannot be opened ({error.strerror}); check its permissions") from error
    suffix = os.path.splitext(path)[1].lower()
    kind = _kind_of(head, suffix)
    if kind is not None:
        return kind
    claim = _CLAIMS.get(suffix)
    reason = _why_refused(head, suffix)
    if claim is not None:
        raise CorruptDocumentError(
            path,
            f"is named as a {claim} file but its {size:,} bytes are not one; export or download it again",
        )
    raise UnsupportedDocumentError(path, f"{reason}; supported are {SUPPORTED}")


def _check_file(path: str, limits: Limits) -> int:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        shown = path.encode("utf-8", "backslashreplace").decode("ascii", "replace")
        raise UnsupportedDocumentError(
            shown, "its name is not valid Unicode and could not be stored; rename it"
        ) from None
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise DocumentNotFoundError(path, "no such file or folder; check the path") from None
    except (OSError, ValueError) as error:
        raise DocumentError(path, f"cannot be opened ({error}); check the path and its permissions") from error
    if stat.S_ISDIR(status.st_mode):
        raise DocumentError(path, "is a folder that cannot be read as a document; check that it may be listed")
    if not stat.S_ISREG(status.st_mode):
        raise UnsupportedDocumentError(path, "is not a regular file; copy its content to one")
    if status.st_size == 0:
        raise EmptyDocumentError(path, "is empty (0 bytes); download or export it again")
    if status.st_size > limits.max_bytes:
        raise DocumentTooLargeError(
            path,
            f"has {status.st_size:,} bytes, the limit is {limits.max_bytes:,}; "
            "split it, or raise Limits(max_bytes=...)",
        )
    return status.st_size


def _kind_of(head: bytes, suffix: str) -> Kind | None:
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_PDF_MARK):
        return "pdf"
    for mark, kind in _PICTURES:
        if head.startswith(mark):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    # Mail gateways and printers put lines before the mark; a text that quotes it is no PDF.
    marked = _PDF_MARK in head[:_PDF_MARK_WITHIN]
    if marked and (suffix == ".pdf" or not _is_text(head)):
        return "pdf"
    if suffix in _CLAIMS or _why_refused(head, suffix) is not None:
        return None
    return "markdown" if suffix in _MARKDOWN else "text"


def _why_refused(head: bytes, suffix: str) -> str | None:
    for mark, reason in _REFUSED:
        if head.startswith(mark):
            return f"is {reason}"
    if suffix in _MARKUP_SUFFIXES or head.lstrip().lower().startswith(_MARKUP_STARTS):
        return f"is {_MARKUP}"
    return None if _is_text(head) else "is a binary file"


def _is_text(head: bytes) -> bool:
    return head.startswith(_UNICODE_MARKS) or b"\x00" not in head
