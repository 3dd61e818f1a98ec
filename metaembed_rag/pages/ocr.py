"""Character recognition: the protocol a reader fulfils, and the one that comes with rapidocr."""

from __future__ import annotations

import os
import threading
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

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
#: Smaller or flatter pictures are put on white paper: detection needs room around letters, and enlarges
#: until the short side is 736 pixels, which must not make the long one enormous.
_MIN_SIDE, _FLATTEST = 64, 4
#: Lines recognised with less confidence are noise from pictures.
_MIN_SCORE = 0.5
#: Mean confidence below which a page may lie upside down; print scores .9 and more, upside down .6 and less.
_POOR_SCORE = 0.75
_MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
_INSTALL = "pip install rapidocr onnxruntime"
_NARROW = frozenset("iIljft.,:;'!|()[]`1")
_WIDE = frozenset("mwMW@%")


Box: TypeAlias = tuple[float, float, float, float]


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
        best, found, turned = _confidence(lines), lines, image
        back: Callable[[Box], Box] = _as_it_is
        for turn in _turns_to_try(lines):
            candidate = image.transpose(turn.method)
            read = self._lines(candidate)
            if _confidence(read) >= best:
                best, found, turned, back = _confidence(read), read, candidate, turn.back
        text, words = _compose(found, turned)
        return text, tuple(Word(word.text, back(word.box)) for word in words)

    def _lines(self, image: Image) -> list[_Line]:
        """Recognised lines with boxes in pixels; long pictures strip by strip."""
        from PIL.Image import Resampling

        image = image.convert("RGB")
        width, height = image.size
        if width > _STRIP:
            # Wide pictures are posters, drawn for reading from afar: scaling keeps their lines whole.
            factor = _STRIP / width
            small = image.resize((_STRIP, max(1, round(height * factor))), Resampling.LANCZOS)
            return [line.scaled(1 / factor) for line in self._lines(small)]
        lines: list[_Line] = []
        step = _STRIP - _OVERLAP
        for top in range(0, max(1, height - _OVERLAP), step):
            bottom = min(height, top + _STRIP)
            strip = _on_paper(image.crop((0, top, width, bottom)))
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
            if text:
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


def _on_paper(image: Image) -> Image:
    """``image`` in the top left of a white sheet that detection can work on; itself where it is one."""
    from PIL.Image import new

    least = max(_MIN_SIDE, max(image.size) // _FLATTEST)
    size = max(image.width, least), max(image.height, least)
    if size == image.size:
        return image
    sheet = new("RGB", size, "white")
    sheet.paste(image)
    return sheet


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


def _confidence(lines: list[_Line]) -> float:
    return sum(line.score * len(line.text) for line in lines if line.score >= _MIN_SCORE)


def _turns_to_try(lines: list[_Line]) -> list[_Turn]:
    """How a page may have been laid on the scanner that reads like these lines."""
    tall = [line for line in lines if len(line.text) > 3 and line.bottom - line.top > line.right - line.left]
    if 2 * len(tall) > len(lines):
        return [_LEFT, _RIGHT]
    if lines and sum(line.score for line in lines) / len(lines) < _POOR_SCORE:
        return [_OVER]
    return []


def _compose(lines: list[_Line], image: Image) -> tuple[str, tuple[Word, ...]]:
    return compose([Piece.of(line.words()) for line in lines], image.width, image.height, drawn_in_order=False)


def _as_it_is(box: Box) -> Box:
    return box


def _back_from_left(box: Box) -> Box:
    left, top, right, bottom = box
    return 1 - bottom, left, 1 - top, right


def _back_from_right(box: Box) -> Box:
    left, top, right, bottom = box
    return top, 1 - right, bottom, 1 - left


def _back_from_over(box: Box) -> Box:
    left, top, right, bottom = box
    return 1 - right, 1 - bottom, 1 - left, 1 - top


class _Turn(NamedTuple):
    """A turn of the picture (Pillow's Transpose), and how boxes on the turned one lie on the original."""

    method: Any
    back: Callable[[Box], Box]


# Numbers of PIL.Image.Transpose: Pillow loads when first needed.
_LEFT, _OVER, _RIGHT = _Turn(2, _back_from_left), _Turn(3, _back_from_over), _Turn(4, _back_from_right)


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
    """The engine with its own models, quiet; naming the files keeps it from looking for them elsewhere."""
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
            f"this rapidocr comes without {os.path.basename(missing[0])}: pip install 'rapidocr==3.10.*' onnxruntime"
        )
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            # Lines below _MIN_SCORE tell that a page lies upside down.
            "Global.text_score": 0.0,
            "Global.max_side_len": _STRIP,
            # It turns single lines upside down, which leaves them in the wrong order: see _turns_to_try.
            "Global.use_cls": False,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            **{f"{part}.model_path": path for part, path in models.items()},
        }
    )
