"""Pictures as pages: PNG, JPEG, WebP, and TIFF with a page a frame."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from os.path import abspath
from typing import TYPE_CHECKING, Any

from metaembed_rag.errors import CorruptDocumentError, DocumentError, DocumentTooLargeError
from metaembed_rag.pages.limits import Limits
from metaembed_rag.pages.ocr import OCR_DPI, OcrReader, shared_reader
from metaembed_rag.pages.page import Page
from metaembed_rag.pages.sniff import Kind

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

#: Pillow's names; cameras write JPEG with more pictures inside (MPO), of which the first is the photograph.
_FORMATS: dict[str, list[str]] = {"png": ["PNG"], "jpeg": ["JPEG", "MPO"], "tiff": ["TIFF"], "webp": ["WEBP"]}
#: Short side of A4 in inches: the size a picture of a page is taken to have when it does not say.
_PAPER_INCHES = 8.27
#: Resolutions below are what software writes without meaning it (72, 96).
_MEANT_DPI = 100


def read_picture(
    path: str, kind: Kind, *, ocr: bool, limits: Limits, reader: OcrReader | None, only: int | None = None
) -> Iterator[Page]:
    """The pages of a picture file, or page ``only`` (from 1), read by character recognition unless ``ocr`` is
    False (then without text).

    Raises:
        CorruptDocumentError: it cannot be decoded, or only in part.
        DocumentTooLargeError: more pixels or frames than ``limits`` allow; nothing is decoded then.
        MissingDependencyError: recognition is wanted and not installed.
    """
    frames = count_frames(path, kind, limits)
    for index in range(frames) if only is None else range(only - 1, min(only, frames)):
        render = partial(_render, path, abspath(path), kind, index, limits)
        image = render(OCR_DPI)
        if not ocr:
            yield Page(source=path, number=index + 1, text="", route="layer", render=render)
            continue
        text, words = (reader or shared_reader()).read(image)
        yield Page(source=path, number=index + 1, text=text, words=words, route="ocr", render=render)


def render_frame(path: str, kind: Kind, number: int, dpi: int, limits: Limits) -> Image:
    """One frame as an RGB picture, without reading the others."""
    return _render(path, abspath(path), kind, number - 1, limits, dpi)


def count_frames(path: str, kind: Kind, limits: Limits) -> int:
    """Pages of a picture file; reads headers only."""
    with _open(path, abspath(path), kind, limits) as file:
        if kind != "tiff":
            # Later frames of an animation are not pages.
            return 1
        try:
            frames = int(getattr(file, "n_frames", 1))
        except _DECODING as error:
            raise _corrupt(path, error) from error
    limits.check_pages(path, frames)
    return frames


#: What Pillow raises on broken files, by the layer that trips first.
_DECODING = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    KeyError,
    IndexError,
    TypeError,
    ZeroDivisionError,
)


def _corrupt(path: str, error: Exception) -> CorruptDocumentError:
    return CorruptDocumentError(path, f"the picture cannot be decoded ({error}); export or scan it again")


def _open(path: str, place: str, kind: Kind, limits: Limits) -> ImageFile:
    """The file with its header read and its size within limits."""
    from PIL import Image

    try:
        file = Image.open(place, formats=_FORMATS[kind])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(path, str(error), limits) from None
    except PermissionError as error:
        raise DocumentError(path, f"cannot be opened ({error.strerror}); check its permissions") from error
    except _DECODING as error:
        raise _corrupt(path, error) from error
    try:
        _check_size(path, file, limits)
    except DocumentError:
        file.close()
        raise
    return file


def _check_size(path: str, file: Image, limits: Limits) -> None:
    width, height = file.size
    if width * height > limits.max_pixels:
        raise _too_many_pixels(path, f"{width:,} x {height:,} pixels", limits)


def _too_many_pixels(path: str, found: str, limits: Limits) -> DocumentTooLargeError:
    return DocumentTooLargeError(
        path,
        f"{found}; the limit is {limits.max_pixels:,} pixels: scale it down, or raise Limits(max_pixels=...)",
    )


def _render(path: str, place: str, kind: Kind, index: int, limits: Limits, dpi: int) -> Image:
    """Frame ``index`` as RGB, upright, shrunk to ``dpi`` and never enlarged."""
    from PIL import Image, ImageOps

    with _open(path, place, kind, limits) as file:
        try:
            if index:
                file.seek(index)
                _check_size(path, file, limits)
            resolution = _resolution(file)
            file.load()
            image = to_rgb(ImageOps.exif_transpose(file))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise _too_many_pixels(path, str(error), limits) from None
        except DocumentError:
            raise
        except _DECODING as error:
            raise _corrupt(path, error) from error
    inches = min(image.size) / resolution if resolution else _PAPER_INCHES
    factor = dpi * inches / min(image.size)
    if factor < 1:
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return image


def _resolution(file: Image) -> float | None:
    """Dots per inch that the file states and means."""
    info: dict[Any, Any] = dict(file.info)
    try:
        stated = float(info.get("dpi", (0, 0))[0])
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    return stated if _MEANT_DPI <= stated <= 2400 else None


def to_rgb(image: Image) -> Image:
    """``image`` as RGB: transparent parts on white paper, deep greys scaled to 8 bits."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        grey = image.convert("F")
        extrema: Any = grey.getextrema()
        low, high = extrema
        top = 65535.0 if image.mode.startswith("I;16") or 255 < high <= 65535 else max(float(high), 1.0)
        bottom = min(float(low), 0.0)
        return grey.point(lambda value: value * (255.0 / (top - bottom)) - bottom * 255.0 / (top - bottom)).convert(
            "RGB"
        )
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")
