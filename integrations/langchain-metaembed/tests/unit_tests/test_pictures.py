"""Pictures by path, URI and from memory; what is hostile or elsewhere is refused."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from langchain_metaembed.pictures import open_picture, path_of, picture_id
from metaembed_rag.errors import DocumentError, DocumentNotFoundError, DocumentTooLargeError, InputError
from metaembed_rag.pages import Limits

LIMITS = Limits(max_bytes=20_000, max_pixels=100_000)


def png(image):
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def image():
    return Image.fromarray(np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3))


def as_path(folder, image):
    path = folder / "a page.png"
    path.write_bytes(png(image))
    return path


def as_uri(folder, image):
    return as_path(folder, image).as_uri()


def as_data(folder, image):
    return f"data:image/png;base64,{base64.b64encode(png(image)).decode()}"


@pytest.mark.parametrize("form", [as_path, as_uri, as_data, lambda folder, image: image])
def test_every_form_gives_the_same_picture(form, image, tmp_path):
    opened = open_picture(form(tmp_path, image), LIMITS)
    assert np.array_equal(np.asarray(opened), np.asarray(image))
    assert picture_id(opened) == picture_id(image)


def test_other_pixels_or_another_shape_is_another_picture(image):
    assert picture_id(image) != picture_id(image.rotate(180))
    assert picture_id(image) != picture_id(image.resize((60, 41)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("https://example.org/a.png", "not fetched"),
        ("s3://bucket/a.png", "not fetched"),
        ("file://elsewhere/a.png", "another machine"),
        ("data:image/png,rawbytes", "base64"),
        ("data:image/png;base64,@@@@", "not valid base64"),
        (3, "int"),
    ],
)
def test_what_is_no_picture_here_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        open_picture(given, LIMITS)


def test_files_are_told_from_pictures_in_memory(image, tmp_path):
    assert path_of("reports/a.png") == "reports/a.png"
    assert path_of(Path("a.png")) == "a.png"
    assert path_of("file:///scans/a%20b.png") == "/scans/a b.png"
    assert path_of(image) is None
    assert path_of(as_data(tmp_path, image)) is None


def test_broken_missing_and_enormous_pictures(image, tmp_path):
    broken = as_path(tmp_path, image)
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(DocumentError, match="decoded"):
        open_picture(broken, LIMITS)
    with pytest.raises(DocumentNotFoundError):
        open_picture("none.png", LIMITS)
    with pytest.raises(DocumentTooLargeError, match="pixels"):
        open_picture(Image.new("L", (1000, 1000)), LIMITS)
    with pytest.raises(DocumentTooLargeError, match="pixels"):
        open_picture(as_data(tmp_path, Image.new("L", (1000, 1000))), LIMITS)
    with pytest.raises(DocumentTooLargeError, match="bytes"):
        open_picture("data:image/png;base64," + "A" * 40_000, LIMITS)
