"""Worker processes and Ray: what is in the index afterwards is what one process would have written."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from metaembed_rag import MetaEmbedIndex
from metaembed_rag.embedding.named import NamedModel
from metaembed_rag.errors import DocumentError, InputError, MissingDependencyError
from metaembed_rag.pages import Limits, Page
from metaembed_rag.ray import index_with_ray
from metaembed_rag.workers import Encoded, Job, spread_over_processes

TEXTS = ("ferries", "coffee", "gravel", "lighthouses")


@pytest.fixture
def folder(tmp_path):
    """Four texts, one of several windows, and a file that cannot be read."""
    place = tmp_path / "documents"
    place.mkdir()
    for number, word in enumerate(TEXTS):
        (place / f"{number}.txt").write_text(f"A note about {word}, which open at nine. " * (1 + 60 * (number == 1)))
    (place / "2-broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    return place


def content(index, ids):
    return [(hit.id, hit.source, hit.page, hit.text, hit.route, hit.metadata) for hit in index.get(ids)]


def check_equal(one, other, first, second):
    """Two indexes and what adding to them said: alike in everything."""
    assert list(first) == list(second) and len(first) >= 4
    assert (first.added, first.unchanged) == (second.added, second.unchanged)
    assert [str(error) for error in first.skipped] == [str(error) for error in second.skipped]
    assert [type(error) for error in first.skipped] == [type(error) for error in second.skipped]
    assert content(one, first) == content(other, second)
    assert one.sources() == other.sources()
    vectors, others = one.vectors(first), other.vectors(second)
    for identifier in first:
        np.testing.assert_allclose(vectors[identifier], others[identifier], atol=1e-6)


@pytest.fixture
def single(folder, tmp_path):
    """The index that one process makes, and what it said."""
    with MetaEmbedIndex(tmp_path / "single.index") as index:
        yield index, index.add(folder, metadata={"team": "harbour"})


@pytest.mark.slow
def test_two_workers_write_what_one_process_writes_and_go_on_where_they_stopped(folder, tmp_path, single):
    with MetaEmbedIndex(tmp_path / "workers.index") as index:
        added = index.add(folder, metadata={"team": "harbour"}, workers=2)
        check_equal(single[0], index, single[1], added)
        assert not multiprocessing.active_children(), "workers end with the call"

        (folder / "3.txt").write_text("Lighthouses have been automatic for years.")
        page = Page("memory", 1, "A page that is no file.")
        again = index.add([folder, page], metadata={"team": "harbour"}, workers=2)
        assert (again.added, again.unchanged, list(again)[:-1]) == (2, len(added) - 1, list(added))
        assert index.get([again[-2]])[0].text == "Lighthouses have been automatic for years."


@pytest.mark.slow
def test_workers_compute_in_the_dtype_of_the_index(folder, tmp_path, single):
    with MetaEmbedIndex(tmp_path / "one.index", dtype="bfloat16") as one:
        added = one.add(folder, metadata={"team": "harbour"})
        rounded, exact = one.vectors(added)[added[0]], single[0].vectors(added)[added[0]]
        assert 1e-5 < np.abs(rounded - exact).max() < 0.1
        with MetaEmbedIndex(tmp_path / "workers.index", dtype="bfloat16") as other:
            check_equal(one, other, added, other.add(folder, metadata={"team": "harbour"}, workers=2))


@pytest.mark.slow
def test_workers_that_are_done_leave_nothing_for_the_interpreter_to_warn_of(folder, tmp_path):
    (folder / "2-broken.pdf").unlink()
    command = [sys.executable, "-m", "metaembed_rag.cli", "index", str(folder), "--index", str(tmp_path / "cli.index")]
    done = subprocess.run([*command, "--workers", "2"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_a_killed_worker_costs_no_document(folder, tmp_path, single):
    before = set(multiprocessing.active_children())
    killed = []

    def kill():
        end = time.monotonic() + 120
        while not killed and time.monotonic() < end:
            for child in set(multiprocessing.active_children()) - before:
                # Once it has begun: before, there is nothing that a worker could lose.
                time.sleep(1)
                os.kill(child.pid, signal.SIGKILL)
                killed.append(child.pid)
                break
            time.sleep(0.02)

    thread = threading.Thread(target=kill)
    thread.start()
    with MetaEmbedIndex(tmp_path / "killed.index") as index:
        added = index.add(folder, metadata={"team": "harbour"}, workers=2)
        thread.join()
        assert killed
        check_equal(single[0], index, single[1], added)


class Deadly(str):
    """A path that ends the process it is sent to."""

    __slots__ = ()

    def __reduce__(self):
        return os._exit, (9,)


@pytest.mark.slow
def test_a_document_that_kills_its_worker_again_is_reported_and_takes_no_other_along(folder):
    files = [str(folder / "0.txt"), Deadly(folder / "1.txt"), str(folder / "2.txt")]
    found = dict(spread_over_processes(files, Job(NamedModel("mini"), "auto", Limits(), {}), workers=2))
    assert list(found) == files
    assert [type(outcome) for outcome in found.values()] == [Encoded, DocumentError, Encoded]
    assert "a worker process died" in str(found[files[1]]) and "workers=1" in str(found[files[1]])
    assert not multiprocessing.active_children()


def test_workers_that_cannot_start_are_an_error_not_a_skipped_document(folder):
    with pytest.raises(InputError, match="__main__"):
        list(
            spread_over_processes(
                [str(folder / "0.txt")], Job(NamedModel(Deadly("x")), "auto", Limits(), {}), workers=2
            )
        )


def test_nothing_new_starts_no_worker(single, folder, monkeypatch):
    monkeypatch.setattr("metaembed_rag.workers.ProcessPoolExecutor", None)
    (folder / "2-broken.pdf").unlink()
    index, first = single
    again = index.add(folder, metadata={"team": "harbour"}, workers=2)
    assert (again.added, again.unchanged, list(again)) == (0, len(first), list(first))


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2", None])
def test_numbers_of_workers_that_are_none_are_refused(workers, tmp_path):
    with MetaEmbedIndex(tmp_path / "x.index") as index, pytest.raises(InputError, match="at least 1"):
        index.add("whatever.txt", workers=workers)


def test_a_loaded_model_is_refused_with_what_to_do(model, folder, tmp_path):
    with MetaEmbedIndex(tmp_path / "x.index", model=model) as index:
        with pytest.raises(InputError, match="open it with a name or folder"):
            index.add(folder, workers=2)
        assert index.sources() == []


def test_the_only_document_that_cannot_be_read_is_an_error(folder, tmp_path):
    with MetaEmbedIndex(tmp_path / "x.index") as index, pytest.raises(DocumentError, match="no such file"):
        index.add(folder / "absent.txt", workers=2)


@pytest.mark.slow
def test_ray_writes_what_one_process_writes_and_goes_on_where_it_stopped(folder, tmp_path, single, monkeypatch):
    ray = pytest.importorskip("ray", reason='Ray is not part of the development install: pip install "ray[data]"')
    pytest.importorskip("ray.data")
    monkeypatch.chdir(folder)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
    try:
        with MetaEmbedIndex(tmp_path / "ray.index") as index:
            added = index_with_ray(index, folder, metadata={"team": "harbour"})
            check_equal(single[0], index, single[1], added)
            again = index_with_ray(index, folder, metadata={"team": "harbour"})
            assert (again.added, again.unchanged, list(again)) == (0, len(added), list(added))
            assert index_with_ray(index, ["0.txt"]).added == 1, "paths are relative to where the index is"
    finally:
        ray.shutdown()


def test_ray_that_is_not_installed_is_named_with_its_command(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with (
        MetaEmbedIndex(tmp_path / "x.index") as index,
        pytest.raises(MissingDependencyError, match=r'pip install "metaembed-rag\[ray\]"'),
    ):
        index_with_ray(index, "whatever.txt")
