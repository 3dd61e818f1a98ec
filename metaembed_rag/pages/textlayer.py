"""A PDF page's own text: words with boxes from PDFium, and whether that text is worth reading."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaembed_rag.errors import DocumentTooLargeError
from metaembed_rag.pages.clean import clean, count_garbage
from metaembed_rag.pages.layout import compose, split_line
from metaembed_rag.pages.limits import Limits
from metaembed_rag.pages.page import Word

if TYPE_CHECKING:
    from pypdfium2 import PdfPage, PdfTextPage

#: Share of garbage characters above which a layer is unreadable: fonts without a character map
#: give nearly all garbage, pages of formulas in old fonts up to a fifth.
_MAX_GARBAGE = 0.3
#: Below this many characters (a stamp, a page number, a caption) a page covered by a picture is a scan.
_SCAN_CHARS = 200
#: Share of the page a picture covers from which it may be the page itself; smaller ones are illustrations.
_SCAN_COVER = 0.5
#: Below this many characters, so many drawn strokes are lettering turned into outlines.
_OUTLINE_CHARS, _OUTLINE_PATHS = 25, 50
#: Objects looked at to tell: maps and plots draw millions of strokes.
_MAX_OBJECTS = 2_000
#: PDFium's mark for a hyphen at a line's end.
_LINE_HYPHEN = "\x02"
#: Side of the square that stands for the page when PDFium says where points fall; fine enough for any print.
_GRID = 1_000_000


@dataclass(frozen=True, slots=True)
class TextLayer:
    """What a page says of itself.

    Attributes:
        text: in reading order; may be empty.
        words: with boxes, in the order of the text.
        usable: whether the text can stand for the page.
        garbled: whether its characters are mostly no characters.
        blank: whether nothing at all is drawn.
    """

    text: str
    words: tuple[Word, ...]
    usable: bool
    garbled: bool
    blank: bool


def read_layer(path: str, number: int, page: PdfPage, limits: Limits) -> TextLayer:
    """The text layer of an open page. The caller holds PDFium's lock.

    Raises:
        DocumentTooLargeError: more characters than ``limits`` allow.
    """
    width, height = page.get_size()
    width, height = max(width, 1e-3), max(height, 1e-3)
    textpage = page.get_textpage()
    try:
        count = textpage.count_chars()
        if count > limits.max_page_chars:
            raise DocumentTooLargeError(
                path,
                f"page {number} has {count:,} characters, the limit is {limits.max_page_chars:,}; "
                "remove the page, or raise Limits(max_page_chars=...)",
            )
        signs = _signs(textpage, count)
        boxes = _Boxes(page, textpage, width, height)
        pieces = [piece for line in _lines(signs, boxes) for piece in split_line(line)]
    finally:
        textpage.close()
    text, words = compose(pieces, width, height, drawn_in_order=True)
    solid = sum(not sign.isspace() for sign in signs) - signs.count(_LINE_HYPHEN)
    garbage = count_garbage("".join(signs)) - signs.count(_LINE_HYPHEN)
    garbled = garbage > _MAX_GARBAGE * solid
    chars = sum(len(word.text) for word in words)
    blank = chars == 0 and not garbled and _is_blank(page)
    usable = not garbled and chars > 0 and not _is_picture(page, chars, width * height)
    return TextLayer(text, words, usable, garbled, blank)


def _signs(textpage: PdfTextPage, count: int) -> list[str]:
    """One character a place; halves of surrogate pairs are joined in the first's place."""
    from pypdfium2 import raw

    codes = [int(raw.FPDFText_GetUnicode(textpage, index)) for index in range(count)]
    signs = [chr(code) if code <= 0x10FFFF else "\ufffd" for code in codes]
    for index in range(count - 1):
        high, low = codes[index], codes[index + 1]
        if 0xD800 <= high < 0xDC00 and 0xDC00 <= low < 0xE000:
            signs[index], signs[index + 1] = chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), ""
    return signs


class _Boxes:
    """Where characters stand on the page as it is seen: turned, cropped, origin top left, in points."""

    def __init__(self, page: PdfPage, textpage: PdfTextPage, width: float, height: float) -> None:
        self._textpage = textpage
        self._width, self._height = width, height
        # The page's own rotation and boxes make an affine map; three points give it.
        left, bottom, right, top = page.get_bbox()
        span = max(right - left, top - bottom, 1.0)
        origin = self._device(page, left, bottom)
        along = self._device(page, left + span, bottom)
        up = self._device(page, left, bottom + span)
        self._corner, self._origin = (left, bottom), origin
        self._xx, self._xy = (along[0] - origin[0]) / span, (along[1] - origin[1]) / span
        self._yx, self._yy = (up[0] - origin[0]) / span, (up[1] - origin[1]) / span
        self._rect, self._sides = _new_rect(), tuple(ctypes.c_double() for _ in range(4))

    def _device(self, page: PdfPage, x: float, y: float) -> tuple[float, float]:
        from pypdfium2 import raw

        across, down = ctypes.c_int(), ctypes.c_int()
        raw.FPDF_PageToDevice(page, 0, 0, _GRID, _GRID, 0, x, y, across, down)
        return across.value * self._width / _GRID, down.value * self._height / _GRID

    def of(self, index: int) -> tuple[float, float, float, float] | None:
        """The box of character ``index``, as high as its line; None if it is not on the visible page."""
        from pypdfium2 import raw

        rect = self._rect
        known = raw.FPDFText_GetLooseCharBox(self._textpage, index, rect)
        left, bottom, right, top = rect.left, rect.bottom, rect.right, rect.top
        if not known or top == bottom or left == right:
            # Fonts drawn by procedures have no line height; their glyphs have an outline.
            a, b, c, d = self._sides
            if raw.FPDFText_GetCharBox(self._textpage, index, a, b, c, d):
                left, right, bottom, top = a.value, b.value, c.value, d.value
        one, two = self._place(left, bottom), self._place(right, top)
        box = (min(one[0], two[0]), min(one[1], two[1]), max(one[0], two[0]), max(one[1], two[1]))
        if box[2] < 0 or box[3] < 0 or box[0] > self._width or box[1] > self._height:
            return None
        return box

    def _place(self, x: float, y: float) -> tuple[float, float]:
        across, up = x - self._corner[0], y - self._corner[1]
        return (
            self._origin[0] + across * self._xx + up * self._yx,
            self._origin[1] + across * self._xy + up * self._yy,
        )


def _new_rect() -> ctypes.Structure:
    from pypdfium2 import raw

    rect: ctypes.Structure = raw.FS_RECTF()
    return rect


def _lines(signs: list[str], boxes: _Boxes) -> Iterator[list[Word]]:
    """Words, line by line as PDFium sees lines."""
    line: list[Word] = []
    text, box = "", None
    for index, sign in enumerate(signs):
        if sign and not sign.isspace():
            shown = "-" if sign == _LINE_HYPHEN else clean(sign)
            place = boxes.of(index) if shown else None
            if place is not None:
                text += shown
                box = place if box is None else _around(box, place)
            if sign != _LINE_HYPHEN:
                continue
        elif not sign:
            continue
        if text and box is not None:
            line.append(Word(text, box))
        text, box = "", None
        if sign in "\r\n\x02" and line:
            yield line
            line = []
    if text and box is not None:
        line.append(Word(text, box))
    if line:
        yield line


def _around(
    one: tuple[float, float, float, float], two: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    return min(one[0], two[0]), min(one[1], two[1]), max(one[2], two[2]), max(one[3], two[3])


def _is_blank(page: PdfPage) -> bool:
    return next(iter(page.get_objects(max_depth=1)), None) is None


def _is_picture(page: PdfPage, chars: int, area: float) -> bool:
    """Whether a picture or outlines say what the layer does not."""
    from pypdfium2 import PdfiumError, raw

    if chars >= _SCAN_CHARS:
        return False
    cover, paths = 0.0, 0
    for seen, item in enumerate(page.get_objects(max_depth=4)):
        if item.type == raw.FPDF_PAGEOBJ_IMAGE:
            try:
                left, bottom, right, top = item.get_bounds()
            except PdfiumError:
                continue
            cover += abs((right - left) * (top - bottom)) / area
        elif item.type == raw.FPDF_PAGEOBJ_PATH:
            paths += 1
        if cover >= _SCAN_COVER or seen >= _MAX_OBJECTS:
            break
    return cover >= _SCAN_COVER or (chars < _OUTLINE_CHARS and paths >= _OUTLINE_PATHS)
