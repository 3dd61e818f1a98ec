"""A calibration as a picture: quality against latency."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from metaembed_rag.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from metaembed_rag.search.calibration import Calibration


PICTURES = (".png", ".svg", ".pdf")


def check_picture(path: Path) -> None:
    """See that a picture can be written to ``path``, by its suffix and folder.

    Raises:
        InputError: it cannot.
    """
    if path.suffix.lower() not in PICTURES:
        raise InputError(f"a calibration is drawn as {', '.join(PICTURES)}, not {path.name!r}; name another file")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InputError(f"{path} cannot be written: it is a folder, or lies in none; name another file")


def plot_calibration(calibration: Calibration) -> Figure:
    """Every plan as a dot, the Pareto front as a line from p50 to p95, its budgets as labels.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError('drawing needs matplotlib: pip install "metaembed-rag[notebooks]"') from error
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    front = calibration.front
    others = [one for one in calibration.measured if one not in front]
    axes.scatter(
        [one.total.p50 for one in others], [one.quality for one in others], s=14, color="0.75", label="other plans"
    )
    middle = [one.total.p50 for one in front]
    quality = [one.quality for one in front]
    axes.hlines(quality, middle, [one.total.p95 for one in front], color="tab:blue", alpha=0.35, label="p50 to p95")
    axes.plot(middle, quality, "o-", color="tab:blue", label="Pareto front")
    first_of_budget = {one.plan.budget: one for one in reversed(front)}
    for budget, one in first_of_budget.items():
        axes.annotate(str(budget), (one.total.p50, one.quality), xytext=(-6, 2), textcoords="offset points", ha="right")
    k = calibration.top_k
    axes.set_xlabel("milliseconds from query to answer, encoding included")
    axes.set_ylabel(f"nDCG@{k}" if calibration.labelled else f"overlap@{k} with the full budget")
    axes.set_title(f"{calibration.points:,} windows, {calibration.queries} queries, {calibration.machine}", fontsize=9)
    axes.margins(x=0.12, y=0.15)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return figure
