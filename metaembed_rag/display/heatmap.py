"""Heat over a page: a colour scale, boxes blended over the page's picture, and tints behind text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from metaembed_rag.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

Box: TypeAlias = tuple[float, float, float, float]

#: From nothing to hottest: yellow, orange, red. Black print stays readable under all of them when multiplied.
_STOPS = ((255, 255, 255), (255, 241, 168), (255, 199, 87), (255, 132, 66), (240, 72, 72))
#: Room around a word's box, as a share of its height, and softness of edges, as a share of the page's width.
_MARGIN = 0.15
_SOFTEN = 0.004


def colour(heat: float) -> tuple[int, int, int]:
    """Red, green and blue of a heat between 0 and 1."""
    place = min(1.0, max(0.0, heat)) * (len(_STOPS) - 1)
    low = min(int(place), len(_STOPS) - 2)
    share = place - low
    red, green, blue = (
        round((1 - share) * one + share * two) for one, two in zip(_STOPS[low], _STOPS[low + 1], strict=True)
    )
    return red, green, blue


def tint(heat: float) -> str:
    """A translucent CSS colour of a heat between 0 and 1, for text of whatever colour; "" where there is none."""
    if heat <= 0.02:
        return ""
    red, green, blue = colour(0.25 + 0.75 * min(1.0, heat))
    return f"rgba({red},{green},{blue},{0.15 + 0.55 * min(1.0, heat):.2f})"


def draw_heat(
    page: Image,
    boxes: Sequence[Box],
    heats: Sequence[float],
    *,
    outlines: Sequence[Box] = (),
) -> Image:
    """The page's picture with heat over its boxes, as an RGB picture of the same size.

    Heat multiplies the paper's colour, as a text marker does, so that print stays as black as it was.

    Args:
        page: the page's picture.
        boxes: ``(left, top, right, bottom)`` as fractions of the page.
        heats: one a box, from 0 (none) to 1 (hottest).
        outlines: boxes to frame besides.

    Raises:
        InputError: boxes and heats differ in number.
    """
    from PIL import Image as Pillow
    from PIL import ImageChops, ImageDraw, ImageFilter

    if len(boxes) != len(heats):
        raise InputError(f"{len(boxes)} boxes need as many heats, not {len(heats)}")
    paper = page.convert("RGB")
    field = Pillow.new("F", paper.size, 0.0)
    draw = ImageDraw.Draw(field)
    # Hotter boxes are drawn later, over what they touch.
    for index in np.argsort(np.asarray(heats, dtype=float), kind="stable"):
        if heats[index] > 0:
            draw.rectangle(_pixels(boxes[index], paper.size, _MARGIN), fill=float(min(1.0, heats[index])))
    levels = Pillow.fromarray(np.rint(255 * np.asarray(field)).astype(np.uint8))
    levels = levels.filter(ImageFilter.GaussianBlur(max(1.0, _SOFTEN * paper.width)))
    scale = [colour(level / 255) for level in range(256)]
    bands = [levels.point([stop[band] for stop in scale]) for band in range(3)]
    heated = ImageChops.multiply(paper, Pillow.merge("RGB", bands))
    frame = ImageDraw.Draw(heated)
    line = max(2, round(paper.width / 500))
    for box in outlines:
        frame.rounded_rectangle(_pixels(box, paper.size, 0.35), radius=3 * line, outline=(190, 24, 48), width=line)
    return heated


def _pixels(box: Box, size: tuple[int, int], margin: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1]
    room = margin * (bottom - top)
    return (
        max(0.0, min(left, right) - room),
        max(0.0, min(top, bottom) - room),
        min(size[0] - 1.0, max(left, right) + room),
        min(size[1] - 1.0, max(top, bottom) + room),
    )
