"""Every drill in a small form; ``python -m tests.reliability`` runs them in full.

``METAEMBED_KILLS=100 pytest tests/reliability -k kills`` kills more often.
"""

from __future__ import annotations

import os

import pytest

from .drills import DRILLS


@pytest.mark.slow
@pytest.mark.parametrize("name", DRILLS)
def test_nothing_is_found(name, tmp_path):
    drill = DRILLS[name]
    size = int(os.environ.get("METAEMBED_KILLS", drill.small)) if name.startswith("kills") else drill.small
    found = drill.run(size, tmp_path)
    assert not found.findings
