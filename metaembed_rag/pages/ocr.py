"""Character recognition: the protocol a reader fulfils, and the one that comes with rapidocr."""

from __future__ import annotations

import os
import threading
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from metaembed_rag.errors import MissingDependencyError
from metaembed_rag.pages.clean import clean
from metaembed_rag.pages.layout import Piece, compose
from metaembed_rag.pages.page import Word

if TYPE_CHECKING:
    from PIL.Image import Image

#: Resolution at which pages are drawn for recognition: print of 8 points is then about 16 pixels high.
OCR_DPI = 150
#: Longest side that detection sees at once, in pixels: A3 at 150 dpi. Longer pictures are read in strips.
_STRIP = 2500
#: Rows two strips share: above the height of any line that detection would not rather call a picture.
_OVERLAP = 200
#: Detection needs some room around letters; smaller pictures get a white border.
_MIN_SIDE = 64
#: Lines recognised with less confidence are noise from pictures.
_MIN_SCORE = 0.5
_MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
_INSTALL = "pip install rapidocr onnxruntime"
_NARROW = frozenset("iIljft.,:;'!|()[]`1")
_WIDE = frozenset("mwMW@%")


class OcrReader(Protocol):
    """Reads the text in a picture."""

    def read(self, image: Image) -> tuple[str, tuple[Word, ...]]:
        """The text of an RGB picture in reading order; its words with boxes as fractions of the picture."""


class RapidOcrReader:
    """PP-OCR through rapidocr, with the models that come in its package: nothing is downloaded.

    The engine loads at the first ``read`` and is safe to share between threads, one picture at a time.

    Args:
        threads: processor threads; by default OMP_NUM_THREADS, or up to 4 of those this process may use.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads or _default_threads()
        self._engine: Any = None
        self._lock = threading.Lock()

    def read(self, image: Image) -> tuple[str, tuple[Word, ...]]:
        """The text of ``image`` in reading order, and its words with boxes as fractions of it.

        Raises:
            MissingDependencyError: rapidocr or onnxruntime is not installed, or without its models.
        """
        lines = self._lines(image)
        if sum(_is_upright(line) for line in lines) < len(lines) / 2:
            return self._read_sideways(image, lines)
        return _compose(lines, image)

    def _read_sideways(self, image: Image, lines: list[_Line]) -> tuple[str, tuple[Word, ...]]:
        """A page scanned on its side, if it reads better when turned; else (signs set downwards) as it is."""
        from PIL.Image import Transpose

        turns = ((Transpose.ROTATE_90, _unturn_left), (Transpose.ROTATE_270, _unturn_right))
        best, found, turned_back = _confidence(lines), None, None
        for turn, back in turns:
            turned = image.transpose(turn)
            tried = self._lines(turned)
            if _confidence(tried) > best:
                best, found, turned_back = _confidence(tried), (tried, turned), back
        if found is None or turned_back is None:
            return _compose(lines, image)
        text, words = _compose(*found)
        return text, tuple(Word(word.text, turned_back(word.box)) for word in words)

    def _lines(self, image: Image) -> list[_Line]:
        """Recognised lines with boxes in pixels; long pictures strip by strip."""
        from PIL import Image as pillow

        image = image.convert("RGB")
        width, height = image.size
        if width > _STRIP:
            # Wide pictures are posters, drawn for reading from afar: scaling keeps their lines whole.
            factor = _STRIP / width
            small = image.resize((_STRIP, max(1, round(height * factor))), pillow.Resampling.LANCZOS)
            return [line.scaled(1 / factor) for line in self._lines(small)]
        lines: list[_Line] = []
        step = _STRIP - _OVERLAP
        for top in range(0, max(1, height - _OVERLAP), step):
            bottom = min(height, top + _STRIP)
            strip = image.crop((0, top, max(width, _MIN_SIDE), max(bottom, top + _MIN_SIDE)))
            if width < _MIN_SIDE or bottom - top < _MIN_SIDE:
                strip = pillow.new("RGB", strip.size, "white")
                strip.paste(image.crop((0, top, width, bottom)))
            # Each strip answers for the lines whose middle lies clear of its shared rows' far half.
            first = top + _OVERLAP / 2 if top else 0
            last = bottom - _OVERLAP / 2 if bottom < height else height + _MIN_SIDE
            found = (line.moved(top) for line in self._recognise(strip))
            lines.extend(line for line in found if first <= (line.top + line.bottom) / 2 < last)
        return lines

    def _recognise(self, image: Image) -> list[_Line]:
        import numpy as np

        with self._lock:
            if self._engine is None:
                self._engine = _load_engine(self._threads)
            # rapidocr takes arrays in OpenCV's order of channels.
            result = self._engine(np.ascontiguousarray(np.asarray(image)[:, :, ::-1]))
        if result.boxes is None or result.txts is None:
            return []
        lines = []
        for corners, text, score in zip(result.boxes, result.txts, result.scores, strict=True):
            text = " ".join(clean(text).split())
            if text and score >= _MIN_SCORE:
                xs, ys = corners[:, 0], corners[:, 1]
                box = (float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max()))
                lines.append(_Line(text, float(score), *box))
        return lines


class _Line:
    """A recognised line: its text, confidence and box in pixels."""

    __slots__ = ("bottom", "left", "right", "score", "text", "top")

    def __init__(self, text: str, score: float, left: float, top: float, right: float, bottom: float) -> None:
        self.text, self.score = text, score
        self.left, self.top, self.right, self.bottom = left, top, right, bottom

    def moved(self, down: float) -> _Line:
        return _Line(self.text, self.score, self.left, self.top + down, self.right, self.bottom + down)

    def scaled(self, factor: float) -> _Line:
        box = (value * factor for value in (self.left, self.top, self.right, self.bottom))
        return _Line(self.text, self.score, *box)

    def words(self) -> list[Word]:
        """Its words, the line's width shared out by the width of their letters."""
        texts = self.text.split(" ")
        widths = [_width(text) for text in texts]
        unit = (self.right - self.left) / (sum(widths) + 0.5 * (len(texts) - 1))
        words, at = [], self.left
        for text, width in zip(texts, widths, strict=True):
            words.append(Word(text, (at, self.top, at + width * unit, self.bottom)))
            at += (width + 0.5) * unit
        return words


def _width(text: str) -> float:
    """About how wide ``text`` is set, in widths of an "n"."""
    total = 0.0
    for sign in text:
        if unicodedata.east_asian_width(sign) in "WF":
            total += 2.0
        elif sign in _NARROW:
            total += 0.55
        elif sign in _WIDE:
            total += 1.5
        else:
            total += 1.25 if sign.isupper() else 1.0
    return total


def _is_upright(line: _Line) -> bool:
    return len(line.text) < 4 or line.right - line.left >= line.bottom - line.top


def _confidence(lines: list[_Line]) -> float:
    return sum(line.score * len(line.text) for line in lines)


def _compose(lines: list[_Line], image: Image) -> tuple[str, tuple[Word, ...]]:
    return compose(
        [Piece.of(line.words()) for line in lines], image.width, image.height, drawn_in_order=False
    )


def _unturn_left(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """A box on a picture turned left by a quarter, on the picture as it was."""
    left, top, right, bottom = box
    return 1 - bottom, left, 1 - top, right


def _unturn_right(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return top, 1 - right, bottom, 1 - left


@cache
def shared_reader() -> OcrReader:
    """The reader that all documents of this process share."""
    return RapidOcrReader()


def _default_threads() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, usable)


def _load_engine(threads: int) -> Any:
    """rapidocr with its own models, quiet; naming the files keeps it from looking for them elsewhere."""
    try:
        import onnxruntime  # noqa: F401
        import rapidocr
    except ImportError as error:
        raise MissingDependencyError(
            f"reading pictures of text needs rapidocr and onnxruntime ({error}): {_INSTALL}; "
            "or pass ocr='never' to read text layers only"
        ) from error
    folder = os.path.join(os.path.dirname(rapidocr.__file__), "models")
    models = {part: os.path.join(folder, name) for part, name in _MODELS.items()}
    missing = [name for name in models.values() if not os.path.isfile(name)]
    if missing:
        raise MissingDependencyError(
            f"this rapidocr comes without {os.path.basename(missing[0])}: "
            "pip install 'rapidocr==3.10.*' onnxruntime"
        )
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.max_side_len": _STRIP,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            **{f"{part}.model_path": path for part, path in models.items()},
        }
    )
