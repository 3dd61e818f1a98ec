"""Where a backbone computes."""

from __future__ import annotations

from metaembed_rag.errors import InputError


def check_device(device: str | None) -> None:
    """Raise InputError unless torch can compute on ``device``; None, which lets torch choose, is fine."""
    if device is None:
        return
    import torch

    try:
        # Read back, for there is a device on which tensors are made but hold nothing.
        torch.zeros(1, device=device).tolist()
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"nothing can be computed on device {device!r}, leave it out to let torch choose: {reason}"
        ) from error
