"""Results as tables for terminals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from metaembed_rag.hit import Added, Hits
from metaembed_rag.search.calibration import Calibration

if TYPE_CHECKING:
    from metaembed_rag.doctor import Finding

#: Characters of a passage shown in a table.
SNIPPET = 160


def hits_table(hits: Hits, console: Console | None = None) -> None:
    """One row a hit: score, where it stands, and the beginning of the passage that matched."""
    console = console or Console()
    if not hits:
        console.print("no pages match")
        return
    title = f"{hits.query}  ·  budget {hits.budget}  ·  {hits.seconds * 1000:.0f} ms"
    if hits.target_ms is not None:
        missed = "" if hits.reachable else ", which no plan can meet here"
        title += f" for a target of {hits.target_ms:g} ms{missed}"
    table = Table(title=Text(title), title_justify="left", show_lines=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("source", overflow="fold", ratio=2)
    table.add_column("page", justify="right", no_wrap=True)
    table.add_column("passage", ratio=5)
    for hit in hits:
        table.add_row(f"{hit.score:.3f}", Text(hit.source), str(hit.page), Text(snippet(hit.passage)))
    console.print(table)


def added_summary(result: Added, info: Mapping[str, Any], console: Console | None = None) -> None:
    """What an ``add`` did, and why documents were skipped."""
    console = console or Console()
    console.print(Text(result.summary()))
    for error in result.skipped:
        console.print(Text(f"  skipped {error}"))
    console.print(Text(f"index: {info['pages']} pages of {info['documents']} documents, {size(info['bytes'])}"))


def info_table(info: Mapping[str, Any], console: Console | None = None) -> None:
    """One row a fact, then what each budget takes: now, and at a million and a hundred million such pages."""
    console = console or Console()
    table = Table(show_header=False, box=None)
    for key, value in info.items():
        if key in ("bytes_by_group", "budgets") or value in (None, []):
            continue
        shown = size(value) if key == "bytes" else value
        table.add_row(Text(key.replace("_", " ")), Text(str(shown)))
    console.print(table)
    if "budgets" in info:
        console.print(budgets_table(info))


def budgets_table(info: Mapping[str, Any]) -> Table:
    """Raw bytes of the vectors that each budget needs, from ``MetaEmbedIndex.info``."""
    table = Table(title=Text(f"vectors at {info['precision']}"), title_justify="left")
    for name in ("up to budget", "stored now", "1M pages", "100M pages"):
        table.add_column(name, justify="right" if name != "up to budget" else "left", no_wrap=True)
    stored = info["bytes_by_group"]
    for name, cost in info["budgets"].items():
        widest = int(name.strip("()").split(",")[1])
        now = sum(count for group, count in stored.items() if group <= widest)
        shown = size(now) if widest in stored else "-"
        table.add_row(Text(name), shown, size(cost["pages_1m"]), size(cost["pages_100m"]))
    return table


def resized_summary(
    encoded: int, before: Mapping[str, Any], after: Mapping[str, Any], console: Console | None = None
) -> None:
    """What a ``resize`` did."""
    console = console or Console()
    console.print(Text(f"{after['document_tokens'][-1]} Meta Tokens a window; {encoded} windows embedded again"))
    console.print(Text(f"index: {size(before['bytes'])} before, {size(after['bytes'])} now"))


_SIGNS = {"ok": ("✓", "green"), "optional": ("–", "dim"), "warning": ("!", "yellow"), "broken": ("✗", "bold red")}


def print_finding(finding: Finding, console: Console) -> None:
    """One finding of the doctor, and below it what to do."""
    sign, style = _SIGNS[finding.status]
    line = Text.assemble((sign, style), " ", (f"{finding.name:<33}", "bold"), " ", finding.detail)
    console.print(line, soft_wrap=True)
    if finding.fix:
        console.print(Text(f"  {'':<33} {finding.fix}", style="cyan"), soft_wrap=True)


def findings_summary(findings: Sequence[Finding], console: Console) -> None:
    """How many findings need doing something about."""
    broken = sum(finding.status == "broken" for finding in findings)
    warnings = sum(finding.status == "warning" for finding in findings)
    if broken:
        console.print(Text(f"{broken} of {len(findings)} checks are broken: see ✗ above", style="bold red"))
    else:
        more = f", {warnings} to look at (!)" if warnings else ""
        console.print(Text(f"everything essential works{more}", style="bold green"))


def calibration_table(calibration: Calibration, console: Console | None = None) -> None:
    """The Pareto front: one row a plan, from query to answer."""
    console = console or Console()
    quality = f"{'nDCG' if calibration.labelled else 'overlap'}\n@{calibration.top_k}"
    title = f"{calibration.points} windows, {calibration.queries} queries, {calibration.machine}"
    table = Table(title=Text(title), title_justify="left")
    # Headings on two or three lines leave room for the plans, on a terminal of 80 columns too.
    for name in ("encode\nms", "search\nms", "total\np50\nms", "total\np95\nms", quality):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("plan", ratio=1)
    for one in calibration.front:
        figures = (one.encode.p50, one.search.p50, one.total.p50, one.total.p95)
        table.add_row(*(f"{value:.1f}" for value in figures), f"{one.quality:.3f}", Text(one.plan.describe()))
    console.print(table)
    if calibration.loss is not None:
        loss = calibration.loss
        bound = "" if loss.page_vectors is None else f", up to {loss.page_vectors} vectors a page"
        console.print(
            Text(
                f"stored as {loss.precision}{bound}: scores differ by {loss.score_error:.2%}, best quarter of "
                f"{loss.pages} pages agrees by {loss.overlap:.3f}"
            )
        )


def snippet(text: str, length: int = SNIPPET) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def size(count: int | None) -> str:
    """Bytes in the unit that reads best."""
    if count is None:
        return "unknown size"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")
