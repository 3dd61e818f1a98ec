"""Author the example PDFs: python examples/make_reports.py [--output FOLDER]

Everything on the pages is invented for this project. Equal versions of the libraries give equal bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from authoring import coffee, delivery_note, ferry, hiking, library, solar

DOCUMENTS = (coffee, delivery_note, ferry, hiking, library, solar)


def main() -> None:
    parser = argparse.ArgumentParser(description="Author the example PDFs.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "reports", help="folder to write to")
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    for document in DOCUMENTS:
        path = document.author(folder)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
