"""Builders of small documents for the tests of the page readers."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from reportlab.pdfgen.canvas import Canvas

A4 = (595.0, 842.0)


def raw_pdf(path: Path, objects: dict[int, bytes]) -> str:
    """A PDF from numbered object bodies; object 1 is the catalog."""
    data = b"%PDF-1.7\n"
    offsets = {}
    for number, body in objects.items():
        offsets[number] = len(data)
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(data)
    last = max(objects)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (last + 1)
    for number in range(1, last + 1):
        known = number in offsets
        data += b"%010d %05d %s \n" % (offsets.get(number, 0), 0 if known else 65535, b"n" if known else b"f")
    data += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (last + 1, start)
    path.write_bytes(data)
    return str(path)


def stream(body: bytes, extra: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(body), extra, body)


def text_pdf(path: Path, pages: list[str], size: tuple[float, float] = A4, **options: object) -> str:
    """A PDF with these texts, line by line; an empty string is a blank page."""
    canvas = Canvas(str(path), pagesize=size, **options)
    for page in pages:
        for index, line in enumerate(page.splitlines()):
            canvas.drawString(72, size[1] - 72 - 14 * index, line)
        canvas.showPage()
    canvas.save()
    return str(path)


def picture(lines: list[str], size: tuple[int, int] = (700, 160), font_size: int = 30) -> Image.Image:
    """Black lines of text on white."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=font_size)
    for index, line in enumerate(lines):
        draw.text((30, 25 + index * int(1.6 * font_size)), line, fill="black", font=font)
    return image


def png_claiming(path: Path, width: int, height: int) -> str:
    """A PNG of a few bytes whose header claims so many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\x00" * 1000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return str(path)


def squeezed(text: str) -> str:
    """``text`` without white space."""
    return "".join(text.split())
