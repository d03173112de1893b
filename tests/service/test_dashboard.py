"""The page Exports of dask's dashboard, in a real browser that can reach nothing but this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import dask.config
import numpy as np
import pytest
from bokeh.server.tornado import BokehTornado
from dask.base import annotate
from distributed import Client, Event, LocalCluster, Scheduler, get_client, get_worker, secede
from distributed.scheduler import KilledWorker
from distributed.security import Security
from PIL import Image

from oceanrecon.errors import ClusterError
from oceanrecon.service.dashboard.cells import STATES
from oceanrecon.service.dashboard.html import COLOURS
from oceanrecon.service.dashboard.plugin import TOPIC, ExportsPlugin, install
from oceanrecon.service.dashboard.state import Jobs
from oceanrecon.service.jobs.control import follow
from oceanrecon.service.jobs.submit import submit
from tests.archives import settings
from tests.clocks import wait_for
from tests.service.browser import Browser, chromium
from tests.service.simulated import Driver, Message, weekly


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """A scheduler without workers, in this process."""
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as running:
        yield running


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as connected:
        install(connected)
        yield connected


def scheduler_of(cluster: LocalCluster) -> Scheduler:
    assert isinstance(cluster.scheduler, Scheduler)
    return cluster.scheduler


def plugin(cluster: LocalCluster) -> ExportsPlugin:
    found = scheduler_of(cluster).plugins["oceanrecon-exports"]
    assert isinstance(found, ExportsPlugin)
    return found


def page(client: Client, path: str = "exports") -> str:
    return str(client.dashboard_link).replace("status", path)


def get(url: str) -> str:
    assert url.startswith("http://127.0.0.1:")
    with urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def send(client: Client, *messages: Message) -> None:
    for message in messages:
        client.log_event(TOPIC, message)


def test_a_job_is_watched_from_its_first_block_to_its_failures(
    browser: Browser, cluster: LocalCluster, client: Client, tmp_path: Path
) -> None:
    browser.open(page(client))
    text = browser.wait_for("No export has been submitted", "oceanrecon submit")
    assert scheduler_of(cluster).address in text

    # the same open page, while the events come
    driver = Driver("ab12cd34", weekly(761), submitted=time.time())
    send(client, driver.job(time.time()))
    browser.wait_for("1 queued", "Job ab12cd34", "0 of 4,566 blocks", "maria@login1", "s3://ocean/glorys-0.1")
    send(
        client, driver.begin(time.time()), *(driver.blocks(name, driver.dates, "waiting") for name in driver.variables)
    )
    send(client, driver.blocks("thetao", driver.dates[:200], "kept"), driver.job(time.time()))
    for step in range(20):
        dates = driver.dates[200 + 10 * step : 210 + 10 * step]
        send(client, *(driver.blocks(name, dates) for name in driver.variables), driver.job(time.time()))
    why = "cannot read dt_global_allsat_phy_l4_20100804.nc: truncated file"
    send(client, driver.blocks("adt", driver.dates[400:405], "failed", why))
    send(client, driver.job(time.time(), retries=3, set_aside=["so 20091203"]))
    text = browser.wait_for(
        "1 running", "1,400 of 4,566 blocks, 30.7 %", "200 kept from before", "1,200 done", "5 failed", "3,161 waiting",
        "ReadError: " + why, "2013-10-02", "3 tried again; 1 set aside", "so 20091203", "905 MB", "of 1.10 GB planned",
    )  # fmt: skip
    assert "MB/s" in text and "ends about" in text
    counted = {"kept": 200, "done": 1200, "failed": 5, "waiting": 3161}
    wait_for(lambda: {state: sum(browser.source("cells")[state]) for state in COLOURS} == counted)
    cells = browser.source("cells")
    assert len(cells["left"]) == 6 * 160 and "adt (sealevel)" in cells["variable"]

    # drawn, too: a canvas is pixels
    def drawn() -> bool:
        browser.picture(tmp_path / "exports.png")
        with Image.open(tmp_path / "exports.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        return all((pixels == list(bytes.fromhex(one[1:]))).all(axis=2).sum() > 100 for one in COLOURS.values())

    wait_for(drawn, f"pixels of all colours in {tmp_path / 'exports.png'}")

    send(client, driver.end(time.time(), "incomplete"))
    browser.wait_for("1 incomplete", "Took", "Ended")
    assert browser.complaints() == []
    assert browser.hosts() <= {"127.0.0.1"}


def test_the_menu_leads_there_from_every_page_and_a_link_to_each_job(browser: Browser, client: Client) -> None:
    now = time.time()
    first, second = Driver("0000000a", weekly(10), submitted=now - 60), Driver("0000000b", weekly(10), submitted=now)
    send(client, first.begin(now), first.end(now, "complete"), second.begin(now), second.blocks("so", second.dates[:2]))
    send(client, second.job(now))
    browser.open(page(client, "workers"))
    browser.wait_for("Status", "Exports", "Workers")
    browser.driver.find_element("link text", "Exports").click()
    browser.wait_for("1 running", "1 complete", "Job 0000000b")
    # the row of a running job is replaced every second: the press of the button counts
    pressed = """
      const find = (root) => {
        for (const node of root.querySelectorAll("*")) {
          if (node.tagName === "A" && node.textContent === arguments[0]) return node;
          const inner = node.shadowRoot && find(node.shadowRoot);
          if (inner) return inner;
        }
      };
      find(document).dispatchEvent(new PointerEvent("pointerdown", {button: 0}));
    """
    browser.driver.execute_script(pressed, "0000000a")
    browser.wait_for("Job 0000000a")
    assert browser.driver.current_url.endswith("/exports?job=0000000a")
    browser.open(page(client) + "?job=<b>nothing")
    browser.wait_for("This scheduler knows no job <b>nothing")


@pytest.mark.parametrize(("dates", "width"), [(761, 1366), (5326, 1024), (3, 480)])
def test_the_map_fits_any_window_and_any_number_of_dates(
    browser: Browser, cluster: LocalCluster, client: Client, dates: int, width: int
) -> None:
    now = time.time()
    driver = Driver("ab12cd34", weekly(dates), submitted=now - 900)
    for when, message in driver.run(now - 900, now):
        plugin(cluster).jobs.event(message, when)
    browser.open(page(client), width)
    browser.wait_for("Job ab12cd34", "Dates per hour")
    inside, whole = browser.driver.execute_script("return [window.innerWidth, document.documentElement.scrollWidth]")
    assert whole <= inside
    assert len(browser.source("cells")["left"]) == 6 * min(dates, 160)
    assert browser.complaints() == []


def test_a_scheduler_of_its_own_with_tls_and_a_prefix_serves_it(browser: Browser, tmp_path: Path) -> None:
    security = Security.temporary()
    options = []
    for role in ("scheduler", "client"):
        for name, text in security.get_tls_config_for_role(role).items():
            if text is not None and name in ("ca_file", "cert", "key"):
                (tmp_path / f"{role}-{name}.pem").write_text(text)
    for option, name in (("ca-file", "ca_file"), ("cert", "cert"), ("key", "key")):
        options += [f"--tls-{option}", str(tmp_path / f"scheduler-{name}.pem")]
    address = f"127.0.0.1:{free_port()}"
    command = [
        sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "tls://127.0.0.1", "--port", "0", *options,
        "--dashboard-address", address, "--dashboard-prefix", "/ocean", "--scheduler-file", str(tmp_path / "where"),
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as scheduler:
        try:
            with Client(scheduler_file=str(tmp_path / "where"), security=security, timeout="90s") as client:
                install(client)
                began = time.perf_counter()
                install(client)
                assert time.perf_counter() - began < 5
                driver = Driver("ab12cd34", weekly(10), submitted=time.time())
                send(client, driver.begin(time.time()), driver.blocks("so", driver.dates[:5]), driver.job(time.time()))
                browser.open(f"http://{address}/ocean/exports")
                browser.wait_for("Job ab12cd34", "5 of 60 blocks")
                # pushed over the websocket, below the prefix too
                send(client, driver.blocks("so", driver.dates[5:]), driver.job(time.time()))
                browser.wait_for("10 of 60 blocks")
                assert get(f"http://{address}/ocean/status").count('href="exports"') == 1
                assert 'oceanrecon_job_blocks{job="ab12cd34",state="done",variable="so"} 10.0' in get(
                    f"http://{address}/ocean/metrics"
                )
        finally:
            scheduler.send_signal(signal.SIGTERM)
            scheduler.wait(timeout=20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_installed_again_it_is_there_once_and_keeps_what_it_knows(cluster: LocalCluster, client: Client) -> None:
    driver = Driver("ab12cd34", weekly(3), submitted=time.time())
    send(client, driver.begin(time.time()))
    with Client(cluster) as other:
        install(other)
    assert len(plugin(cluster).jobs) == 1
    assert get(page(client, "status")).count('href="exports"') == 1
    # unregistering tells a plugin nothing: its page is there until another takes its place
    client.unregister_scheduler_plugin("oceanrecon-exports")
    install(client)
    pages = [app for app in scheduler_of(cluster).http_application.applications if isinstance(app, BokehTornado)]
    assert [("/exports" in app.app_paths) for app in pages] == [False, True]
    assert get(page(client, "status")).count('href="exports"') == 1
    assert len(plugin(cluster).jobs) == 0


def test_closed_it_leaves_nothing_behind(cluster: LocalCluster, client: Client, browser: Browser) -> None:
    browser.open(page(client))
    browser.wait_for("No export has been submitted")
    found = plugin(cluster)
    cluster.sync(found.close)
    assert 'href="exports"' not in get(page(client, "status"))
    with pytest.raises(HTTPError, match="404"):
        get(page(client))
    cluster.sync(found.close)


def test_without_the_dashboard_everything_but_the_page_is_there() -> None:
    with (
        LocalCluster(
            n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}
        ) as cluster,
        Client(cluster) as client,
    ):
        install(client)
        driver = Driver("ab12cd34", weekly(3), submitted=time.time())
        send(client, driver.begin(time.time()))
        assert len(plugin(cluster).jobs) == 1
        link = f"http://127.0.0.1:{scheduler_of(cluster).services['dashboard'].port}"
        assert "oceanrecon_job_state" in get(f"{link}/metrics")
        with pytest.raises(HTTPError, match="404"):
            get(f"{link}/exports")


def test_without_bokeh_everything_but_the_page_is_there(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bokeh.server.tornado", None)
    monkeypatch.delitem(sys.modules, "oceanrecon.service.dashboard.serve", raising=False)
    with Client(cluster) as client:
        install(client)
        driver = Driver("ab12cd34", weekly(3), submitted=time.time())
        send(client, driver.begin(time.time()))
        assert len(plugin(cluster).jobs) == 1
        assert "oceanrecon_job_state" in get(page(client, "metrics"))
        monkeypatch.undo()


def test_a_scheduler_without_this_package_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ModuleNotFoundError("No module named 'oceanrecon'")

    monkeypatch.setattr(client, "register_plugin", refuse)
    with pytest.raises(ClusterError, match=r"has no oceanrecon.*install"):
        install(client)


def test_the_scheduler_does_not_keep_every_record_that_was_sent(cluster: LocalCluster, client: Client) -> None:
    driver = Driver("ab12cd34", weekly(3), submitted=time.time())
    for _ in range(205):
        send(client, driver.job(time.time()))
    assert len(client.get_events(TOPIC)) < 20


def test_a_page_knows_where_the_driver_of_a_job_is(cluster: LocalCluster, client: Client) -> None:
    with annotate(oceanrecon_driver="ab12cd34"):
        driver = client.submit(sit, "", key="export-ab12cd34-1", pure=False)
    wait_for(lambda: plugin(cluster).driver_state("ab12cd34") is not None)
    state = plugin(cluster).driver_state("ab12cd34")
    assert state in ("no-worker", "queued") and plugin(cluster).driver_state("ab12cd35") is None
    # a plugin that comes later finds it too
    client.unregister_scheduler_plugin("oceanrecon-exports")
    install(client)
    assert plugin(cluster).driver_state("ab12cd34") == state
    driver.cancel()
    wait_for(lambda: plugin(cluster).driver_state("ab12cd34") is None)


def tell_from_a_worker(message: Message) -> None:
    get_client().log_event(TOPIC, message)
    # cheaper, since it does not wait; it adds the worker's address to the message
    get_worker().log_event(TOPIC, {"type": "blocks", "job": message["record"]["id"], "variable": "so"} | BLOCKS)


BLOCKS: dict[str, Any] = {
    "product": "glorys", "state": "done", "dates": ["20060104"], "bytes": 1, "seconds": 1.0, "peak": 7, "message": "",
}  # fmt: skip


def sit(notes: str) -> str:
    """A driver, as dask sees it: it leaves the pool of threads, and waits."""
    with open(notes, "a") as lines:
        lines.write(f"{os.getpid()}\n")
    secede()
    while not Event("go").is_set():
        time.sleep(0.1)
    return "done"


def test_a_driver_is_not_blamed_for_the_deaths_of_its_workers(tmp_path: Path) -> None:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit=0
        ) as cluster,
        Client(cluster) as client,
    ):
        install(client)
        # events of a worker's client and of the worker itself arrive
        driver = Driver("ab12cd34", weekly(3), submitted=time.time())
        client.submit(tell_from_a_worker, driver.begin(time.time())).result(timeout=60)
        jobs = plugin(cluster).jobs
        wait_for(lambda: (job := jobs.get("ab12cd34")) is not None and job.peak_memory == 7)

        with annotate(oceanrecon_driver="ab12cd34"):
            mine = client.submit(sit, str(tmp_path / "mine"), key="export-ab12cd34-1", pure=False)
        with annotate(oceanrecon={"job": "ab12cd34"}):
            other = client.submit(sit, str(tmp_path / "other"), key="export-of-somebody", pure=False)
        for deaths in range(2):
            # both are on the one worker when it dies
            pids = [*started(tmp_path / "mine", deaths + 1), *started(tmp_path / "other", deaths + 1)]
            assert pids[0] == pids[1]
            os.kill(pids[0], signal.SIGKILL)
        with pytest.raises(KilledWorker):
            other.result(timeout=60)
        started(tmp_path / "mine", 3)
        assert plugin(cluster).driver_state("ab12cd34") == "processing"
        Event("go", client=client).set()
        assert mine.result(timeout=60) == "done"


def started(notes: Path, times: int) -> list[int]:
    """The process in which a driver began for the nth time, once it has."""
    late = time.monotonic() + 60
    while True:
        pids = notes.read_text().split() if notes.exists() else []
        if len(pids) >= times:
            return [int(pids[-1])]
        assert time.monotonic() < late, pids
        time.sleep(0.05)


def test_a_real_job_is_shown_as_its_record_says(archive: Path, browser: Browser, tmp_path: Path) -> None:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit=0
    ) as cluster:
        submitted = submit(settings(archive, tmp_path / "export"), scheduler=cluster.scheduler_address)
        *_, last = follow(submitted.output, submitted.id)
        jobs = plugin(cluster).jobs
        wait_for(lambda: (job := jobs.get(submitted.id)) is not None and job.ended)
        job = jobs.get(submitted.id)
        assert job is not None
        record = last.record
        assert record.state == "complete"
        assert job.totals() == {"waiting": 0, "kept": 0, "done": record.total("blocks"), "failed": 0}
        bins = job.cells.binned(10)
        assert bins.counts.sum(axis=(0, 1))[STATES.index("done")] == bins.counts.sum() == record.total("blocks")
        assert job.peak_memory == record.peak_memory_bytes > 0
        browser.open(str(cluster.dashboard_link).replace("status", f"exports?job={record.id}"))
        blocks = record.total("blocks")
        browser.wait_for(f"{blocks} of {blocks} blocks, 100.0 %", record.who, record.output, "Took", "1 complete")
        assert browser.complaints() == []


def test_jobs_travel_to_the_scheduler_empty() -> None:
    assert isinstance(ExportsPlugin().jobs, Jobs) and not len(ExportsPlugin().jobs)
