# SPDX-License-Identifier: Apache-2.0
"""One work pool: many items in one process, in several, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

from segmif_ros.reporting.errors import RunError, WorkFailedError

Item = TypeVar("Item")
Done = TypeVar("Done")

CONNECT_TIMEOUT_S = 10.0

_job: Callable[[Any], Any] | None = None  # in a worker process: what it does with each item
_cluster_jobs: dict[bytes, Callable[[Any], Any]] = {}  # in a process of a cluster, which may see several runs
_cluster_lock = threading.Lock()  # Dask may run threads; an engine takes one pair at a time


class WorkerPool(Generic[Item, Done]):
    """Applies a job to items; results come as they are ready, in the order of items with one worker.

    Args:
        make_job: Called once a worker; returns the job. Must be picklable for more than one worker.
        workers: Processes; 1 works in this one.
        scheduler: Address of a Dask scheduler ("tcp://host:8786"), whose workers are used instead; they need this
            package and the same paths. Empty for none.
    """

    def __init__(self, make_job: Callable[[], Callable[[Item], Done]], workers: int, scheduler: str = "") -> None:
        if workers < 1:
            raise RunError(f"workers is {workers}: give 1 or more")
        self._make_job = make_job
        self._workers = workers
        self._scheduler = scheduler

    def results(self, items: Sequence[Item]) -> Iterator[Done]:
        """Yield one result an item.

        Raises RunError if a worker process ended (out of memory, most likely).
        """
        if self._scheduler:
            with _cluster(self._scheduler) as (pool, width):
                yield from _bounded(pool, partial(_work_on_cluster, pickle.dumps(self._make_job)), items, 3 * width)
            return
        workers = min(self._workers, len(items))
        if workers <= 1:
            if items:
                yield from map(self._make_job(), items)
            return
        # spawned, not forked: a forked child can't use CUDA, and may inherit a lock that nobody gives back
        processes = ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start, initargs=(self._make_job,)
        )
        try:
            yield from _bounded(processes, _work, items, 3 * workers)
        except BrokenProcessPool:
            raise WorkFailedError(
                "a worker process ended unexpectedly (out of memory?): try fewer --workers; what was done is kept"
            ) from None
        finally:
            processes.shutdown(cancel_futures=True)


@contextmanager
def _cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """Yield an executor on a Dask cluster and how many items it works on at once."""
    try:
        import distributed
    except ModuleNotFoundError:
        raise RunError("--scheduler needs Dask: pip install distributed, here and there") from None
    try:
        client = distributed.Client(address, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError) as error:  # a time-out is an OSError, too
        cause = " ".join(str(error).split()) or type(error).__name__
        raise RunError(f"--scheduler {address}: can't connect: {cause}") from error
    try:
        width = sum(client.nthreads().values())
        if not width:
            raise RunError(f"--scheduler {address}: it has no workers; start some with `dask worker {address}`")
        # a job that took its worker down twice is given up, and not tried on all the others
        yield client.get_executor(pure=False, retries=1), width
    except distributed.KilledWorker as error:
        raise WorkFailedError(f"--scheduler {address}: workers ended ({error}); what was done is kept") from error
    finally:
        client.close()


def _start(make_job: Callable[[], Callable[[Any], Any]]) -> None:
    global _job  # noqa: PLW0603  # a worker process has one job, and executors offer no other place for it
    _job = make_job()


def _work(item: Any) -> Any:
    assert _job is not None
    return _job(item)


def _work_on_cluster(make_job: bytes, item: Any) -> Any:
    with _cluster_lock:
        if make_job not in _cluster_jobs:
            _cluster_jobs.clear()  # the last run's engine goes before another comes
            _cluster_jobs[make_job] = pickle.loads(make_job)()  # noqa: S301  # pickled by this run a moment ago
        return _cluster_jobs[make_job](item)


def _bounded(pool: Executor, work: Callable[[Any], Any], items: Sequence[Any], ahead: int) -> Iterator[Any]:
    """Submit a few items ahead, so that results don't pile up in memory."""
    waiting: set[Future[Any]] = set()
    queue = iter(items)
    while True:
        for item in queue:
            waiting.add(pool.submit(work, item))
            if len(waiting) >= ahead:
                break
        if not waiting:
            return
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for each in done:
            yield each.result()
