"""Runs tasks on a Dask cluster, a bounded number at a time, and ends well when it is stopped."""

from __future__ import annotations

import heapq
import queue
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from dask.base import annotate, get_annotations
from distributed import Client, Future, span, wait
from distributed.client import ClosedClientError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from oceanrecon.errors import ClusterError, OutputError
from oceanrecon.pipeline.stalled import StalledTaskError, StalledWorkers
from oceanrecon.stores.files import Root, writing_while
from oceanrecon.stores.lease import Hold

#: Tasks in flight per worker thread: one running, one waiting.
_DEPTH = 2
#: How long an interrupted run waits for its tasks in flight, seconds.
_PATIENCE = 10.0
#: Seconds between two looks at the cluster, and between two at whoever may want the run to stop.
_LOOK, _TICK = 5.0, 1.0


@dataclass(frozen=True)
class Progress:
    """One step of a run, for whoever shows it."""

    done: int
    total: int
    #: what was there already
    kept: int
    failed: int
    message: str


@dataclass(frozen=True)
class Task:
    """One call on a worker; ``group`` and ``label`` name it in the dashboard: ``thetao-1f3a9c04-20120307``."""

    group: str
    label: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    #: what dask's pages and plugins can read of it
    annotations: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MayPass:
    """What a task returns of an error that can heal by itself: the task is tried again before ``value`` counts."""

    value: Any


@dataclass(frozen=True)
class Outcome:
    """What became of a task: what it returned, or what dask raised (a worker died of it again and again)."""

    task: Task
    value: Any
    error: BaseException | None
    #: that workers were busy with it, all tries together; of a try whose worker died nothing is known
    seconds: float = 0.0


class DeadlyTaskError(Exception):
    """A task that is not tried any more: it takes workers with it, also the one that drives the run."""


@dataclass(frozen=True)
class Retries:
    """How often and when a task is tried again."""

    #: all tries of a task whose error may pass, and of one whose worker stands still
    attempts: int = 3
    #: seconds before the second try; each next waits four times as long
    pause: float = 5.0
    #: a worker that ends no task for so long is restarted, seconds
    patience: float = 1800.0


def memory_of(client: Client) -> int:
    """Memory of a task, bytes: the smallest limit of a worker, shared by its threads."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    limits = [int(worker["memory_limit"] / worker["nthreads"]) for worker in workers if worker["memory_limit"]]
    return min(limits, default=2**63)


def more_memory(client: Client | None) -> str:
    """How a task gets more memory: on a cluster of the run's own (also ``None``), or on one that runs already."""
    if client is None or client.cluster is not None:
        return "set cluster.memory_limit higher or cluster.workers lower"
    return "give its workers more, by workers.memory in the settings of the cluster, or run it on another cluster"


def _timed(hold: Hold | None, function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What a task returns that writes only while its run has the output, and how long it took, seconds."""
    started = time.perf_counter()
    with nullcontext() if hold is None else writing_while(hold.check):
        return function(*arguments), time.perf_counter() - started


def is_ending(client: Client) -> bool:
    """Whether a client has lost its scheduler, or ends with the worker that it is of: what it returns is no answer."""
    loop = client.loop
    return client.status != "running" or client.scheduler is None or loop is None or not loop.asyncio_loop.is_running()  # type: ignore[attr-defined]


class TaskRun:
    """Tasks of one run, as a context: whatever ends it, tasks in flight are waited for and no staged file is left.

    A task whose error may pass (``MayPass``) is tried again after a pause. A task that dask gave up because workers
    died under it is suspected only, since its neighbours on those workers are blamed too: it is tried once more when
    nothing else of this run is in flight, and reported if it kills again.

    Raises:
        ClusterError: the cluster went away.
    """

    def __init__(
        self,
        client: Client,
        root: Root,
        *,
        run: str | None = None,
        start: int = 1,
        title: str = "",
        check: Callable[[], None] | None = None,
        on_note: Callable[[str], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
        retries: Retries | None = None,
        admits: Callable[[Task], bool] | None = None,
        one_by_one: Callable[[], bool] | None = None,
        avoid: str | None = None,
        owns: Callable[[], bool] | None = None,
        hold: Hold | None = None,
    ) -> None:
        """On the workers of ``client``, which write below ``root``.

        Args:
            client: of the cluster.
            root: where the tasks write.
            run: names the run in the keys of its tasks; default: a random name.
            start: which attempt at this run it is: a scheduler may still have results of the one before.
            title: names the run in dask's spans.
            check: called about once a second; what it raises ends the run, and waiting tasks are cancelled.
            on_note: called with a sentence about each retry and each suspect.
            on_lost: called with the address of each worker that is gone.
            retries: how often and when a task is tried again.
            admits: asked before each task; one that is not admitted ends as if its workers had died.
            one_by_one: whether no more than one task may be in flight, for now.
            avoid: address of the worker that drives the run: a task that is tried again goes elsewhere if it can.
            owns: whether nobody else may be writing to ``root`` by now: only then what is staged there is removed.
            hold: the lease under which tasks write; one that outlives its run finds that it is gone. ``None``: nobody
                else can write there.
        """
        self._client, self._root = client, root
        # a client may still hold the results of an earlier run, under its keys
        self._run, self._start = run or uuid.uuid4().hex[:8], start
        self._title = title
        self._check = check
        self._note = on_note or (lambda _: None)
        self._lost = on_lost or (lambda _: None)
        self._workers: set[str] = set()
        self._retries = retries or Retries()
        self._admits = admits or (lambda _: True)
        self._one_by_one = one_by_one or (lambda: False)
        self._owns = owns or (lambda: True)
        self._hold = hold
        self._avoid = avoid
        self._in_flight: dict[str, tuple[Task, Future[Any]]] = {}
        self._ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._attempts: dict[tuple[str, str], int] = {}
        self._suspected: set[tuple[str, str]] = set()
        self._seconds: dict[tuple[str, str], float] = {}
        self._spans: dict[str, Any] = {}
        self._bound, self._looked = 0, float("-inf")
        self._stalled = StalledWorkers(client, self._retries.patience)
        #: how often a task was tried again
        self.retried = 0

    def __enter__(self) -> TaskRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if isinstance(error, CancelledError | ClosedClientError | CommClosedError):
                reason = str(error).partition("\n")[0] or type(error).__name__
                raise ClusterError(
                    f"the connection to the Dask cluster was lost ({reason}): see that its scheduler runs, then run "
                    "the same command again with --resume, or `oceanrecon resume` its job"
                ) from error
            if error is not None:
                self._let_go()
        finally:
            if self._owns():
                self._root.clear_staging()

    def _let_go(self) -> None:
        """Cancel what waits, and give what runs a moment, so that no worker has to be killed in the middle of it."""
        futures = [future for _, future in self._in_flight.values()]
        # AttributeError: of a client that has lost its scheduler
        with suppress(TimeoutError, OSError, CancelledError, ClosedClientError, AttributeError):
            running = {key for keys in self._client.processing().values() for key in keys}
            self._client.cancel([future for future in futures if future.key not in running])
            wait([future for future in futures if future.key in running], timeout=_PATIENCE)

    def outcomes(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Submit tasks, a bounded number at a time, and yield what becomes of each, as they end.

        Raises:
            OutputError: a task returned it: nothing can be written any more. Raised after the others in flight have
                ended, so that nothing half-done is left behind.
        """
        waiting = iter(tasks)
        later: list[tuple[float, int, Task]] = []
        suspects: list[Task] = []
        stopped: OutputError | None = None
        exhausted = False
        while True:
            self._look()
            while stopped is None and len(self._in_flight) < self._bound:
                if later and later[0][0] <= time.monotonic():
                    self._submit(heapq.heappop(later)[2])
                elif (task := next(waiting, None)) is not None:
                    if self._admits(task):
                        self._submit(task)
                    else:
                        yield Outcome(task, None, DeadlyTaskError("whoever drove the run died each time it was made"))
                else:
                    exhausted = True
                    break
            if not self._in_flight and (stopped is not None or exhausted):
                if stopped is not None:
                    raise stopped
                if not later and not suspects:
                    return
                if not later:
                    self._submit(suspects.pop(0))
            future = self._next()
            if future is None:
                continue
            task, _ = self._in_flight.pop(str(future.key))
            outcome = self._judge(task, future, later, suspects, stop=stopped is not None)
            if outcome is None:
                continue
            if isinstance(outcome.value, OutputError):
                stopped = stopped or outcome.value
                continue
            yield outcome

    def _judge(
        self,
        task: Task,
        future: Future[Any],
        later: list[tuple[float, int, Task]],
        suspects: list[Task],
        *,
        stop: bool,
    ) -> Outcome | None:
        """What a task's end means; ``None`` where it is tried again."""
        name = f"{task.group} {task.label}"
        self._check_client()
        error = self._stalled.gave_up(str(future.key)) or future.exception()
        value, seconds = (None, 0.0) if error is not None else future.result()
        self._check_client()
        if isinstance(error, StalledTaskError):
            seconds = self._retries.patience
        seconds += self._seconds.get((task.group, task.label), 0.0)
        self._seconds[task.group, task.label] = seconds
        if not isinstance(error, KilledWorker | StalledTaskError) and not isinstance(value, MayPass):
            return Outcome(task, value, error, seconds)
        tries = self._attempts[task.group, task.label]
        if isinstance(error, KilledWorker):
            if (task.group, task.label) not in self._suspected and not stop:
                self._suspected.add((task.group, task.label))
                self._note(f"{name}: its workers died again and again; it is tried once more, alone, at the end")
                self.retried += 1
                suspects.append(task)
                return None
            return Outcome(task, None, error, seconds)
        inner = value.value if isinstance(value, MayPass) else error
        if tries >= self._retries.attempts or stop:
            return Outcome(task, value.value if isinstance(value, MayPass) else None, error, seconds)
        pause = self._retries.pause * 4 ** (tries - 1)
        said = getattr(inner, "message", None) or str(inner)
        self._note(f"{name}: {said}; it is tried again in {pause:g} s")
        self.retried += 1
        heapq.heappush(later, (time.monotonic() + pause, len(self._attempts) + self.retried, task))
        return None

    def _submit(self, task: Task) -> None:
        tries = self._attempts[task.group, task.label] = self._attempts.get((task.group, task.label), 0) + 1
        # a second try, or start, under the key of the first could be handed the first one's result
        again = f"-{self._start}-{tries}" if (self._start, tries) != (1, 1) else ""
        key = f"{task.group}-{self._run}-{task.label}{again}"
        others = [worker for worker in self._client.nthreads() if worker != self._avoid] if tries > 1 else []
        elsewhere = {"workers": others, "allow_other_workers": True} if others and self._avoid else {}
        with annotate(span=self._span(task.group), **task.annotations):
            future = self._client.submit(
                _timed, self._hold, task.function, *task.arguments, key=key, pure=False, **elsewhere
            )
        self._in_flight[key] = task, future
        future.add_done_callback(self._ended.put)

    def _span(self, group: str) -> Any:
        """The annotation that puts a task into its span: one for each group, since the scheduler keeps them all."""
        if group not in self._spans:
            with span(*filter(None, (self._title, group))):
                self._spans[group] = get_annotations()["span"]
        return self._spans[group]

    def _look(self) -> None:
        """How many tasks may be in flight: workers come and go."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        self._check_client()
        threads = self._client.nthreads()
        for worker in sorted(self._workers - threads.keys()):
            self._lost(worker)
        self._workers = set(threads)
        self._bound = 1 if self._one_by_one() else max(sum(threads.values()), 1) * _DEPTH
        for key in self._stalled.look({key: future for key, (_, future) in self._in_flight.items()}):
            self._note(f"{key}: its worker ended nothing for {self._retries.patience:g} s and is restarted")

    def _check_client(self) -> None:
        if is_ending(self._client):
            raise ClosedClientError("the scheduler does not answer")

    def _next(self) -> Future[Any] | None:
        """A task that has ended, or ``None`` after a moment."""
        if self._check is not None:
            self._check()
        try:
            future = self._ended.get(timeout=_TICK)
        except queue.Empty:
            self._check_client()
            return None
        return future if future.key in self._in_flight else None
