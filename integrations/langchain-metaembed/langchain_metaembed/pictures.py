"""Pictures as LangChain users hold them (paths, URIs, PIL), opened within the limits for untrusted files."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from metaembed_rag.errors import DocumentTooLargeError, InputError
from metaembed_rag.pages import Limits, render_page
from metaembed_rag.pages.ocr import OCR_DPI

if TYPE_CHECKING:
    from PIL.Image import Image

#: A path, a ``file:`` or base64 ``data:`` URI, or a PIL picture.
Picture: TypeAlias = "str | os.PathLike[str] | Image"

_SHOWN = 40


def path_of(picture: Picture) -> str | None:
    """The path that a path or ``file:`` URI names; None for pictures that are no files.

    Raises:
        InputError: a URI of another kind, or nothing that names a picture.
    """
    if isinstance(picture, os.PathLike):
        return os.fspath(picture)
    if not isinstance(picture, str):
        if _is_pil(picture):
            return None
        raise InputError(f"a picture is a path, a URI or a PIL picture, not {type(picture).__name__}")
    scheme = picture.split(":", 1)[0].lower() if ":" in picture else ""
    if scheme == "data":
        return None
    if scheme == "file":
        parts = urlsplit(picture)
        if parts.netloc not in ("", "localhost"):
            raise InputError(f"{picture}: files of another machine are not fetched; copy it here and give its path")
        return unquote(parts.path)
    if "://" in picture:
        raise InputError(f"{picture[:_SHOWN]}: pictures are not fetched from the network; download it, give its path")
    return picture


def open_picture(picture: Picture, limits: Limits) -> Image:
    """The picture as RGB; of a file with several pages the first.

    Raises:
        InputError: see ``path_of``; or a ``data:`` URI that is not base64.
        DocumentError: it cannot be read, or is beyond the limits.
    """
    path = path_of(picture)
    if path is not None:
        return render_page(path, 1, OCR_DPI, limits=limits)
    if isinstance(picture, str):
        return _from_data(picture, limits)
    image: Image = picture  # type: ignore[assignment]  # path_of refused everything else
    if image.width * image.height > limits.max_pixels:
        raise DocumentTooLargeError(
            "picture", f"{image.width:,} x {image.height:,} pixels; the limit is {limits.max_pixels:,}: scale it down"
        )
    return image.convert("RGB")


def picture_id(image: Image) -> str:
    """The same for the same RGB pixels."""
    content = hashlib.sha256(f"{image.size}".encode())
    content.update(image.tobytes())
    return f"picture-{content.hexdigest()[:32]}"


def _from_data(uri: str, limits: Limits) -> Image:
    head, comma, body = uri.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise InputError(f"{uri[:_SHOWN]}: a data: URI of a picture is 'data:image/png;base64,...'")
    if len(body) * 3 // 4 > limits.max_bytes:
        raise DocumentTooLargeError("data: URI", f"above {limits.max_bytes:,} bytes; scale the picture down")
    try:
        content = base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise InputError(f"{uri[:_SHOWN]}: the data: URI is not valid base64 ({error})") from error
    # By way of a file, so that the one reader that is careful with hostile pictures sees it.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture"
        file.write_bytes(content)
        return render_page(file, 1, OCR_DPI, limits=limits)


def _is_pil(value: object) -> bool:
    from PIL.Image import Image

    return isinstance(value, Image)
