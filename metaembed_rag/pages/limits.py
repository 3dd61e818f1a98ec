"""Limits: how much one document may ask of this machine before it is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from metaembed_rag.errors import DocumentTooLargeError, InputError

#: Longest side of a rendered page in pixels: a page of 1 x 200 inches stays drawable, one of a mile does not.
MAX_SIDE = 20_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for untrusted files; beyond one, reading raises DocumentTooLargeError.

    Attributes:
        max_bytes: size of the file. 512 MiB holds any scanned book, and is opened without being read whole.
        max_pages: pages of a document. 5,000 is above the longest annual filings and manuals.
        max_pixels: pixels of a picture once decoded, or of a page once rendered. 60 million is an A4 page
            at 780 dpi, or 180 MB as RGB. A picture above it is refused before it is decoded; a PDF page
            has no pixels of its own, so it is drawn at a lower resolution instead.
        max_page_chars: characters of one page's text. The densest real pages have about 20,000;
            500,000 is a file made to exhaust memory.
        max_text_bytes: size of a plain text or Markdown file, which is decoded whole and so takes up to
            four times its size in memory. 64 MiB is four times the text
            that 5,000 pages hold.
    """

    max_bytes: int = 512 * 1024 * 1024
    max_pages: int = 5_000
    max_pixels: int = 60_000_000
    max_page_chars: int = 500_000
    max_text_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"Limits({item.name}=...) must be a whole number of at least 1, not {value!r}")

    def check_pages(self, path: str, pages: int) -> None:
        """Raise DocumentTooLargeError if the document at ``path`` has more pages than allowed."""
        if pages > self.max_pages:
            raise DocumentTooLargeError(
                path,
                f"has {pages:,} pages, the limit is {self.max_pages:,}; split it, or raise Limits(max_pages=...)",
            )

    def scale_within(self, width: float, height: float, scale: float) -> float:
        """The largest factor up to ``scale`` at which ``width * height`` stays within the limits.

        Args:
            width: in any unit, above 0.
            height: in the same unit, above 0.
            scale: pixels per unit that are wanted.
        """
        # Renderers round sides up, so the area that must fit is (width * scale + 1) * (height * scale + 1).
        half = (width + height) / 2
        spare = self.max_pixels - 1
        by_area = spare / (half + math.sqrt(half * half + spare * width * height))
        by_side = MAX_SIDE / max(width, height)
        # Never 0: the smallest picture has one pixel.
        return min(scale, max(by_area, 0.5 / max(width, height)), by_side)
