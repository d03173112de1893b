"""Work that needs no cluster: spread over the cores of this machine by dask's own schedulers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

import dask.multiprocessing
import dask.threaded
from dask.callbacks import Callback

Item = TypeVar("Item")
Result = TypeVar("Result")
#: called with how many are done, and how many there are
OnDone = Callable[[int, int], None]


def run_local(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    scheduler: Literal["threads", "processes"],
    workers: int | None = None,
    on_done: OnDone | None = None,
) -> list[Result]:
    """``[function(item) for item in items]`` on all cores, in order.

    Args:
        function: picklable for ``processes``, and small: it goes with every task.
        items: one task each.
        scheduler: ``processes`` where HDF5 is read, whose lock lets one thread of a process at a time.
        workers: default: one per core.
        on_done: called after each task.
    """
    if len(items) <= 1:  # not worth a pool
        return [function(item) for item in items]
    get = dask.threaded.get if scheduler == "threads" else dask.multiprocessing.get
    # a graph of calls without arguments: dask would walk through all fields of each to look for other tasks
    graph = {number: (partial(function, item),) for number, item in enumerate(items)}
    count = workers or len(os.sched_getaffinity(0))
    with _Counter(len(items), on_done):
        return list(get(graph, list(graph), num_workers=count))


def map_in_processes(
    workers: int | None = None, on_done: OnDone | None = None
) -> Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]:
    """Like ``map``, on processes of this machine."""

    def run(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        return run_local(function, list(items), scheduler="processes", workers=workers, on_done=on_done)

    return run


class _Counter(Callback):
    """Tells how many tasks are done."""

    def __init__(self, total: int, on_done: OnDone | None) -> None:
        super().__init__(posttask=self._one)  # type: ignore[no-untyped-call]  # dask is typed in parts
        self._done, self._total, self._tell = 0, total, on_done

    def _one(self, *_: object) -> None:
        self._done += 1
        if self._tell is not None:
            self._tell(self._done, self._total)
