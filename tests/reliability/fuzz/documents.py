"""Readers: mutated PDFs, pictures, texts and Markdown."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

from PIL import Image, ImageDraw
from reportlab.pdfgen.canvas import Canvas

from metaembed_rag.pages import Limits, count_pages, read_document
from metaembed_rag.pages.clean import check_text

from .hostile import hostile_text, mutate
from .target import Target, UnsoundError

REPORTS = Path(__file__).parents[3] / "examples" / "reports"


class Documents(Target):
    """One file: counted, read without recognition, its first page drawn."""

    suffixes: tuple[str, ...] = ()

    def prepare(self) -> None:
        self.corpus = self.seeds()

    def seeds(self) -> list[bytes]:
        raise NotImplementedError

    def draw(self, generator: random.Random) -> bytes:
        return mutate(generator, generator.choice(self.corpus), self.corpus)

    def run(self, generator: random.Random) -> None:
        suffix = generator.choice(self.suffixes) if generator.random() < 0.9 else ".bin"
        path = self.folder / f"input{suffix}"
        path.write_bytes(self.draw(generator))
        limits = Limits()
        if generator.random() < 0.1:
            limits = Limits(max_pages=2, max_pixels=10_000, max_page_chars=100, max_text_bytes=1_000)
        read(path, limits, dpi=generator.choice((1, 72, 144)))


def read(path: Path, limits: Limits, dpi: int = 72) -> None:
    """Everything that indexing and looking at a hit do with a file."""
    pages = list(read_document(path, ocr="never", limits=limits))
    if [page.number for page in pages] != list(range(1, count_pages(path, limits=limits) + 1)):
        raise UnsoundError(f"{len(pages)} pages were read, {count_pages(path, limits=limits)} counted")
    if len(pages) > limits.max_pages:
        raise UnsoundError(f"{len(pages)} pages are over the limit")
    for page in pages:
        check_text("a page", page.text)
        for word in page.words:
            check_text("a word", word.text)
            if not all(-0.01 <= side <= 1.01 for side in word.box):
                raise UnsoundError(f"the box of {word} lies outside its page")
    image = pages[0].image(dpi)
    if image is not None and image.width * image.height > limits.max_pixels:
        raise UnsoundError(f"{image.size} pixels were drawn")


class Pdfs(Documents):
    """PDF files."""

    suffixes = (".pdf",)

    def seeds(self) -> list[bytes]:
        reports = [path.read_bytes() for path in sorted(REPORTS.glob("*.pdf"))]
        # Uncompressed ones twice: in these, mutations reach the drawing itself.
        return [*reports, *[made_pdf(compress) for compress in (0, 0, 1)]]


class Pictures(Documents):
    """PNG, JPEG, TIFF and WebP files; PNG checksums are often made right again, so that decoders see the damage."""

    suffixes = (".png", ".jpg", ".tif", ".webp")

    def seeds(self) -> list[bytes]:
        picture = Image.new("RGB", (160, 120), "white")
        ImageDraw.Draw(picture).text((10, 10), "Ferry 1913", fill="black")
        modes = {mode: picture.convert(mode) for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I", "F")}
        modes["I;16"] = modes["I"].convert("I;16")
        made = [saved(modes[mode], "PNG") for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16")]
        made += [saved(modes[mode], "JPEG", dpi=(300, 300)) for mode in ("L", "RGB", "CMYK")]
        made += [saved(picture, "JPEG", progressive=True, exif=_turned())]
        made += [
            saved(modes[mode], "WEBP", lossless=lossless) for mode in ("RGB", "RGBA") for lossless in (True, False)
        ]
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
            made.append(saved(picture, "TIFF", compression=compression, save_all=True, append_images=[picture] * 2))
        made += [saved(modes["1"], "TIFF", compression="group4"), saved(modes["F"], "TIFF"), saved(modes["I"], "TIFF")]
        return made

    def draw(self, generator: random.Random) -> bytes:
        data = super().draw(generator)
        return mend_png(data) if generator.random() < 0.7 else data


class Texts(Documents):
    """Plain text and Markdown: mutated, composed of hostile words, or long repetitions of one of them."""

    suffixes = (".txt", ".md", ".markdown", ".log", ".csv")
    _PIECES = (
        "# Heading\n", "## \n", "Title\n=====\n", "---\n", "```\n", "~~~python\n", "\n", "\f", " ", "\t", "> ",
        "| a | b |\n",
        "word ", "A sentence. ", "。", "\r", "\r\n", "\x0b", "\x1c", "\u2028", "\x85", "#", "=", "-", "`", "~", "\n \n",
    )  # fmt: skip

    def seeds(self) -> list[bytes]:
        text = "# Ferry\n\nThe first ferry leaves at six. Überfahrt: 20 €.\n\n## Winter\n\n```\n# code\n```\n" * 40
        encodings = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252")
        return [text.encode(encoding) for encoding in encodings] + [b"---\ntitle: x\n---\n" + text.encode()]

    def draw(self, generator: random.Random) -> bytes:
        kind = generator.randrange(4)
        if kind == 0:
            return super().draw(generator)
        if kind == 1:
            return hostile_text(generator).encode("utf-8", "surrogatepass")
        if kind == 2:
            # What a quadratic reader would choke on.
            unit = "".join(generator.choices(self._PIECES, k=generator.choice((1, 1, 2, 3))))
            return (unit * generator.choice((100, 10_000, 100_000))).encode()
        return "".join(generator.choices(self._PIECES, k=generator.choice((5, 200, 20_000)))).encode()


def made_pdf(compress: int) -> bytes:
    """Three pages: lines of text, a picture with drawing, and a form field with a note."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pageCompression=compress)
    for line in range(30):
        canvas.drawString(72, 770 - 20 * line, f"Line {line}: the ferry leaves at {line} o'clock.")
    canvas.showPage()
    canvas.drawInlineImage(Image.new("RGB", (40, 40), "red"), 100, 100, 200, 200)
    canvas.rotate(30)
    canvas.drawString(200, 100, "turned")
    canvas.showPage()
    canvas.acroForm.textfield(name="field", value="filled in", x=72, y=700, width=200, height=20)
    canvas.textAnnotation("a note", Rect=[72, 600, 100, 620])
    canvas.linkURL("http://localhost/", (72, 500, 100, 520))
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def mend_png(data: bytes) -> bytes:
    """``data`` with the checksum of every PNG chunk made right, as far as it is still made of chunks."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    mended, at = bytearray(data), 8
    while at + 12 <= len(mended):
        (length,) = struct.unpack_from(">I", mended, at)
        if at + 12 + length > len(mended):
            break
        struct.pack_into(">I", mended, at + 8 + length, zlib.crc32(mended[at + 4 : at + 8 + length]))
        at += 12 + length
    return bytes(mended)
