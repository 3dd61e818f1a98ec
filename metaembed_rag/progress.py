"""Progress of long steps: a silent one, and a rich bar for terminals."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from metaembed_rag.pages import Route


class Progress(AbstractContextManager["Progress"], Protocol):
    """What an ``add`` reports while it works."""

    def begin(self, documents: int) -> None:
        """So many documents are to be looked at."""

    def document(self, source: str, pages: int | None) -> None:
        """Work on a document begins; ``pages`` is None where only reading it will tell."""

    def read(self, route: Route) -> None:
        """A page of the current document was read."""

    def encoded(self, pages: int) -> None:
        """So many of its pages were embedded."""

    def finish(self) -> None:
        """The current document is done, whatever became of it."""


class SilentProgress:
    """Reports nothing."""

    def __enter__(self) -> SilentProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def begin(self, documents: int) -> None: ...

    def document(self, source: str, pages: int | None) -> None: ...

    def read(self, route: Route) -> None: ...

    def encoded(self, pages: int) -> None: ...

    def finish(self) -> None: ...


class RichProgress:
    """Two bars on standard error: documents with an estimate of the time left, and pages of the current one."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description}", table_column=None),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=False,
        )
        self._documents = self._bars.add_task("documents", total=None)
        self._pages = self._bars.add_task("pages", total=None, visible=False)
        self._ocr = 0

    def __enter__(self) -> RichProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.update(self._pages, visible=False)
        self._bars.stop()

    def begin(self, documents: int) -> None:
        self._bars.update(self._documents, total=documents)

    def document(self, source: str, pages: int | None) -> None:
        name = source if len(source) <= 40 else f"…{source[-39:]}"
        self._ocr = 0
        # A page is read, then embedded: two steps.
        self._bars.reset(self._pages, total=None if pages is None else 2 * pages, visible=True, description=name)

    def read(self, route: Route) -> None:
        if route == "ocr":
            self._ocr += 1
        suffix = f" · OCR {self._ocr}" if self._ocr else ""
        self._bars.update(self._pages, advance=1)
        self._bars.update(self._documents, description=f"documents{suffix}")

    def encoded(self, pages: int) -> None:
        self._bars.update(self._pages, advance=pages)

    def finish(self) -> None:
        self._bars.update(self._documents, advance=1)


def has_terminal() -> bool:
    """Whether somebody may be looking at standard error, which a service may not even have."""
    return sys.stderr is not None and sys.stderr.isatty()


def make_progress(show: bool | None) -> Progress:
    """A bar if asked for (or, with None, if standard error is a terminal), else silence."""
    return RichProgress() if (has_terminal() if show is None else show) else SilentProgress()


@contextmanager
def step_progress(title: str, show: bool | None) -> Iterator[Callable[[int, int], None]]:
    """A function to be told steps done and their number; a bar with an estimate, shown as by ``make_progress``."""
    if not (has_terminal() if show is None else show):
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(*Bars.get_default_columns(), console=Console(stderr=True)) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
