"""Pictures small enough to travel inside HTML: scaled, compressed, as data URIs."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

#: Longest bytes of a compressed picture: a report of ten pages stays below 2 MB.
MAX_BYTES = 160_000

_QUALITIES = (82, 70, 55, 40)


def thumbnail(image: Image, width: int, height: int | None = None) -> Image:
    """``image`` as RGB, scaled down to fit ``width`` x ``height`` pixels (twice the width where None); never up."""
    from PIL.Image import Resampling

    small = image.convert("RGB")
    small.thumbnail((width, height or 2 * width), Resampling.LANCZOS, reducing_gap=3.0)
    return small


def data_uri(image: Image, *, max_bytes: int = MAX_BYTES) -> str:
    """``image`` as a ``data:`` URI of at most ``max_bytes`` before base64.

    PNG where it is the smaller (drawings, print of few colours), else JPEG, coarser and at last smaller until
    it fits.
    """
    picture = image.convert("RGB")
    while True:
        flat = _compressed(picture.quantize(64), "PNG")
        best = ("png", flat)
        for quality in _QUALITIES:
            coarse = _compressed(picture, "JPEG", quality=quality, optimize=True)
            if len(coarse) < len(best[1]):
                best = ("jpeg", coarse)
            if len(best[1]) <= max_bytes:
                return f"data:image/{best[0]};base64,{base64.b64encode(best[1]).decode('ascii')}"
        if max(picture.size) < 32:
            return f"data:image/{best[0]};base64,{base64.b64encode(best[1]).decode('ascii')}"
        picture = picture.resize((max(1, picture.width * 3 // 4), max(1, picture.height * 3 // 4)))


def _compressed(picture: Image, kind: str, **options: int | bool) -> bytes:
    target = BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()
