"""The scheduler's side: hears the events of export jobs, and hands them to the page and the metrics."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from dask.typing import Key
from distributed import Client, Scheduler, SchedulerPlugin
from distributed.metrics import time

from oceanrecon.errors import ClusterError
from oceanrecon.service.clusters.base import hush
from oceanrecon.service.dashboard import metrics
from oceanrecon.service.dashboard.state import Jobs

logger = logging.getLogger(__name__)

#: Topic of the events that drivers log.
TOPIC = "oceanrecon"
#: Annotation of the tasks that drive jobs: the job's id.
DRIVER = "oceanrecon_driver"
#: The scheduler keeps 1,000 events of a topic for whoever asks, and a record can be 100 kB of them.
_MOST_EVENTS = 20


class ExportsPlugin(SchedulerPlugin):
    """Export jobs on a scheduler: the page ``/exports``, metrics, and drivers that outlive their workers.

    The first to be registered stays: ``install`` may be called by every client and at every submission. Its state is
    in the scheduler's memory alone, and what ends with the scheduler can be had from the records beside the outputs.
    """

    name = "oceanrecon-exports"
    idempotent = True

    def __init__(self) -> None:
        """Without jobs; it travels to the scheduler empty."""
        self.jobs = Jobs()
        #: key of each task that drives a job -> the job
        self._drivers: dict[Key, str] = {}
        self._scheduler: Scheduler | None = None
        self._events = 0

    async def start(self, scheduler: Scheduler) -> None:
        """Add the page and the metrics to a scheduler that may have been running for long."""
        # nothing is awaited: two clients that register at once do not both get in
        self._scheduler = scheduler
        hush()
        annotated = ((key, task.annotations or {}) for key, task in scheduler.tasks.items())
        self._drivers = {key: annotations[DRIVER] for key, annotations in annotated if DRIVER in annotations}
        metrics.add(scheduler, self.jobs)
        try:
            from oceanrecon.service.dashboard.serve import add_page

            add_page(scheduler, self.jobs, self.driver_state)
        except ImportError as error:
            # no bokeh, or one that dask does not take: dask itself has no pages then
            logger.info("the page of exports needs bokeh (%s); their metrics are served without", error)
        except Exception:
            # a page is no reason for a job not to run
            logger.exception("the page of exports could not be added to the dashboard")

    async def close(self) -> None:
        """Take the page and the metrics away again."""
        if self._scheduler is None:
            return
        metrics.remove(self._scheduler)
        try:
            from oceanrecon.service.dashboard.serve import remove_page
        except ImportError:
            return
        remove_page(self._scheduler)

    def log_event(self, topic: str, msg: Any) -> None:
        """Of the events that go by, keep those of drivers."""
        if topic != TOPIC:
            return
        self.jobs.event(msg, time())
        self._events += 1
        if self._events % _MOST_EVENTS == 0 and self._scheduler is not None:
            self._scheduler._broker.truncate(TOPIC)

    def update_graph(
        self, scheduler: Scheduler, *, annotations: Mapping[str, Mapping[Key, Any]], **kwargs: Any
    ) -> None:
        """Note the drivers among the tasks that are submitted."""
        if (drivers := annotations.get(DRIVER)) is not None:
            known = {key: job for key, job in self._drivers.items() if key in scheduler.tasks}
            self._drivers = {**known, **drivers}

    def transition(self, key: Key, start: str, finish: str, *args: Any, stimulus_id: str, **kwargs: Any) -> None:
        """Never blame a driver for the blocks that kill the worker on which it sits.

        Dask counts the deaths that a task was near, and gives it up after a few. A driver only waits.
        """
        # called for each step of each task: nothing but a look into a small dict
        if finish == "processing" and key in self._drivers and self._scheduler is not None:
            self._scheduler.tasks[key].suspicious = 0

    def driver_state(self, job: str) -> str | None:
        """In which of dask's states the task is that drives a job; ``None`` where there is none."""
        tasks = self._scheduler.tasks if self._scheduler is not None else {}
        return next((tasks[key].state for key, driven in self._drivers.items() if driven == job and key in tasks), None)


def install(client: Client) -> None:
    """Have the page and the metrics on the scheduler of ``client``; costs a millisecond where they are there already.

    Raises:
        ClusterError: the scheduler's Python does not have this package.
    """
    try:
        client.register_plugin(ExportsPlugin())
    except ImportError as error:
        raise ClusterError(
            f"the Python of the scheduler has no oceanrecon, or another version ({error}): install there what the "
            "workers have"
        ) from error
