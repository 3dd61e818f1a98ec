"""Pictures as pages: recognition, frames, orientation, modes, and broken or oversized files."""

from __future__ import annotations

import pytest
from page_files import picture, png_claiming
from PIL import Image

from metaembed_rag.errors import CorruptDocumentError, DocumentTooLargeError
from metaembed_rag.pages import Limits, Word, count_pages, read_document


class Eye:
    """A reader that reports the size and the corners' colours of what it was shown."""

    def __init__(self):
        self.seen = []

    def read(self, image):
        self.seen.append(image)
        return "seen", (Word("seen", (0.0, 0.0, 1.0, 1.0)),)


def read(path, **options):
    return list(read_document(path, **options))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_picture_of_text(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    picture(["Annual report 2019"]).save(path)
    (page,) = read(path)
    assert (page.source, page.number, page.route, page.text) == (str(path), 1, "ocr", "Annual report 2019")
    assert [word.text for word in page.words] == ["Annual", "report", "2019"]
    assert page.image(72).mode == "RGB"
    (unread,) = read(path, ocr="never")
    assert (unread.text, unread.route) == ("", "layer")
    assert count_pages(path) == 1


def test_every_frame_of_a_tiff_is_a_page(tmp_path):
    frames = [Image.new("L", (60 + 10 * index, 40), 255) for index in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    eye = Eye()
    pages = read(tmp_path / "a.tif", reader=eye)
    assert [page.number for page in pages] == [1, 2, 3]
    assert [image.size[0] for image in eye.seen] == [60, 70, 80]
    assert [page.image().size[0] for page in reversed(pages)] == [80, 70, 60]
    assert count_pages(tmp_path / "a.tif") == 3
    with pytest.raises(DocumentTooLargeError, match="3 pages"):
        read(tmp_path / "a.tif", limits=Limits(max_pages=2))


def test_exif_orientation_is_honoured(tmp_path):
    image = Image.new("RGB", (80, 40), "white")
    image.paste((255, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by a quarter
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    eye = Eye()
    (page,) = read(tmp_path / "a.jpg", reader=eye)
    assert page.image().size == (40, 80)
    red, green, _ = eye.seen[0].getpixel((35, 5))
    assert red > 200 and green < 60


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 0, 0),
        ("L", 90, 90),
        ("P", 0, 0),
        ("LA", (0, 0), 255),
        ("RGBA", (0, 0, 0, 0), 255),
        ("I;16", 32768, 127),
        ("CMYK", (0, 0, 0, 255), 0),
    ],
)
def test_modes_become_rgb(tmp_path, mode, colour, expected):
    Image.new(mode, (30, 30), colour).save(tmp_path / "a.tif" if mode == "CMYK" else tmp_path / "a.png")
    (path,) = tmp_path.iterdir()
    (page,) = read(path, ocr="never")
    image = page.image()
    assert image.mode == "RGB"
    assert all(abs(value - expected) <= 1 for value in image.getpixel((15, 15)))


def test_pictures_are_shrunk_to_the_resolution_and_never_enlarged(tmp_path):
    Image.new("L", (1654, 2339), 255).save(tmp_path / "a4.png", dpi=(200, 200))
    Image.new("L", (3000, 4000), 255).save(tmp_path / "photo.jpg", dpi=(72, 72))
    Image.new("L", (300, 3000), 255).save(tmp_path / "strip.png")
    a4, photo, strip = (read(tmp_path / name, ocr="never")[0] for name in ("a4.png", "photo.jpg", "strip.png"))
    assert a4.image(100).size == (827, 1170) and a4.image(600).size == (1654, 2339)
    assert min(photo.image(100).size) == 827
    assert strip.image(100).size == (300, 3000)


def test_a_bomb_is_refused_by_its_header(tmp_path):
    for name, side in (("a.png", 60_000), ("b.png", 10_000)):
        path = png_claiming(tmp_path / name, side, side)
        with pytest.raises(DocumentTooLargeError, match=r"\.png.*pixels.*Limits"):
            read(path)
        with pytest.raises(DocumentTooLargeError):
            count_pages(path)


def test_a_large_later_frame_is_refused(tmp_path):
    small, large = Image.new("L", (50, 50)), Image.new("L", (500, 500))
    small.save(tmp_path / "a.tif", save_all=True, append_images=[large])
    pages = read_document(tmp_path / "a.tif", ocr="never", limits=Limits(max_pixels=10_000))
    assert next(pages).number == 1
    with pytest.raises(DocumentTooLargeError, match="500 x 500"):
        next(pages)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("ocr", ["auto", "never"])
def test_truncated(tmp_path, suffix, ocr):
    path = tmp_path / f"a.{suffix}"
    picture(["Annual report 2019"]).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    with pytest.raises(CorruptDocumentError, match=r"a\..*again"):
        read(path, ocr=ocr)


def test_signature_only(tmp_path):
    for name, head in (("a.png", b"\x89PNG\r\n\x1a\n"), ("a.jpg", b"\xff\xd8\xff"), ("a.tif", b"II*\x00")):
        (tmp_path / name).write_bytes(head + b"junk" * 20)
        with pytest.raises(CorruptDocumentError):
            read(tmp_path / name)
        with pytest.raises(CorruptDocumentError):
            count_pages(tmp_path / name)
