"""Batches from several sources: weighted, without duplicates, the same from the same seed, resumable anywhere."""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt
from sentence_transformers.base.sampler import SetEpochMixin
from torch.utils.data import BatchSampler

from metaembed_rag.errors import InputError
from metaembed_rag.training.data import Triplet, identity, samples


class SourceBatchSampler(SetEpochMixin, BatchSampler):
    """Indices into the sources laid end to end, for all processes and the whole run.

    A step is drawn for all processes together: no sample of it shares a query, positive or negative with another,
    so that gathered in-batch negatives are never a positive in disguise. It comes from one source, or, with
    ``sub_batch``, from one source every so many pairs. A source is shuffled anew each time it is used up.

    One epoch is the whole run, so wherever a run is killed, skipping the batches it has seen resumes it exactly.
    Process r of W takes batches r, r + W, ..., as accelerate hands them out.

    Args:
        sources: pairs by source name.
        weights: how often each is drawn, relative to the others.
        batch_size: pairs a process sees at once.
        processes: how many there are.
        batches: how many each of them needs: steps times accumulation.
        sub_batch: pairs from one source in a row; None is a whole step.
        seed: of everything drawn.
        per_document: by source, see ``Source.per_document``.
        chain: see ``Recipe``; None tells samples apart by their hard negatives too, which they bring.

    Raises:
        InputError: ``sub_batch`` does not divide a step, a source has too few distinct pairs for one, or
            ``per_document`` is asked of a source without documents.
    """

    def __init__(
        self,
        sources: Mapping[str, Sequence[Triplet]],
        weights: Mapping[str, float],
        *,
        batch_size: int,
        processes: int,
        batches: int,
        sub_batch: int | None,
        seed: int,
        per_document: Mapping[str, int] | None = None,
        chain: int | None = None,
    ) -> None:
        super().__init__(range(0), batch_size=batch_size, drop_last=False)
        per_document = per_document or {}
        step = batch_size * processes
        if sub_batch is not None and step % sub_batch:
            raise InputError(f"sub_batch {sub_batch} must divide batch_size x processes = {step}")
        self.names = list(sources)
        self.keys = [[_keys(row, negative=chain is None) for row in rows] for rows in sources.values()]
        self.runs = [
            _chains(rows, keys, chain)
            if chain is not None and name not in per_document
            else _runs(rows, keys, per_document.get(name, 1))
            for (name, rows), keys in zip(sources.items(), self.keys, strict=True)
        ]
        for name in per_document:
            if not any("document" in row for row in sources[name]):
                raise InputError(
                    f"source {name!r} has per_document, and no pair says which document it is of: "
                    'add "document" and "pages" to its lines, or leave per_document out'
                )
        self.starts = [0, *accumulate(len(rows) for rows in self.keys)]
        shares = np.asarray([weights[name] for name in self.names], dtype=np.float64)
        self.shares = shares / shares.sum()
        self.processes = processes
        self.batches = batches
        self.sub_batch = sub_batch or step
        self.seed = seed
        # A source too small for a step is told now, not after the backbone was loaded.
        for number, name in enumerate(self.names):
            _Cursor(name, self.keys[number], self.runs[number], [seed]).draw(min(self.sub_batch, step), set())

    def __len__(self) -> int:
        return self.batches * self.processes

    def __iter__(self) -> Iterator[list[int]]:
        draw = np.random.default_rng([self.seed, self.epoch])
        cursors = [
            _Cursor(name, keys, runs, [self.seed, self.epoch, number])
            for number, (name, keys, runs) in enumerate(zip(self.names, self.keys, self.runs, strict=True))
        ]
        size = self.batch_size * self.processes
        for _ in range(self.batches):
            taken: set[int] = set()
            step: list[int] = []
            while len(step) < size:
                source = int(draw.choice(len(cursors), p=self.shares))
                step += [self.starts[source] + index for index in cursors[source].draw(self.sub_batch, taken)]
            for start in range(0, size, self.batch_size):
                yield step[start : start + self.batch_size]


class _Cursor:
    """One source's endless shuffled order; pairs that clash with a step wait for the next one.

    Args:
        name: for error messages.
        keys: what each pair may not share with another of its step.
        runs: pairs that stay together when shuffled.
        seed: of the order.
    """

    def __init__(self, name: str, keys: Sequence[frozenset[int]], runs: Sequence[list[int]], seed: list[int]) -> None:
        self.name = name
        self.keys = keys
        self.runs = runs
        self.random = np.random.default_rng(seed)
        self.queue: deque[int] = deque()

    def draw(self, count: int, taken: set[int]) -> list[int]:
        """The next ``count`` pairs that share nothing with ``taken``, which grows by theirs."""
        batch: list[int] = []
        waiting: list[int] = []
        while len(batch) < count:
            if not self.queue:
                if len(waiting) > 2 * len(self.keys):
                    raise InputError(
                        f"source {self.name!r} has too few distinct pairs for a step of this size: lower "
                        "batch_size or sub_batch, or add pairs (queries, positives and negatives must differ)"
                    )
                self.queue.extend(self._shuffled())
            index = self.queue.popleft()
            if taken.isdisjoint(self.keys[index]):
                taken |= self.keys[index]
                batch.append(index)
            else:
                waiting.append(index)
        # Each once: a pair may have come round again while waiting.
        self.queue.extendleft(reversed(list(dict.fromkeys(waiting))))
        return batch

    def _shuffled(self) -> list[int]:
        order: npt.NDArray[np.int64] = self.random.permutation(len(self.runs))
        return [index for place in order for index in self.runs[int(place)]]


def _runs(rows: Sequence[Triplet], keys: Sequence[frozenset[int]], size: int) -> list[list[int]]:
    """Every row once, in runs of up to ``size`` of one document whose keys differ; 1 leaves each by itself."""
    runs: list[list[int]] = []
    unfilled: defaultdict[str, list[list[int]]] = defaultdict(list)
    for index, row in enumerate(rows):
        own = unfilled[row["document"]] if "document" in row else []
        run = next((run for run in own if all(keys[index].isdisjoint(keys[other]) for other in run)), None)
        if run is None:
            run = []
            runs.append(run)
            own.append(run)
        run.append(index)
        if len(run) >= size:
            own.remove(run)
    return runs


def _chains(rows: Sequence[Triplet], keys: Sequence[frozenset[int]], size: int) -> list[list[int]]:
    """Every row once, in runs of up to ``size`` in which the positive of one is the hard negative of another.

    A run grows from its first row along hard negatives, in either direction, to the nearest rows that are left.
    """
    answered: defaultdict[tuple[str, str], deque[int]] = defaultdict(deque)
    alike: defaultdict[tuple[str, str], dict[tuple[str, str], None]] = defaultdict(dict)  # sets that keep their order
    for index, row in enumerate(rows):
        positive, negative = identity(row["positive"]), identity(row["negative"])
        answered[positive].append(index)
        alike[positive][negative] = None
        alike[negative][positive] = None
    runs: list[list[int]] = []
    left = set(range(len(rows)))
    for first in range(len(rows)):
        if first not in left:
            continue
        run: list[int] = []
        taken: set[int] = set()
        reached = [identity(rows[first]["positive"])]
        for positive in reached:  # grows as it is read
            places = [first] if not run else answered.get(positive, ())
            fitting = next((place for place in places if place in left and taken.isdisjoint(keys[place])), None)
            if fitting is not None:
                run.append(fitting)
                left.remove(fitting)
                taken |= keys[fitting]
                reached += [other for other in alike[positive] if other not in reached]
            if len(run) == size:
                break
        runs.append(run)
    return runs


def _keys(row: Triplet, *, negative: bool) -> frozenset[int]:
    """What a row's samples are told apart by: what they show, and the pages they stand on."""
    shown = samples(row) if negative else samples(row)[:2]
    texts = ["\0".join(identity(sample)).encode() for sample in shown if sample]
    texts += [f"{row['document']}\0{page}\0page".encode() for page in row.get("pages", ())]
    return frozenset(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") for text in texts)
