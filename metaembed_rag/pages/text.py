"""Plain text and Markdown as pages: decoding, and cuts at the borders a reader would choose."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from metaembed_rag.errors import (
    DocumentError,
    DocumentTooLargeError,
    EmptyDocumentError,
    UnsupportedDocumentError,
)
from metaembed_rag.pages.limits import Limits
from metaembed_rag.pages.page import Page

#: Characters of a page: about what a printed page holds, and two or three windows of an encoder.
PAGE_CHARS = 3_000
#: A page that its author ended with a form feed stays whole up to this many times PAGE_CHARS.
_FED_PAGES = 2
#: Share of characters outside ASCII above which a file that is not UTF-8 is binary rather than Western text.
_MAX_HIGH_SHARE = 0.3
#: Share of control characters above which a file is binary; logs with colours stay below.
_MAX_CONTROL_SHARE = 0.05

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\x80-\x9f\ud800-\udfff\ufffe\uffff]")
#: Borders at which a text may be cut, the best first; a cut is where a match ends.
_BORDERS = (
    re.compile(r"\n[^\S\n]*\n\s*"),
    re.compile(r"\n"),
    re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？]"),
    re.compile(r"\s+"),
)
_HEADING = re.compile(r"^ {0,3}#{1,6}(?:[ \t]|$)")
_UNDERLINE = re.compile(r"^ {0,3}(?:=+|-{2,})[ \t]*$")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")


def read_text(path: str, *, markdown: bool, limits: Limits) -> Iterator[Page]:
    """The pages of a plain text or Markdown file.

    Raises:
        UnsupportedDocumentError: the content is not text.
        EmptyDocumentError: white space only.
        DocumentTooLargeError: beyond ``limits``.
    """
    for number, text in enumerate(_pages(path, markdown, limits), 1):
        yield Page(source=path, number=number, text=text)


def count_text_pages(path: str, *, markdown: bool, limits: Limits) -> int:
    """How many pages ``read_text`` will give; reads the file."""
    return len(_pages(path, markdown, limits))


def _pages(path: str, markdown: bool, limits: Limits) -> list[str]:
    try:
        with open(path, "rb") as file:
            data = file.read(limits.max_text_bytes + 1)
    except OSError as error:
        raise DocumentError(path, f"cannot be opened ({error.strerror}); check its permissions") from error
    if len(data) > limits.max_text_bytes:
        raise DocumentTooLargeError(
            path,
            f"has more than {limits.max_text_bytes:,} bytes of text; split it, or raise Limits(max_text_bytes=...)",
        )
    text = decode(path, data)
    cuts = split_markdown(text) if markdown else split_plain(text)
    pages = [page for page in map(_trim, cuts) if page]
    if not pages:
        raise EmptyDocumentError(path, "holds white space only; nothing to index")
    limits.check_pages(path, len(pages))
    return pages


def _trim(text: str) -> str:
    # The first line's indentation belongs to it: code and poems.
    return re.sub(r"\A(?:[^\S\n]*\n)+", "", text).rstrip() if text.strip() else ""


def decode(path: str, data: bytes) -> str:
    """``data`` as text with plain newlines and without control characters.

    UTF-8, or what a byte order mark says; else Windows-1252 where the result is plausible text.

    Raises:
        UnsupportedDocumentError: not text in any of these.
    """
    text = _decode(path, data)
    controls = len(_CONTROLS.findall(text)) - text.count("\x08") - text.count("\x1b")
    if "\x00" in text or controls > _MAX_CONTROL_SHARE * len(text):
        raise UnsupportedDocumentError(path, "is a binary file, not text; convert it to PDF, a picture or UTF-8 text")
    return _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _decode(path: str, data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise UnsupportedDocumentError(
                    path, f"begins as {encoding} text but is not ({error.reason}); save it as UTF-8"
                ) from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        high = sum(byte >= 0x80 for byte in data)
        if b"\x00" not in data and high <= _MAX_HIGH_SHARE * len(data):
            try:
                return data.decode("cp1252")
            except UnicodeDecodeError:
                pass
        raise UnsupportedDocumentError(
            path, f"is neither UTF-8 (byte {error.start:,}) nor plausible Western text; save it as UTF-8"
        ) from None


def split_plain(text: str, size: int = PAGE_CHARS) -> list[str]:
    """``text`` cut at form feeds, and in between to at most ``size`` characters.

    Put together, the parts are the text without its form feeds.
    """
    if "\f" not in text:
        return cut(text, size)
    pages: list[str] = []
    for page in text.split("\f"):
        pages.extend([page] if len(page) <= _FED_PAGES * size else cut(page, size))
    return pages


def split_markdown(text: str, size: int = PAGE_CHARS) -> list[str]:
    """``text`` cut before each heading, and sections further to at most ``size`` characters.

    Headings with nothing below them stay with the section that follows. ``#`` lines in fenced code and in
    the front matter are no headings. Put together, the parts are the text without its form feeds.
    """
    parts: list[str] = []
    for section in _sections(text.replace("\f", "")):
        parts.extend(cut(section, size))
    return parts


def _sections(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    starts = _heading_lines(lines)
    sections: list[str] = []
    begin = 0
    has_body = False
    for index, line in enumerate(lines):
        if index in starts:
            if has_body:
                sections.append("".join(lines[begin:index]))
                begin, has_body = index, False
        elif not _UNDERLINE.match(line) or index - 1 not in starts:
            has_body = has_body or bool(line.strip())
    sections.append("".join(lines[begin:]))
    return sections


def _heading_lines(lines: list[str]) -> set[int]:
    """Indexes of lines that are, or with the underline below become, headings."""
    starts: set[int] = set()
    index = _front_matter(lines)
    fence: str | None = None
    while index < len(lines):
        line = lines[index].rstrip("\n")
        opened = _FENCE.match(line)
        if fence is not None:
            if opened and opened[1].startswith(fence) and not opened[2].strip():
                fence = None
        elif opened and not (opened[1][0] == "`" and "`" in opened[2]):
            fence = opened[1]
        elif _HEADING.match(line):
            starts.add(index)
        elif _UNDERLINE.match(line) and index > 0 and _can_be_underlined(lines, index - 1, starts):
            starts.add(index - 1)
        index += 1
    return starts


def _can_be_underlined(lines: list[str], index: int, starts: set[int]) -> bool:
    """A paragraph of one line: after a blank line or a heading, and no list, quote, table or code."""
    line = lines[index]
    if index in starts or not line.strip() or line.startswith(("    ", "\t")):
        return False
    if line.lstrip().startswith(("- ", "* ", "+ ", ">", "|", "`", "~")) or _UNDERLINE.match(line):
        return False
    return index == 0 or not lines[index - 1].strip() or index - 1 in starts


def _front_matter(lines: list[str]) -> int:
    """The first line after a leading block between two ``---`` lines, or 0."""
    if not lines or lines[0].rstrip() != "---":
        return 0
    for index, line in enumerate(lines[1:], 1):
        if line.rstrip() in ("---", "..."):
            return index + 1
    return 0


def cut(text: str, size: int) -> list[str]:
    """``text`` in parts of at most ``size`` characters and of similar length; joined, they are the text.

    Cuts fall at the paragraph, else line, else sentence, else word border nearest to an even share; a word
    longer than a page is cut through.
    """
    parts: list[str] = []
    start = 0
    while len(text) - start > size:
        left = len(text) - start
        share = left / -(-left // size)
        end = start + _cut_at(text[start : start + size], share)
        parts.append(text[start:end])
        start = end
    parts.append(text[start:])
    return parts


def _cut_at(window: str, share: float) -> int:
    for border in _BORDERS:
        ends = [match.end() for match in border.finditer(window, int(share / 2))]
        if ends:
            return min(ends, key=lambda end: abs(end - share))
    return len(window)
