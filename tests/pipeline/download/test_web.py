"""Risk: what a web server cuts, changes or answers wrongly becomes a file that looks whole."""

from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path

import pytest

from oceanrecon.pipeline.download import web
from oceanrecon.pipeline.download.attempts import Manner, StoppedError
from oceanrecon.pipeline.download.received import Received, bring
from oceanrecon.pipeline.download.remote import Outcome, Remote
from tests.pipeline.download.servers import Fault, Site

CONTENT = bytes(range(256)) * 400
TARGET = "source/file.nc"


def listed(site: Site, manner: Manner) -> Remote:
    url = f"{site.url}/file.nc"
    stated = web.ask(url, manner)
    assert stated is not None
    return Remote("source", "source", dt.date(2023, 3, 29), TARGET, url, stated.size, stated.version)


def fetched(remote: Remote, folder: Path, manner: Manner) -> Outcome:
    (outcome,) = bring([remote], partial(web.fetch, manner=manner), Received(folder), manner)
    return outcome


def test_a_cut_file_goes_on_where_it_ended_and_no_byte_comes_twice(site: Site, tmp_path: Path, manner: Manner) -> None:
    site.files["/file.nc"] = CONTENT
    site.faults["/file.nc"] = [Fault(cut=30_000), Fault(status=503), Fault(cut=50_000)]
    remote = listed(site, manner)
    # three tries are not enough; the next run has the rest to do only
    assert fetched(remote, tmp_path, manner).status == "failed"
    assert not (tmp_path / TARGET).exists()
    assert fetched(remote, tmp_path, manner).status == "fetched"
    assert (tmp_path / TARGET).read_bytes() == CONTENT
    assert site.sent == len(CONTENT)
    assert [path.name for path in (tmp_path / "source").iterdir()] == ["file.nc"]


def test_a_part_of_another_content_is_not_continued(site: Site, tmp_path: Path, manner: Manner) -> None:
    site.files["/file.nc"] = CONTENT
    site.faults["/file.nc"] = [Fault(cut=30_000), Fault(status=404)]
    assert fetched(listed(site, manner), tmp_path, manner).status == "failed"
    # of the same size, so that only what the server says of its version tells
    site.files["/file.nc"] = CONTENT[::-1]
    assert fetched(listed(site, manner), tmp_path, manner).status == "fetched"
    assert (tmp_path / TARGET).read_bytes() == CONTENT[::-1]


def test_a_server_that_continues_with_another_content_is_not_believed(
    site: Site, tmp_path: Path, manner: Manner
) -> None:
    site.files["/file.nc"], site.if_range = CONTENT, False
    remote = listed(site, manner)
    site.faults["/file.nc"] = [Fault(cut=30_000), Fault(status=404)]
    assert fetched(remote, tmp_path, manner).status == "failed"
    # replaced between the listing and the next try
    site.files["/file.nc"] = CONTENT[::-1]
    assert fetched(remote, tmp_path, manner).status == "fetched"
    assert (tmp_path / TARGET).read_bytes() == CONTENT[::-1]


def test_a_run_that_is_stopped_does_not_wait_for_a_whole_piece(site: Site, tmp_path: Path, manner: Manner) -> None:
    site.files["/file.nc"] = CONTENT[:400]
    site.faults["/file.nc"] = [Fault(slow=True)]
    site.on_byte = lambda count: manner.stop.set() if count == 5 else None
    assert isinstance(fetched(listed(site, manner), tmp_path, manner).error, StoppedError)
    assert site.sent < 400


def test_an_interrupt_while_servers_are_asked_ends_all_that_ask(manner: Manner) -> None:
    asked = []

    def ask(number: int) -> None:
        asked.append(number)
        if number == 0:
            raise KeyboardInterrupt
        manner.stop.wait(20)
        manner.check()

    with pytest.raises(KeyboardInterrupt):
        manner.side_by_side(ask, range(100))
    assert manner.stop.is_set() and len(asked) < 10


def test_a_server_without_ranges_does_not_double_the_beginning(site: Site, tmp_path: Path, manner: Manner) -> None:
    site.files["/file.nc"], site.ranges = CONTENT, False
    site.faults["/file.nc"] = [Fault(cut=30_000)]
    assert fetched(listed(site, manner), tmp_path, manner).status == "fetched"
    assert (tmp_path / TARGET).read_bytes() == CONTENT


def test_a_file_that_was_replaced_since_it_was_listed_is_refused(site: Site, tmp_path: Path, manner: Manner) -> None:
    site.files["/file.nc"] = CONTENT
    remote = listed(site, manner)
    site.files["/file.nc"] = CONTENT[:-1]
    outcome = fetched(remote, tmp_path, manner)
    assert "replaced it after it was listed" in str(outcome.error)
    assert not (tmp_path / TARGET).exists()


def test_only_errors_that_pass_are_tried_again(site: Site, tmp_path: Path, manner: Manner) -> None:
    site.files["/file.nc"] = CONTENT
    remote = listed(site, manner)
    for status, tries in ((403, 1), (500, 3)):
        site.requests.clear()
        site.faults["/file.nc"] = [Fault(status=status)] * 5
        assert fetched(remote, tmp_path, manner).status == "failed"
        assert len(site.asked("GET")) == tries
    assert web.ask(f"{site.url}/absent.nc", manner) is None
