"""Makes page_files importable: with pytest's importlib mode, a test's own folder is not."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
