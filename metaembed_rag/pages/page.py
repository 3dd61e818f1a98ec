"""Page: what a document is before it is a vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from PIL.Image import Image

#: How a page's text was obtained: the file's own text layer, optical character recognition, or plain text.
Route: TypeAlias = Literal["layer", "ocr", "text"]


@dataclass(frozen=True, slots=True)
class Word:
    """A word and where it stands.

    Attributes:
        text: the word, without white space.
        box: ``(left, top, right, bottom)`` as fractions of the page's width and height, origin top left.
    """

    text: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a document: the unit that is embedded, stored and returned.

    Attributes:
        source: the path (or name) of the document, as it was given.
        number: the page's number in its document, from 1.
        text: its text in reading order; may be empty for a blank page.
        words: its words with their boxes, in the order of ``text``; empty for plain text.
        route: how the text was obtained.
        metadata: whatever the caller wants to find again in a hit: JSON values only.
        render: draws the page; None where there is nothing to draw. Use ``image()``.
    """

    source: str
    number: int
    text: str
    words: tuple[Word, ...] = ()
    route: Route = "text"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    render: Callable[[int], Image] | None = field(default=None, repr=False, compare=False)

    def image(self, dpi: int = 144) -> Image | None:
        """The page as an RGB picture at ``dpi`` dots per inch, or None for plain text."""
        return None if self.render is None else self.render(dpi)
