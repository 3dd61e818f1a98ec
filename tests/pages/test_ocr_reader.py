"""The recognition reader: offline, quiet, right on small, long and turned pictures."""

from __future__ import annotations

import logging
import socket
import sys
import threading

import pytest
from page_files import picture, squeezed
from PIL import Image

from metaembed_rag.errors import MissingDependencyError
from metaembed_rag.pages import RapidOcrReader, read_document
from metaembed_rag.pages import ocr as ocr_module


@pytest.fixture(scope="module")
def reader():
    return RapidOcrReader(threads=1)


def test_nothing_is_downloaded_or_printed(monkeypatch, capfd):
    def refuse(*_, **__):
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    root = logging.getLogger()
    before = root.level, list(root.handlers), logging.root.manager.disable
    text, _ = RapidOcrReader(threads=1).read(picture(["Quiet and offline"]))
    assert text == "Quiet and offline"
    assert (root.level, list(root.handlers), logging.root.manager.disable) == before
    assert capfd.readouterr() == ("", "")


def test_words_stand_where_they_are_drawn(reader):
    image = picture(["alpha beta gamma", "delta epsilon"], (600, 160))
    text, words = reader.read(image)
    assert text == "alpha beta gamma\ndelta epsilon"
    assert [word.text for word in words] == ["alpha", "beta", "gamma", "delta", "epsilon"]
    assert squeezed(text) == "".join(word.text for word in words)
    for word in words:
        left, top, right, bottom = word.box
        assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
        pixels = (int(left * 600), int(top * 160), int(right * 600), int(bottom * 160))
        assert image.crop(pixels).convert("L").getextrema()[0] < 100, f"{word.text}: no ink in its box"


@pytest.mark.parametrize("size", [(1, 1), (5, 2000), (3000, 3), (200, 200)])
def test_pictures_without_text(reader, size):
    assert reader.read(Image.new("RGB", size, "white")) == ("", ())


@pytest.mark.parametrize(
    ("turn", "corner"),
    [
        (Image.Transpose.ROTATE_90, (0, 1)),
        (Image.Transpose.ROTATE_180, (1, 1)),
        (Image.Transpose.ROTATE_270, (1, 0)),
    ],
)
def test_a_turned_page(reader, turn, corner):
    lines = ["Sideways scans are read", "after turning them", "the other way round"]
    upright = picture(lines, (560, 200))
    text, words = reader.read(upright.transpose(turn))
    assert text.splitlines() == lines
    left, top, right, bottom = words[0].box
    assert abs((left + right) / 2 - corner[0]) < 0.35
    assert abs((top + bottom) / 2 - corner[1]) < 0.35


def test_a_long_picture_is_read_in_strips_without_gaps_or_doubles(reader):
    height, lines = 5200, {}
    image = Image.new("RGB", (320, height), "white")
    # One line in each strip, and lines across both shared zones.
    for number, top in enumerate((40, 2270, 2320, 2380, 2440, 4600, 4680, 5120)):
        lines[top] = f"line number {number}"
        image.paste(picture([lines[top]], (320, 60), 28).crop((0, 15, 320, 60)), (0, top))
    text, words = reader.read(image)
    assert text.split() == " ".join(lines.values()).split()
    tops = [word.box[1] * height for word in words if word.text == "line"]
    assert all(abs(found - top) < 40 for found, top in zip(tops, lines, strict=True))


def test_threads_share_a_reader(reader):
    results = []

    def work(number):
        results.append((number, reader.read(picture([f"thread {number}"], (300, 80)))[0]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [(number, f"thread {number}") for number in range(3)]


@pytest.mark.parametrize("module", ["rapidocr", "onnxruntime"])
def test_a_missing_package_is_named_with_its_install_command(tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    picture(["text"], (200, 60)).save(tmp_path / "a.png")
    with pytest.raises(MissingDependencyError, match="pip install rapidocr onnxruntime"):
        list(read_document(tmp_path / "a.png", reader=RapidOcrReader()))
    assert [page.text for page in read_document(tmp_path / "a.png", ocr="never")] == [""]


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert ocr_module._default_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "junk")
    assert 1 <= ocr_module._default_threads() <= 4
