"""Documents: finding them under a path, and reading them page by page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from metaembed_rag.errors import DocumentError, DocumentNotFoundError, EmptyDocumentError, InputError
from metaembed_rag.pages.limits import Limits
from metaembed_rag.pages.ocr import OcrReader
from metaembed_rag.pages.page import Page
from metaembed_rag.pages.sniff import sniff

if TYPE_CHECKING:
    from PIL.Image import Image

#: When characters are recognised: on pages without a usable text layer, on none, or on all.
OcrMode: TypeAlias = Literal["auto", "never", "always"]

_DEFAULT_LIMITS = Limits()


def check_ocr(ocr: object) -> None:
    """Refuse what is no OcrMode.

    Raises:
        InputError: nothing of "auto", "never" and "always".
    """
    if ocr not in get_args(OcrMode):
        raise InputError(f"ocr={ocr!r} is not understood: pass 'auto', 'never' or 'always'")


def read_document(
    path: str | os.PathLike[str],
    *,
    ocr: OcrMode = "auto",
    limits: Limits = _DEFAULT_LIMITS,
    reader: OcrReader | None = None,
) -> Iterator[Page]:
    """The pages of one file, read one by one as they are asked for.

    The path, the kind of file and its size are checked at the call, the content while iterating.

    Args:
        path: a PDF, PNG, JPEG, TIFF, WebP, Markdown or text file; its content decides, not its suffix.
            It becomes the pages' ``source`` as it is.
        ocr: "auto" recognises characters on pages without a usable text layer, "never" on none (pictures
            then have no text), "always" also on pages with one.
        limits: bounds for untrusted files.
        reader: recognises characters; by default rapidocr, loaded at the first page that needs it.

    Raises:
        InputError: ``path`` or ``ocr`` is nothing of the above.
        DocumentError: one of its children says what is wrong with the file.
        MissingDependencyError: a page needs recognition and rapidocr is not installed.
    """
    return _read(_as_text(path), ocr, limits, reader, None)


def read_page(
    path: str | os.PathLike[str],
    number: int,
    *,
    ocr: OcrMode = "auto",
    limits: Limits = _DEFAULT_LIMITS,
    reader: OcrReader | None = None,
) -> Page:
    """Page ``number`` (from 1) as ``read_document`` would give it, without reading the others.

    Raises:
        InputError: as ``read_document``, or ``number`` is below 1.
        DocumentError: the file cannot be read, or has no such page any more.
        MissingDependencyError: the page needs recognition and rapidocr is not installed.
    """
    source = _as_text(path)
    if number < 1:
        raise InputError(f"pages are counted from 1, not {number}")
    for page in _read(source, ocr, limits, reader, number):
        if page.number == number:
            return page
    raise DocumentError(source, f"has no page {number} any more; index it again")


def _read(source: str, ocr: OcrMode, limits: Limits, reader: OcrReader | None, only: int | None) -> Iterator[Page]:
    check_ocr(ocr)
    kind = sniff(source, limits)
    if kind == "pdf":
        from metaembed_rag.pages.pdf import read_pdf

        return read_pdf(source, ocr=ocr, limits=limits, reader=reader, only=only)
    if kind == "text" or kind == "markdown":
        from metaembed_rag.pages.text import read_text

        return read_text(source, markdown=kind == "markdown", limits=limits)
    from metaembed_rag.pages.image import read_picture

    return read_picture(source, kind, ocr=ocr != "never", limits=limits, reader=reader, only=only)


def count_pages(path: str | os.PathLike[str], *, limits: Limits = _DEFAULT_LIMITS) -> int:
    """How many pages ``read_document`` will give, without reading them (a text file is split to tell).

    Raises:
        DocumentError: as ``read_document`` would at its first page.
    """
    source = _as_text(path)
    kind = sniff(source, limits)
    if kind == "pdf":
        from metaembed_rag.pages.pdf import count_pdf_pages

        return count_pdf_pages(source, limits)
    if kind == "text" or kind == "markdown":
        from metaembed_rag.pages.text import count_text_pages

        return count_text_pages(source, markdown=kind == "markdown", limits=limits)
    from metaembed_rag.pages.image import count_frames

    return count_frames(source, kind, limits)


def find_documents(path: str | os.PathLike[str]) -> list[str]:
    """The files at ``path``: itself, or all files in the folder and below, sorted.

    Hidden files and folders are left out. Every other file is returned, whatever it is, so that reading it
    says why it cannot be indexed; so is a folder that may not be listed. A linked folder is followed once,
    and not at all if it was reached already. Paths begin with ``path`` as it was given.

    Raises:
        InputError: not a path.
        DocumentNotFoundError: nothing there.
        EmptyDocumentError: a folder without files.
    """
    root = _as_text(path)
    if not os.path.lexists(root):
        raise DocumentNotFoundError(root, "no such file or folder; check the path")
    if not os.path.isdir(root):
        return [root]
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    # Links wait until all real folders were walked: a file reached both ways keeps its real path.
    linked = [root]
    while linked:
        later: list[str] = []
        for folder in sorted(linked):
            _walk(folder, found, later, seen)
        linked = later
    if not found:
        raise EmptyDocumentError(root, "this folder holds no files (hidden ones are left out); check the path")
    return sorted(found, key=lambda name: name.split(os.sep))


def _walk(root: str, found: list[str], linked: list[str], seen: set[tuple[int, int]]) -> None:
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                listed = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError:
            found.append(folder)
            continue
        for entry in listed:
            name = os.path.join(folder, entry.name)
            if not _is_folder(entry):
                found.append(name)
            elif entry.is_symlink():
                linked.append(name)
            else:
                folders.append(name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _as_text(path: object) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"a path must be text or a pathlib.Path, not {type(path).__name__}")
    text = os.fspath(path)
    if not isinstance(text, str) or not text or "\x00" in text:
        raise InputError(f"{text!r} is not a path; pass the name of a file or folder")
    return text


def render_page(
    path: str | os.PathLike[str], number: int, dpi: int = 144, *, limits: Limits = _DEFAULT_LIMITS
) -> Image:
    """One page of a PDF or picture, drawn at ``dpi`` dots per inch.

    Raises:
        InputError: pages of a text cannot be drawn, or ``number`` is below 1.
        DocumentError: the file cannot be read, or has no such page any more.
    """
    source = _as_text(path)
    if number < 1:
        raise InputError(f"pages are counted from 1, not {number}")
    kind = sniff(source, limits)
    if kind == "pdf":
        from metaembed_rag.pages.pdf import render_pdf_page

        return render_pdf_page(source, number, dpi, limits)
    if kind == "text" or kind == "markdown":
        raise InputError(f"{source}: pages of text cannot be drawn")
    from metaembed_rag.pages.image import render_frame

    return render_frame(source, kind, number, dpi, limits)
