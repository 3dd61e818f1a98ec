"""Ctrl-C: a real SIGINT to a real ``metaembed index``; what was finished is kept, and a second run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

DOCUMENTS = 20
PATIENCE = 240


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process on Windows")
def test_ctrl_c_keeps_finished_documents_and_a_second_run_goes_on(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    for number in range(DOCUMENTS):
        (folder / f"{number:02}.txt").write_text(f"Document {number} is about gravel and boats. " * 20)

    def command(*arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "metaembed_rag.cli", *arguments, "--index", "x.index", "--json"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    process = command("index", "documents")
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "x.index").is_dir():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert "interrupted: finished documents are kept" in err
    assert "Traceback" not in err

    out, err = command("info").communicate(timeout=PATIENCE)
    kept = json.loads(out)["documents"]
    assert kept < DOCUMENTS, "the run was over before it was interrupted"

    out, err = command("index", "documents").communicate(timeout=PATIENCE)
    report = json.loads(out)
    assert err == ""
    assert (report["unchanged"], report["added"]) == (kept, DOCUMENTS - kept)
    assert report["info"]["documents"] == DOCUMENTS
