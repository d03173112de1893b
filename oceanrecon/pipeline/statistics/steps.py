"""Runs the steps of statistics, those that are not done yet: each leaves its parts and a receipt."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from oceanrecon.errors import OceanreconError, OutputError
from oceanrecon.pipeline.profiles.assemble import is_done
from oceanrecon.pipeline.statistics.recipe import Recipe, write_arrays
from oceanrecon.pipeline.tasks import Progress, Task, TaskRun
from oceanrecon.stores.files import Root
from oceanrecon.stores.memory import keep_freed_memory, peak_memory
from oceanrecon.stores.steps import (
    Step,
    StepFailure,
    forget_failures,
    read_steps,
    step_path,
    write_failure,
    write_step,
)

#: By part: its arrays by name.
Parts = Mapping[str, Mapping[str, NDArray[Any]]]


class StatisticsTask(Protocol):
    """One step."""

    @property
    def kind(self) -> str:
        """``profiles``, ``season``, ``climate``, ``moments`` or ``pairs``."""
        ...

    @property
    def name(self) -> str:
        """Its own among its kind."""
        ...

    def key(self, recipe: Recipe) -> str:
        """sha256 of everything that decides its bytes."""
        ...

    def make(self, recipe: Recipe) -> tuple[Parts, Mapping[str, int]]:
        """Its parts, and what it counted."""
        ...


def make_step(task: StatisticsTask, recipe: Recipe) -> Step | StepFailure | OutputError:
    """Make a step on a worker; a failure, or what stops the run, is returned."""
    keep_freed_memory()
    wall, cpu = time.perf_counter(), time.process_time()
    root = recipe.root
    try:
        try:
            parts, counts = task.make(recipe)
        except (OceanreconError, MemoryError, ValueError, OSError, RuntimeError) as error:
            return _record(root, task, error)
        root.remove(step_path("receipts", task.kind, task.name))  # nothing tells of a file that is being replaced
        files = [write_arrays(root, f"parts/{task.kind}/{name}.npz", arrays) for name, arrays in parts.items()]
        timing = {
            "wall": round(time.perf_counter() - wall, 3),
            "cpu": round(time.process_time() - cpu, 3),
            "peak_memory_bytes": peak_memory(),
        }
        step = Step(task.kind, task.name, task.key(recipe), tuple(files), counts=counts, timing=timing)
        write_step(root, step)
        return step
    except OutputError as error:
        return error


def _record(root: Root, task: StatisticsTask, error: BaseException) -> StepFailure:
    failure = StepFailure(task.kind, task.name, type(error).__name__, str(error) or repr(error))
    write_failure(root, failure)
    return failure


class Steps:
    """Makes what is missing, and tells how far it is."""

    def __init__(
        self, run: TaskRun, recipe: Recipe, total: int, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self.made: list[Step] = []
        self.kept = 0
        self.failures: list[StepFailure] = []
        self._run, self._recipe = run, recipe
        self._total, self._done, self._on_progress = total, 0, on_progress

    def make(self, kind: str, tasks: Sequence[StatisticsTask]) -> list[Step]:
        """The receipts of all tasks of a kind in their order, but for those that failed."""
        root, recipe = self._recipe.root, self._recipe
        done, _ = read_steps(root, kind)
        for name in done.keys() - {task.name for task in tasks}:  # of other dates
            root.remove(step_path("receipts", kind, name))
            for file in done[name].files:
                root.remove(file.path)
        todo = [task for task in tasks if not is_done(root, done.get(task.name), task.key(recipe))]
        again = {task.name for task in todo}
        forget_failures(root, kind, lambda name: name not in again)
        self.kept += len(tasks) - len(todo)
        self._done += len(tasks) - len(todo)
        submitted = (Task(kind, task.name, make_step, (task, recipe)) for task in todo)
        for outcome in self._run.outcomes(submitted):
            value = outcome.value
            if outcome.error is not None:
                value = _record(root, outcome.task.arguments[0], outcome.error)
            if isinstance(value, StepFailure):
                self.failures.append(value)
            else:
                self.made.append(value)
            self._done += 1
            if self._on_progress is not None:
                message = f"{kind} of {outcome.task.label}"
                self._on_progress(Progress(self._done, self._total, self.kept, len(self.failures), message))
        steps, _ = read_steps(root, kind)
        return [steps[task.name] for task in tasks if task.name in steps]
