"""Puts the page on the Bokeh server of a scheduler that runs, and into the menu of its dashboard."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bokeh.server.tornado import BokehTornado
from distributed import Scheduler
from distributed.dashboard.core import BokehApplication
from distributed.dashboard.scheduler import template_variables
from tornado.ioloop import IOLoop

from oceanrecon.service.dashboard.page import exports_doc
from oceanrecon.service.dashboard.state import Jobs

#: Address of the page, and its place in the menu: after Status.
PAGE = "exports"
_PLACE = 1


def add_page(scheduler: Scheduler, jobs: Jobs, driver_state: Callable[[str], str | None]) -> None:
    """Serve ``/exports``, as dask serves its own pages: same port, prefix, origins and menu.

    Nothing happens where the dashboard is off.

    Args:
        scheduler: a running one.
        jobs: what it knows.
        driver_state: tells dask's state of the task that drives a job.
    """
    # one that another plugin left behind, which was unregistered and not closed
    remove_page(scheduler)
    applications = scheduler.http_application.applications
    dask_pages = next((app for app in applications if isinstance(app, BokehTornado)), None)
    if dask_pages is None:
        return
    # dask makes this once for each scheduler, and all its pages share it
    variables = template_variables(scheduler)
    application = BokehApplication(
        {f"/{PAGE}": partial(exports_doc, jobs, driver_state)},
        scheduler,
        prefix=dask_pages.prefix,
        template_variables=variables,
    )
    # not at the end, where Jupyter's application may be, which answers everything
    applications.insert(applications.index(dask_pages) + 1, application)
    variables["pages"].insert(_PLACE, PAGE)
    application.initialize(IOLoop.current())
    application.start()


def remove_page(scheduler: Scheduler) -> None:
    """Stop serving it; whoever has it open sees no more news."""
    applications = scheduler.http_application.applications
    for application in [app for app in applications if isinstance(app, BokehTornado) and f"/{PAGE}" in app.app_paths]:
        applications.remove(application)
        application.stop()
        for context in application.applications.values():
            for session in list(context.sessions):
                session.destroy()
        pages = template_variables(scheduler)["pages"]
        if PAGE in pages:
            pages.remove(PAGE)
