"""Takes the picture of the page Exports for the documentation: ``python -m tests.service.picture PICTURE``.

With ``--url http://127.0.0.1:8787/exports`` it is one of a scheduler that runs, and of its real jobs.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

from distributed import Client, LocalCluster, Scheduler
from PIL import Image

from oceanrecon.service.dashboard.plugin import ExportsPlugin, install
from oceanrecon.service.dashboard.state import Jobs
from tests.service.browser import chromium
from tests.service.simulated import VARIABLES, Driver, weekly

#: What is wrong with the archive of the picture, by variable and beginning of the date.
_WRONG = {
    ("analysed_sst", "20090708"): "cannot read 20090705120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB_REP-v02.0-fv02.0.nc: "
    "truncated file: 96 of 9,184,331 bytes",
    ("adt", "20100811"): "no file of `sealevel` within 3 days of 2010-08-11: the nearest is of 2010-08-03",
    ("adt", "20100818"): "no file of `sealevel` within 3 days of 2010-08-18: the nearest is of 2010-08-24",
}


def busy(jobs: Jobs, now: float) -> None:
    """An afternoon of a scheduler: one export runs, one waits, three have ended."""
    random.seed(5)
    earlier = (
        ("5e0c71aa", 200, "s3://ocean/pilot", "jonas@login2", 9.0, ""),
        ("19fd3be2", 300, "/scratch/maria/test", "maria@login1", 7.5, "cancelled"),
        ("e3a08c5d", 104, "s3://ocean/coral-sea", "tom@hub", 2.4, ""),
    )
    for job, dates, output, who, hours, state in earlier:
        driver = Driver(job, weekly(dates), output=output, who=who, submitted=now - 3600 * hours)
        began = now - 3600 * hours + 5
        for when, message in driver.run(began, began + (120 if state else 1e6)):
            jobs.event(message, when)
        if state:
            jobs.event(driver.end(began + 120, state), began + 120)
    began = now - 1500
    driver = Driver("ab12cd34", weekly(761), submitted=began - 8, workers=8)
    shift = 0.0
    for when, message in driver.run(
        began, now, kept=120, failing=lambda variable, date: _WRONG.get((variable, date)), order="date"
    ):
        # nothing real is as even as a program
        shift += random.uniform(-0.4, 0.4)
        jobs.event(message, min(when + shift, now))
    jobs.event(driver.job(now, retries=3), now)
    waiting = Driver("7b90ee01", weekly(52), tuple(VARIABLES)[2:4], "gs://reef/lagoon", "tom@hub", submitted=now - 20)
    jobs.event(waiting.job(now), now)


def take(url: str, path: Path) -> None:
    """The whole page at a laptop's width, in few colours: a tenth of the bytes."""
    with chromium() as browser:
        browser.open(url, width=1366)
        browser.wait_for("Dates per hour")
        browser.picture(path)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            path, optimize=True
        )


def main() -> None:
    """Take it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--url")
    asked = parser.parse_args()
    if asked.url:
        take(asked.url, asked.picture)
        return
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        install(client)
        scheduler = cluster.scheduler
        assert isinstance(scheduler, Scheduler)
        plugin = scheduler.plugins["oceanrecon-exports"]
        assert isinstance(plugin, ExportsPlugin)
        busy(plugin.jobs, time.time())
        take(str(client.dashboard_link).replace("status", "exports"), asked.picture)


if __name__ == "__main__":
    main()
