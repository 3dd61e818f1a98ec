"""Number formats in which a backbone computes; importing this loads no torch."""

from __future__ import annotations

from typing import Literal, cast, get_args

from metaembed_rag.errors import InputError

Dtype = Literal["float32", "bfloat16", "float16"]


def check_dtype(dtype: object) -> Dtype | None:
    """``dtype`` if it is one, or None.

    Raises:
        InputError: it is neither.
    """
    if dtype is not None and dtype not in get_args(Dtype):
        raise InputError(f"dtype must be None or one of {', '.join(get_args(Dtype))}, not {dtype!r}")
    return cast("Dtype | None", dtype)


def computes_bfloat16(device: str | None = None) -> bool:
    """Whether bfloat16 is computed rather than emulated, which takes fifty times as long as float32.

    Args:
        device: type of a torch device; None is what torch chooses.
    """
    import torch

    if device != "cpu" and (device is not None or torch.cuda.is_available()):
        return True
    return torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "AVX2")
