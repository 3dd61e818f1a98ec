"""What a latency was measured on: enough to know that figures come from elsewhere, nothing that names the machine."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path


@functools.cache
def describe_machine() -> str:
    """Processor and cores, as "AMD EPYC, 2 cores"."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{_processor()}, {cores} core{'s' if cores != 1 else ''}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine() or "unknown processor"
