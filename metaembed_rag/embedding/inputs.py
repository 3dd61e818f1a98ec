"""What may be embedded: a text, a picture, both, or a page; checked here, once, for every backbone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from metaembed_rag.errors import InputError
from metaembed_rag.pages.clean import check_text
from metaembed_rag.pages.page import Page

if TYPE_CHECKING:
    from PIL.Image import Image

Query: TypeAlias = "str | Image | Mapping[str, Any]"
Document: TypeAlias = "str | Image | Page | Mapping[str, Any]"

#: The text of a picture that comes without one (arXiv 2509.18095).
DESCRIBE = "Describe the image."


@dataclass(frozen=True, slots=True)
class Sample:
    """One input of a backbone.

    Attributes:
        text: may be empty.
        picture: an RGB picture, or None.
    """

    text: str
    picture: Image | None = None

    @property
    def prompt(self) -> str:
        """The text that a backbone which sees reads."""
        return DESCRIBE if self.picture is not None and not self.text.strip() else self.text


def check_list(items: Any, where: str) -> list[Any]:
    """``items`` as a list, if they are several inputs rather than a single one.

    Raises:
        InputError: it is a single one.
    """
    if not isinstance(items, (str, bytes, Page, Mapping)) and isinstance(items, Iterable):
        return list(items)
    raise InputError(f"{where} takes a list, not a single {type(items).__name__}: wrap it in a list")


def check_sample(item: Any, what: str) -> str:
    """The text of one input, "" where it is a picture alone; pictures are not decoded yet.

    Args:
        item: a text, a PIL picture, a Page, or a mapping with "text", "image" or both.
        what: "a query" or "a document", for messages.

    Raises:
        InputError: anything else, or a mapping without text and image.
    """
    if isinstance(item, str):
        return check_text(what, item)
    if isinstance(item, Page):
        return check_text(what, item.text) if item.render is None else ""
    from PIL.Image import Image as PilImage

    if isinstance(item, PilImage):
        return ""
    if not isinstance(item, Mapping):
        page = "a Page, " if what == "a document" else ""
        raise InputError(
            f"{what} is a text, a PIL picture, {page}or a mapping with 'text' and 'image', not {type(item).__name__}"
        )
    unknown = set(item) - {"text", "image"}
    if unknown:
        raise InputError(f"{what}: a mapping has 'text' and 'image', not {sorted(map(str, unknown))}")
    text, picture = item.get("text"), item.get("image")
    if text is None and picture is None:
        raise InputError(f"{what} has neither text nor image: give {{'text': ...}}, {{'image': ...}} or both")
    if picture is not None and not isinstance(picture, PilImage):
        raise InputError(f"{what}: 'image' is a PIL picture, not {type(picture).__name__}; use PIL.Image.open(path)")
    if text is not None and not isinstance(text, str):
        raise InputError(f"{what}: 'text' is a string, not {type(text).__name__}")
    return "" if text is None else check_text(what, text)


def to_sample(item: Any, what: str) -> Sample:
    """Read one input; a page that can be drawn is a picture.

    Raises:
        InputError: as for ``check_sample``, or a picture that cannot be decoded.
    """
    text = check_sample(item, what)
    if isinstance(item, Page):
        return Sample(text, item.image())
    picture = item.get("image") if isinstance(item, Mapping) else None if isinstance(item, str) else item
    return Sample(text, None if picture is None else _decode(picture, what))


def read_text(item: Any, what: str) -> str:
    """One input as a text, for a backbone that does not see: pictures are read by character recognition.

    A page is its text, which its reader has recognised already.

    Raises:
        InputError: as for ``to_sample``.
    """
    if isinstance(item, Page):
        return check_text(what, item.text)
    sample = to_sample(item, what)
    if sample.picture is None:
        return sample.text
    from metaembed_rag.pages.ocr import shared_reader

    recognised = shared_reader().read(sample.picture)[0]
    return f"{sample.text}\n{recognised}" if sample.text else recognised


def _decode(picture: Image, what: str) -> Image:
    """Upright RGB; PIL reads a file's pixels only now."""
    from PIL import Image as PilModule
    from PIL import ImageOps

    from metaembed_rag.pages.image import to_rgb

    try:
        picture.load()
        return to_rgb(ImageOps.exif_transpose(picture))
    except (OSError, SyntaxError, ValueError, EOFError, PilModule.DecompressionBombError) as error:
        name = getattr(picture, "filename", "") or "the picture"
        raise InputError(
            f"{what}: {name} cannot be decoded ({error}); open it in a viewer and save it again"
        ) from error
