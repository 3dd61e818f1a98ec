"""Memory of this process as Linux accounts it."""

from __future__ import annotations

import contextlib
from pathlib import Path


def resident_bytes() -> int:
    """What the process holds in memory now."""
    return _status("VmRSS")


def peak_bytes() -> int:
    """The most it has held since ``reset_peak``, or since its start where that is not allowed."""
    return _status("VmHWM")


def reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")
