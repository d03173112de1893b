"""What the scheduler remembers of jobs: it must be true, and it must not grow."""

from __future__ import annotations

import datetime as dt
import sys
from typing import Any

import numpy as np
import pytest

from oceanrecon.service.dashboard import html
from oceanrecon.service.dashboard.cells import STATES, Cells
from oceanrecon.service.dashboard.state import RECENT, SILENT, Jobs
from oceanrecon.service.dashboard.words import UNKNOWN, duration, number, size
from tests.service.simulated import VARIABLES, Driver, weekly

START = 1_800_000_000.0


def played(driver: Driver, until: float, **options: Any) -> Jobs:
    jobs = Jobs()
    for when, message in driver.run(START, until, **options):
        jobs.event(message, when)
    return jobs


def test_every_block_is_in_the_map_once_however_many_dates_there_are() -> None:
    for dates in (1, 3, 161, 5326):
        driver = Driver("ab12cd34", weekly(dates))
        jobs = played(driver, START + 1e7, kept=dates // 3, failing=lambda v, d: "bad" if d.endswith("04") else None)
        (job,) = jobs
        bins = job.cells.binned(160)
        assert bins.counts.shape == (6, min(dates, 160), 4)
        totals = job.totals()
        assert dict(zip(STATES, bins.counts.sum(axis=(0, 1)), strict=True)) == totals
        assert totals["failed"] == sum(d.endswith("04") for d in driver.dates[dates // 3 :]) * 6
        sizes = bins.counts.sum(axis=2)
        assert sizes.max() - sizes.min() <= 1


def test_dates_of_an_irregular_list_are_where_they_belong() -> None:
    wanted = ["19930106", "19930113", "20100303", "20100304"]
    cells = Cells({"first_date": wanted[0], "last_date": wanted[-1], "dates": 4, "variables": {}})
    cells.wait("glorys", "thetao", wanted)
    cells.wait("sss", "sos", ["20100304", "20110101"])
    cells.mark("glorys", "thetao", ["20100303"], "done")
    cells.mark("sss", "sos", ["20110101"], "failed")
    bins = cells.binned(160)
    assert [str(first) for first, _ in bins.spans] == [
        "1993-01-06",
        "1993-01-13",
        "2010-03-03",
        "2010-03-04",
        "2011-01-01",
    ]
    found = [
        ["".join(state[0] for state, n in zip(STATES, cell, strict=True) if n) for cell in row] for row in bins.counts
    ]
    assert found == [["w", "w", "d", "w", ""], ["", "", "", "w", "f"]]


def test_dates_that_nobody_told_are_taken_to_be_evenly_spaced() -> None:
    dates = weekly(761)
    driver = Driver("ab12cd34", dates)
    jobs = Jobs()
    jobs.event(driver.begin(START), START)
    jobs.event(driver.blocks("thetao", dates[10:20]), START)
    (job,) = jobs
    (row,) = np.nonzero(job.cells.binned(761).counts[0, :, STATES.index("done")])
    assert list(row) == list(range(10, 20))


def test_dates_that_the_archive_does_not_have_make_nothing_else_vanish() -> None:
    driver = Driver("ab12cd34", weekly(10), ("thetao", "adt"))
    # as a plan has it: one date of adt cannot be made, and sos at none
    driver.record["plan"]["variables"]["adt"]["blocks"] = driver.record["counts"]["adt"]["blocks"] = 9
    driver.record["plan"]["blocks"] = 19
    jobs = Jobs()
    jobs.event(driver.begin(START), START)
    jobs.event(driver.missing("adt", driver.dates[:1]), START)
    jobs.event(driver.missing("sos", driver.dates), START)
    jobs.event(driver.blocks("adt", driver.dates[1:3]), START)
    jobs.event(driver.blocks("adt", driver.dates[3:4], "failed", "broken"), START)
    jobs.event(driver.job(START), START)
    (job,) = jobs
    counts = job.counts()
    assert counts["adt"] == {"waiting": 6, "kept": 0, "done": 2, "failed": 2}
    assert counts["thetao"]["waiting"] == 10 and counts["sos"] == {"waiting": 0, "kept": 0, "done": 0, "failed": 10}
    bins = job.cells.binned(10)
    assert [variable for _, variable in bins.rows] == ["thetao", "adt", "sos"]
    assert dict(zip(STATES, bins.counts.sum(axis=(0, 1)), strict=True)) == job.totals()


def test_rates_and_the_time_left_are_those_of_the_work() -> None:
    # surface fields first, so that counting blocks alone would promise far too early an end
    names = tuple(reversed(VARIABLES))
    driver = Driver("ab12cd34", weekly(1522), names)
    seconds = 1522 * sum(VARIABLES[name][1] for name in names) / driver.workers
    passed = 0.5 * seconds
    jobs = played(driver, START + passed, order="variable")
    (job,) = jobs
    now = START + passed
    left = job.left(now)
    assert left is not None and left == pytest.approx(seconds - passed, rel=0.25)
    overall, recent = job.overall(now), job.recent(now)
    assert overall is not None and recent is not None
    done = sum(counts["done"] for counts in driver.record["counts"].values())
    assert overall.dates_per_hour == pytest.approx(3600 * done / 6 / passed, rel=0.01)
    assert overall.bytes_per_second == pytest.approx(driver.record["bytes_written"] / passed, rel=0.01)
    # only one 50-level variable was made in the last minutes
    variable = next(name for name in ("so", "thetao") if driver.record["counts"][name]["done"] < 1522)
    assert recent.bytes_per_second == pytest.approx(VARIABLES[variable][2] * 16 / VARIABLES[variable][1], rel=0.05)


def test_what_was_kept_counts_neither_as_work_nor_as_rate() -> None:
    driver = Driver("ab12cd34", weekly(100))
    jobs = played(driver, START + 60, kept=90)
    (job,) = jobs
    rate = job.overall(job.heard)
    assert rate is not None
    assert rate.dates_per_hour == pytest.approx(3600 * 16 / sum(v[1] for v in VARIABLES.values()), rel=0.2)


def test_blocks_that_fail_cost_time_and_make_no_others_dearer() -> None:
    driver = Driver("ab12cd34", weekly(100), ("sos",))
    jobs = Jobs()
    jobs.event(driver.begin(START), START)
    for index, date in enumerate(driver.dates[:50]):
        message = driver.blocks("sos", [date], "done" if index < 5 else "failed", "broken")
        jobs.event({**message, "seconds": 10.0}, START + 10 * (index + 1))
        jobs.event(driver.job(START + 10 * (index + 1)), START + 10 * (index + 1))
    (job,) = jobs
    left = job.left(START + 500)
    assert left is not None and left == pytest.approx(500, rel=0.1)


def test_what_comes_after_the_last_block_is_not_promised_to_take_no_time() -> None:
    driver = Driver("ab12cd34", weekly(10), ("sos",))
    jobs = Jobs()
    jobs.event(driver.begin(START), START)
    jobs.event(driver.blocks("sos", driver.dates), START + 10)
    jobs.event(driver.job(START + 10), START + 10)
    (job,) = jobs
    assert job.left(START + 20) is None
    assert "not known yet" in html.detail(job, None, START + 20)


def test_bytes_written_are_compared_with_what_this_driver_has_to_write() -> None:
    driver = Driver("ab12cd34", weekly(100), ("sos",))  # 1.7 MB each
    jobs = played(driver, START + 1e6, kept=90)
    (job,) = jobs
    assert "17.0 MB</dd><small>of about 17.0 MB since its driver began" in html.detail(job, None, START + 1e6)


def test_a_job_that_stands_still_is_not_promised_to_end() -> None:
    driver = Driver("ab12cd34", weekly(761))
    jobs = played(driver, START + 600)
    (job,) = jobs
    for second in range(int(RECENT) + 10):
        now = START + 600 + second
        jobs.event(driver.job(now), now)
    rate = job.recent(now)
    assert rate is not None and rate.dates_per_hour == 0 and rate.bytes_per_second == 0
    assert job.silent(now) is None


def test_a_silent_driver_is_told_from_one_that_works() -> None:
    driver = Driver("ab12cd34", weekly(761))
    jobs = played(driver, START + 100)
    (job,) = jobs
    assert job.silent(START + 100 + SILENT - 1) is None
    late = START + 100 + 3 * SILENT
    assert job.silent(late) == 3 * SILENT and job.left(late) is None
    assert "oceanrecon resume ab12cd34" in html.detail(job, None, late)
    assert "waits for a worker" in html.detail(job, "no-worker", late)
    jobs.event(driver.end(late, "cancelled"), late)
    assert job.silent(late + 1e6) is None


def test_a_driver_that_begins_again_begins_its_numbers_again() -> None:
    driver = Driver("ab12cd34", weekly(761))
    jobs = played(driver, START + 600, failing=lambda variable, date: "broken" if date < "20060201" else None)
    (job,) = jobs
    assert job.failures and job.totals()["failed"]
    done = sum(counts["done"] for counts in driver.record["counts"].values())
    assert done
    again = START + 5000
    counts = {
        name: {"blocks": 761, "kept": told["done"], "done": 0, "failed": 0}
        for name, told in driver.record["counts"].items()
    }
    # at first it tells what the driver before it had done
    jobs.event(driver.begin(again - 1), again - 1)
    driver.record |= {"counts": counts, "bytes_written": 0, "failures": [], "failure_count": 0}
    jobs.event(driver.job(again), again)
    jobs.event(driver.blocks("thetao", driver.dates[:5]), again + 100)
    jobs.event(driver.job(again + 100), again + 100)
    assert not job.failures and job.totals() == {"waiting": 4566 - done - 5, "kept": done, "done": 5, "failed": 0}
    rate = job.overall(again + 100)
    assert rate is not None and rate.dates_per_hour == pytest.approx(36 * 5 / 6)
    assert job.cells.binned(1).counts.sum(axis=(0, 1))[STATES.index("failed")] == 0


def test_failures_are_shown_newest_first_and_healed_ones_not_at_all() -> None:
    driver = Driver("ab12cd34", weekly(20))
    jobs = Jobs()
    jobs.event(driver.begin(START), START)
    for date in driver.dates[:3]:
        jobs.event(driver.blocks("adt", [date], "failed", f"no file for {date}"), START)
    jobs.event(driver.job(START), START)
    (job,) = jobs
    text = html.failures(job)
    places = [text.index(f"ReadError: no file for {date}") for date in driver.dates[:3]]
    assert places == sorted(places, reverse=True)
    driver.record |= {"failures": driver.record["failures"][1:], "failure_count": 2}
    jobs.event(driver.blocks("adt", [driver.dates[0]]), START)
    assert driver.dates[0] not in html.failures(job)


def test_memory_of_the_scheduler_is_bounded() -> None:
    jobs = Jobs()
    for index in range(400):
        driver = Driver(f"{index:08x}", weekly(3))
        jobs.event(driver.begin(START + index), START + index)
        if index % 2:
            jobs.event(driver.end(START + index, "complete"), START + index)
    assert sum(job.ended for job in jobs) <= 101 and len(jobs) <= 300
    assert jobs.get(f"{399:08x}") is not None and jobs.get(f"{1:08x}") is None
    # hours of records, every second, and everything fails
    driver = Driver("ab12cd34", weekly(761))
    jobs = Jobs()
    jobs.event(driver.begin(START), START)
    for second in range(20_000):
        jobs.event(driver.job(START + second), START + second)
    for variable in VARIABLES:
        jobs.event(driver.blocks(variable, driver.dates, "failed", "no disk"), START + 20_000)
    (job,) = jobs
    assert len(job.failures) == 200 and len(job.history()) <= 240
    assert sum(map(sys.getsizeof, (job._recent, job._samples, job.failures))) < 100_000


def test_a_message_that_makes_no_sense_changes_nothing() -> None:
    driver = Driver("ab12cd34", weekly(3))
    jobs = Jobs()
    jobs.event(driver.blocks("thetao", driver.dates), START)
    assert not len(jobs)
    jobs.event(driver.begin(START), START)
    jobs.event({"type": "of another version"}, START)
    (job,) = jobs
    before = job.totals(), job.version
    for wrong in ({"type": "job"}, driver.blocks("thetao", ["not a date"]) | {"job": "ab12cd34"}):
        with pytest.raises((KeyError, ValueError)):
            jobs.event(wrong, START)
    assert (job.totals(), job.version) == before


def test_what_a_job_says_cannot_become_markup() -> None:
    evil = "<img src=x onerror=alert(1)>"
    driver = Driver("ab12cd34", weekly(3), output=f"/data/{evil}", who=evil)
    jobs = Jobs()
    jobs.event(driver.begin(START), START)
    jobs.event(driver.blocks("adt", driver.dates[:1], "failed", evil), START)
    jobs.event(driver.job(START, message=evil, set_aside=[evil], driver=evil), START)
    late = Driver("ab12cd35", weekly(3))
    broken = {"product": "x", "variable": "adt", "date": "<b>x</b>", "error": "", "message": ""}
    jobs.event(late.job(START, state="failed", ended_utc=evil, failures=[broken], failure_count=1), START)
    (job, last) = jobs
    assert "<img" not in html.ended([last], None) and "<b>" not in html.failures(last)
    parts = [
        html.summary(jobs), html.active(jobs, job, START), html.ended(jobs, job), html.detail(job, None, START + 1e4),
        html.failures(job), html.missing(evil), html.empty(evil),
    ]  # fmt: skip
    assert all(evil not in part for part in parts)
    assert sum("&lt;img" in part for part in parts) == 6


def test_numbers_read_like_numbers() -> None:
    assert [duration(s) for s in (None, 0, 59.4, 90, 3599, 7980, 90_000)] == [
        UNKNOWN, "0 s", "59 s", "2 min", "1 h 0 min", "2 h 13 min", "1 d 1 h",
    ]  # fmt: skip
    assert [size(b) for b in (0, 999, 1000, 84_213_000_000, 999_600, 2e15)] == [
        "0 B", "999 B", "1.00 kB", "84.2 GB", "1.00 MB", "2000 TB",
    ]  # fmt: skip
    assert [number(n) for n in (0.0, 4.25, 99.6, 1240)] == ["0", "4.2", "100", "1,240"]
    assert dt.datetime.fromtimestamp(START, dt.UTC).year == 2027
