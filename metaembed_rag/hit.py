"""What a search and an ``add`` give back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from metaembed_rag.budget import Budget
from metaembed_rag.errors import DocumentError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Hit:
    """A page that answers a query.

    Attributes:
        id: the page's id, as ``add`` or ``add_texts`` returned it.
        score: MaxSim at ``budget`` over the whole page: at most the number of query Meta Tokens used. Of a hybrid
            search: from 0 to 1, to be compared within one answer.
        source: the document, as it was given.
        page: the page's number in its document, from 1.
        text: the whole text of the page.
        metadata: what was stored with the page.
        budget: the Meta Tokens that took part.
        span: ``(start, end)`` characters of the passage of ``text`` that matched best; the whole text where the
            page fits the model's window.
        route: how the text was obtained: "layer", "ocr" or "text".
        query: what was asked, as a text for people; "" for a page that was not searched for. For display: it
            takes no part in comparisons, nor in ``to_dict``.
        seconds: what the search took, or None; likewise.
    """

    id: str
    score: float
    source: str
    page: int
    text: str
    metadata: Mapping[str, Any]
    budget: Budget
    span: tuple[int, int]
    route: str
    query: str = field(default="", compare=False, repr=False)
    seconds: float | None = field(default=None, compare=False, repr=False)

    @property
    def passage(self) -> str:
        """The part of ``text`` that matched best."""
        return self.text[self.span[0] : self.span[1]]

    def image(self, dpi: int = 144) -> Image | None:
        """The page as a picture, drawn from its source; None for plain text.

        Raises:
            DocumentNotFoundError: the source is no longer where it was.
        """
        if self.route == "text":
            return None
        from metaembed_rag.pages.documents import render_page

        return render_page(self.source, self.page, dpi)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values; the budget as ``[query, document]``."""
        fields = asdict(self)
        del fields["query"], fields["seconds"]
        fields["metadata"] = dict(self.metadata)
        fields["budget"] = [self.budget.query, self.budget.document]
        fields["span"] = list(self.span)
        return fields

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        from metaembed_rag.display.cards import hit_html

        return hit_html(self, self.query, seconds=self.seconds)


class Hits(list[Hit]):
    """The answer to one query, best page first; a list, and cards in a notebook.

    Attributes:
        query: what was asked, as a text for people.
        budget: Meta Tokens that took part.
        plan: how the search ran, in words.
        seconds: from query to answer, encoding included.
        target_ms: the latency asked for, or None.
        reachable: False where the latency target cannot be met even by the cheapest plan.
        final: False for an early answer of a stream that a better one may follow.
        hybrid: whether words took part.
    """

    def __init__(
        self,
        hits: Iterable[Hit] = (),
        *,
        query: str,
        budget: Budget,
        plan: str,
        seconds: float,
        target_ms: float | None = None,
        reachable: bool = True,
        final: bool = True,
        hybrid: bool = False,
    ) -> None:
        super().__init__(replace(hit, query=query, seconds=seconds) for hit in hits)
        self.query = query
        self.budget = budget
        self.plan = plan
        self.seconds = seconds
        self.target_ms = target_ms
        self.reachable = reachable
        self.final = final
        self.hybrid = hybrid

    def to_html(self) -> str:
        """A whole HTML document with a card a hit: no scripts, nothing loaded from elsewhere."""
        from metaembed_rag.display.report import report_html

        return report_html(self, self.query, seconds=self.seconds, plan=self.plan)

    def _repr_html_(self) -> str:
        """Cards for notebooks."""
        from metaembed_rag.display.cards import hits_html

        return hits_html(self, self.query, seconds=self.seconds, plan=self.plan)


class Added(list[str]):
    """The ids of the pages that an ``add`` was given and that are now in the index, in order.

    Attributes:
        added: pages that were embedded by this call.
        unchanged: pages that were there already with the same content.
        skipped: one typed error a document that could not be read.
    """

    def __init__(
        self,
        ids: Iterable[str] = (),
        *,
        added: int = 0,
        unchanged: int = 0,
        skipped: Iterable[DocumentError] = (),
    ) -> None:
        super().__init__(ids)
        self.added = added
        self.unchanged = unchanged
        self.skipped = list(skipped)

    def summary(self) -> str:
        """One line for people."""
        parts = [f"{self.added} pages added"]
        if self.unchanged:
            parts.append(f"{self.unchanged} unchanged")
        if self.skipped:
            parts.append(f"{len(self.skipped)} documents skipped")
        return ", ".join(parts)
