"""What Prometheus reads of the exports: the numbers of the page, with labels that do not grow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.request import urlopen

import prometheus_client
import pytest
from distributed import Client, LocalCluster, Scheduler
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from oceanrecon.service.dashboard.plugin import TOPIC, ExportsPlugin, install
from oceanrecon.service.dashboard.state import Jobs
from tests.service.simulated import VARIABLES, Driver, weekly

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as running:
        yield running


def scheduler_of(cluster: LocalCluster) -> Scheduler:
    assert isinstance(cluster.scheduler, Scheduler)
    return cluster.scheduler


def scrape(cluster: LocalCluster) -> dict[str, Metric]:
    with urlopen(f"http://127.0.0.1:{scheduler_of(cluster).services['dashboard'].port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        families = list(text_string_to_metric_families(answer.read().decode()))
    assert len({family.name for family in families}) == len(families)
    return {family.name: family for family in families if family.name.startswith("oceanrecon_")}


def samples(families: dict[str, Metric]) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families.values()
        for sample in family.samples
    }


def jobs_of(cluster: LocalCluster) -> Jobs:
    plugin = scheduler_of(cluster).plugins["oceanrecon-exports"]
    assert isinstance(plugin, ExportsPlugin)
    return plugin.jobs


def test_a_scrape_has_the_numbers_of_the_page(cluster: LocalCluster) -> None:
    with Client(cluster) as client:
        install(client)
        now = time.time()
        driver = Driver("ab12cd34", weekly(761), submitted=now - 600)
        for when, message in driver.run(
            now - 600, now, kept=100, failing=lambda v, d: "bad" if d[:6] == "200801" else None
        ):
            jobs_of(cluster).event(message, when)
        client.log_event(TOPIC, driver.job(time.time(), retries=4, set_aside=["so 20080102"]))
        (job,) = jobs_of(cluster)
        found = samples(scrape(cluster))

        def of(name: str, **labels: str) -> float:
            return found[f"oceanrecon_job_{name}", tuple(sorted({"job": "ab12cd34", **labels}.items()))]

        for variable, counts in job.counts().items():
            assert {state: of("blocks", variable=variable, state=state) for state in counts} == counts
        assert of("state", state="running") == 1 and of("state", state="complete") == 0
        assert of("written_bytes_total") == driver.record["bytes_written"]
        assert of("failures_total") == driver.record["failure_count"] == 5 * 6
        assert (of("retries_total"), of("set_aside")) == (4, 1)
        assert of("peak_memory_bytes") == max(peak for *_, peak in VARIABLES.values())
        assert of("projected_memory_bytes") == 1_100_000_000
        recent, left = job.recent(time.time()), job.left(time.time())
        assert recent is not None and left is not None
        assert of("dates_per_hour") == pytest.approx(recent.dates_per_hour, rel=0.05)
        assert of("bytes_per_second") == pytest.approx(recent.bytes_per_second, rel=0.05)
        assert of("left_seconds") == pytest.approx(left, rel=0.05)
        assert of("heard_timestamp_seconds") == pytest.approx(time.time(), abs=5)


def test_labels_do_not_grow_with_the_jobs_that_have_been(cluster: LocalCluster) -> None:
    with Client(cluster) as client:
        install(client)
        jobs, now = jobs_of(cluster), time.time()
        for index, age in enumerate((7200, 3601, 1800)):
            driver = Driver(f"0000000{index}", weekly(3), submitted=now - age)
            jobs.event(driver.begin(now - age), now - age)
            jobs.event(driver.end(now - age, "failed", "the disk is full: /secret/path"), now - age)
        # a driver that died never ended: it is told for a day, so that somebody looks
        for job, age in (("0000000e", 90_000), ("0000000f", 80_000)):
            lost = Driver(job, weekly(3), submitted=now - age)
            jobs.event(lost.begin(now - age), now - age)
        found = samples(scrape(cluster))
    labels = [dict(labels) for _, labels in found if dict(labels)["job"].startswith("0000000")]
    assert {label["job"] for label in labels} == {"00000002", "0000000f"}
    assert {name for label in labels for name in label} == {"job", "state", "variable"}
    # paths and people are nobody's business who may only see numbers
    assert not any("secret" in str(key) or "maria" in str(key) for key in found)


def test_schedulers_of_one_process_do_not_clash_and_leave_nothing_behind() -> None:
    def ours() -> list[str]:
        return [line for line in prometheus_client.generate_latest().decode().splitlines() if 'job="0000000' in line]

    def jobs(cluster: LocalCluster) -> set[str]:
        """Those of this test: other schedulers of this process may have some."""
        return {job for _, labels in samples(scrape(cluster)) if (job := dict(labels)["job"]).startswith("0000000")}

    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as first:
        with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as second:
            for cluster, job in ((first, "0000000a"), (second, "0000000b")):
                with Client(cluster) as client:
                    install(client)
                    install(client)
                    client.log_event(TOPIC, Driver(job, weekly(3)).begin(time.time()))
            scrape(first)
            assert jobs(second) == {"0000000a", "0000000b"}
        assert jobs(first) == {"0000000a"}
    assert ours() == []
