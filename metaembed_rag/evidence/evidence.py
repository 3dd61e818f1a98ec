"""Evidence: the words, lines and regions of a page with what they score, as heat, pictures and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from metaembed_rag.errors import InputError
from metaembed_rag.evidence.lines import Layout, Place

if TYPE_CHECKING:
    from PIL.Image import Image

    from metaembed_rag.hit import Hit

FloatArray: TypeAlias = npt.NDArray[np.float32]

#: Share of a line's heat that each of its words has at least; the rest goes by the word's own score.
_SHARED_HEAT = 0.4
#: Lines framed in pictures.
FRAMED = 3


@dataclass(frozen=True, slots=True)
class Part:
    """A word, line or region of a page.

    Attributes:
        text: what stands there; "" for a region of a picture.
        score: what it scores, for one query Meta Token or in sum. By "alone" the MaxSim of the part read as a page of
            its own, comparable with the hit's score; by "occlusion" what the page loses without it; by "states"
            a sum of cosines.
        heat: 0 for the page's usual, 1 for its hottest part of this kind.
        span: ``(start, end)`` characters of the page's text; ``(0, 0)`` for a region of a picture.
        box: ``(left, top, right, bottom)`` as fractions of the page; None where the file no longer tells.
    """

    text: str
    score: float
    heat: float
    span: tuple[int, int]
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a page matched: what its parts score against the query. Made by ``index.explain_match``.

    Attributes:
        query: what was asked, as a text for people.
        hit: the page.
        method: "alone", "occlusion" or "states"; see ``explain_match``.
        token_scores: float32 ``[q]``: the page's own best match for each query Meta Token; their sum is its score.
        note: what could not be shown, in a sentence; "" where all could.
        layout: the page taken apart; regions of a picture instead of words and lines for a backbone that sees.
        line_scores: float32 ``[q, lines]``.
        word_scores: float32 ``[q, words]``.
        block_scores: float32 ``[q, regions]``.
    """

    query: str
    hit: Hit
    method: str
    token_scores: FloatArray
    note: str
    layout: Layout = field(repr=False)
    line_scores: FloatArray = field(repr=False)
    word_scores: FloatArray = field(repr=False)
    block_scores: FloatArray = field(repr=False)

    @property
    def tokens(self) -> int:
        """Query Meta Tokens that took part."""
        return len(self.token_scores)

    @property
    def words(self) -> list[Part]:
        """The page's words, in reading order, in sum over the query Meta Tokens."""
        return self.parts("words")

    @property
    def lines(self) -> list[Part]:
        """The page's lines, likewise."""
        return self.parts("lines")

    @property
    def regions(self) -> list[Part]:
        """The page's blocks of lines, or parts of the picture for a backbone that sees."""
        return self.parts("regions")

    def top_lines(self, count: int = FRAMED, *, token: int | None = None) -> list[Part]:
        """The hottest lines, hottest first (regions of a picture for a backbone that sees).

        Args:
            count: at most so many.
            token: for this query Meta Token, from 0 (the coarsest); None is all of them in sum.
        """
        parts = self.parts("lines", token=token) or self.parts("regions", token=token)
        return sorted(parts, key=lambda part: -part.score)[:count]

    def parts(self, kind: str, *, token: int | None = None) -> list[Part]:
        """Parts of one kind, in reading order.

        Args:
            kind: "words", "lines" or "regions".
            token: for this query Meta Token, from 0 (the coarsest); None is all of them in sum.

        Raises:
            InputError: no such kind, or no such Meta Token.
        """
        kinds: dict[str, tuple[Sequence[Place], FloatArray]] = {
            "words": (self.layout.words, self.word_scores),
            "lines": (self.layout.lines, self.line_scores),
            "regions": (self.layout.blocks, self.block_scores),
        }
        if kind not in kinds:
            raise InputError(f"evidence has words, lines and regions, not {kind!r}")
        places, scores = kinds[kind]
        summed = self._for_token(scores, token)
        heats = self._word_heats(token) if kind == "words" else _heats(summed)
        return [
            Part(self.hit.text[place.span[0] : place.span[1]], float(score), float(heat), place.span, place.box)
            for place, score, heat in zip(places, summed, heats, strict=True)
        ]

    def image(self, token: int | None = None, *, dpi: int = 110) -> Image | None:
        """The page's picture with heat over its words and frames around its three hottest lines.

        Args:
            token: for this query Meta Token, from 0 (the coarsest); None is all of them in sum.
            dpi: dots per inch of the picture.

        Returns:
            an RGB picture; None for plain text, which has no picture.

        Raises:
            DocumentError: the source is no longer there.
        """
        page = self.hit.image(dpi)
        if page is None:
            return None
        from metaembed_rag.display.heatmap import draw_heat

        shown = self.parts("words", token=token) or self.parts("regions", token=token)
        placed = [(part.box, part.heat) for part in shown if part.box is not None]
        frames = [part.box for part in self.top_lines(token=token) if part.box is not None and part.heat > 0]
        return draw_heat(page, [box for box, _ in placed], [heat for _, heat in placed], outlines=frames)

    def to_html(self) -> str:
        """A whole HTML document: no scripts, nothing loaded from elsewhere."""
        from metaembed_rag.display.evidence import evidence_html
        from metaembed_rag.display.report import document_html

        return document_html(self.query or "Evidence", evidence_html(self, width=420))

    def _repr_html_(self) -> str:
        """The heat map and the hottest lines, for notebooks."""
        from metaembed_rag.display.evidence import evidence_html

        return evidence_html(self)

    def _for_token(self, scores: FloatArray, token: int | None) -> FloatArray:
        if token is None:
            total: FloatArray = scores.sum(axis=0)
            return total
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < self.tokens:
            raise InputError(f"token={token!r}: this evidence has query Meta Tokens 0 to {self.tokens - 1}")
        one: FloatArray = scores[token]
        return one

    def _word_heats(self, token: int | None) -> FloatArray:
        """A line's heat, given to its words by their own scores."""
        words = self._for_token(self.word_scores, token)
        if self.method == "states":
            return _heats(words)
        heats = np.zeros(len(words), dtype=np.float32)
        lines = _heats(self._for_token(self.line_scores, token))
        for line, heat in zip(self.layout.lines, lines, strict=True):
            own = words[line.words.start : line.words.stop]
            spread = float(own.max() - own.min()) if len(own) else 0.0
            share = (own - own.min()) / spread if spread > 1e-6 else np.ones_like(own)
            heats[line.words.start : line.words.stop] = heat * (_SHARED_HEAT + (1 - _SHARED_HEAT) * share)
        return heats


def _heats(scores: FloatArray) -> FloatArray:
    """0 for the median and below, 1 for the highest."""
    if not len(scores):
        return scores
    usual, highest = float(np.median(scores)), float(scores.max())
    if len(scores) < 3:
        # Nothing to compare with: the lowest of two is as cold as anything.
        usual = float(scores.min()) if len(scores) > 1 else highest - 1.0
    if highest - usual < 1e-6:
        return np.zeros_like(scores)
    heats: FloatArray = np.clip((scores - usual) / (highest - usual), 0, 1)
    return heats
