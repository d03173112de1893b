"""Risk: the number of workers, or who was killed when, shows in the bytes; or half a store is taken for a whole."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import xarray as xr
from distributed import Client

from oceanrecon.errors import OutputError
from oceanrecon.pipeline.profiles import assemble
from oceanrecon.pipeline.profiles.assemble import make_shard
from oceanrecon.pipeline.profiles.assemble import shards_of as shards_of_months
from oceanrecon.pipeline.profiles.locate import find_store
from oceanrecon.pipeline.profiles.schema import ENRICHED, enriched_columns
from oceanrecon.pipeline.profiles.verify import verify_profiles
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.stores.columns import ColumnLayout, ColumnReader
from oceanrecon.stores.files import Root
from oceanrecon.stores.steps import read_steps
from tests.archives import copied, files_of, litter
from tests.clocks import wait_for
from tests.pipeline.profiles.tiny import (
    EPOCH,
    config_of,
    data_of,
    en4_name,
    enrich,
    manifest_of,
    settings,
    shards_of,
    threads,
    write_month,
    write_sources,
)
from tests.profile_files import truncate, write_en4

#: The command, with small shards: half-way is then a long time.
PROGRAM = """
from oceanrecon.stores.columns import ColumnLayout
*first, _, _ = ColumnLayout.__init__.__defaults__
ColumnLayout.__init__.__defaults__ = (*first, 16, 48)
from oceanrecon.cli import main
main()
"""
LONG = [f"{2010 + n // 12}-{n % 12 + 1:02d}" for n in range(18)]


def inodes(output: Path, folder: str = ENRICHED) -> dict[str, int]:
    return {path.relative_to(output).as_posix(): path.stat().st_ino for path in (output / folder).rglob("*")
            if path.is_file()}  # fmt: skip


def months_of(output: Path) -> list[str]:
    return sorted(path.stem for path in (output / "receipts/months").glob("*.json"))


def rows_of(output: Path) -> dict[str, int]:
    """Rows by month, from the store."""
    dates = ColumnReader(Root(str(output)), ENRICHED).read(["profile_date"])["profile_date"] // 100
    return {f"{month // 100}-{month % 100:02d}": int((dates == month).sum()) for month in np.unique(dates).tolist()}


def first_day(month: str) -> int:
    return (dt.date.fromisoformat(f"{month}-01") - EPOCH).days


# -- killed


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources that take long enough to be caught half-way."""
    return write_sources(tmp_path_factory.mktemp("long") / "sources", LONG, 24)


@pytest.fixture(scope="module")
def undisturbed(long: Path) -> Path:
    """A store of them by one worker."""
    output = long.parent / "undisturbed"
    with pytest.MonkeyPatch.context() as patched, threads(1) as one:
        shards_of(patched, 16, 48)
        assert enrich(settings(long, output), one).complete
    return output


def test_four_workers_write_the_bytes_of_one(
    long: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards_of(monkeypatch, 16, 48)
    with threads(4) as four:
        assert enrich(settings(long, tmp_path / "out"), four).complete
    assert receipts(undisturbed, "shards") >= 8
    assert data_of(tmp_path / "out") == data_of(undisturbed)
    assert manifest_of(tmp_path / "out") == manifest_of(undisturbed)
    assert not litter(tmp_path / "out")


def receipts(output: Path, kind: str) -> int:
    return len(list((output / "receipts" / kind).glob("*.json")))


def start(config: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "profiles", "enrich", str(config), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if any("spawn_main" in word for word in child.cmdline())]


def check_whole(output: Path, undisturbed: Path) -> None:
    """What has a final name is what an undisturbed run gives, at any moment."""
    for path, content in data_of(output).items():
        if "zarr.json" not in path:
            assert content == (undisturbed / path).read_bytes(), f"{path} is not whole"


def test_killed_workers_and_clients_leave_no_trace(
    long: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    process = start(config_of(settings(long, output), tmp_path))
    try:
        wait_for(lambda: receipts(output, "months") >= 3)
        workers = workers_of(process)
        assert len(workers) == 2
        os.kill(workers[0].pid, signal.SIGKILL)
        before = receipts(output, "months")
        wait_for(lambda: receipts(output, "months") >= before + 3)  # the others carry on
        workers = workers_of(process)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    psutil.wait_procs(workers, timeout=30)
    # months that the killed worker had done may be on their way again, without a receipt meanwhile
    assert 0 < receipts(output, "months") < len(LONG) and receipts(output, "shards") == 0
    check_whole(output, undisturbed)
    assert not (output / "manifest.yaml").exists()
    with pytest.raises(OutputError, match="interrupted"):
        find_store(str(output))

    kept = {path: path.stat().st_mtime_ns for path in (output / "receipts/months").glob("*.json")}
    shards_of(monkeypatch, 16, 48)
    with threads(1) as one:
        result = enrich(settings(long, output), one, how="resume")
    assert (result.months_made, result.months_kept) == (len(LONG) - len(kept), len(kept))
    assert all(path.stat().st_mtime_ns == moment for path, moment in kept.items())
    assert data_of(output) == data_of(undisturbed)
    assert manifest_of(output) == manifest_of(undisturbed)
    assert not litter(output)
    assert files_of(output).keys() == files_of(undisturbed).keys()
    assert verify_profiles(str(output)).good


# -- resumed


def test_where_nothing_changed_nothing_is_written(plain: Path, cruise: Path, client: Client) -> None:
    def there() -> dict[Path, int]:
        files = (path for path in plain.rglob("*") if path.is_file() and path.parent.name != "lease")
        return {path: path.stat().st_mtime_ns for path in files}

    before = there()
    result = enrich(settings(cruise, plain), client, how="resume")
    assert (result.months_made, result.months_kept, result.shards_written) == (0, 4, 0)
    after = there()
    changed = {path.name for path, moment in after.items() if before.get(path) != moment}
    assert changed <= {"manifest.yaml", "profiles.yaml"} and before.keys() == after.keys()
    assert not litter(plain)


def test_a_changed_month_rewrites_from_its_first_row_and_links_keep_the_old(
    cruise: Path, tmp_path: Path, client: Client, small_shards: None
) -> None:
    mine, output, linked = copied(cruise, tmp_path / "sources"), tmp_path / "out", tmp_path / "linked"
    first = enrich(settings(mine, output), client)
    assert first.months_made == 4 and first.profiles == sum(rows_of(output).values()) == 48
    for path in files_of(output, ENRICHED):
        (linked / path).parent.mkdir(parents=True, exist_ok=True)
        os.link(output / path, linked / path)
    before, nodes = files_of(output), inodes(output)
    write_month(mine, "2012-03", 13, seed=9)  # three profiles more: all rows after them move
    again = enrich(settings(mine, output), client, how="resume")
    assert (again.months_made, again.months_kept, again.profiles) == (1, 3, 51)
    # 24 rows of two months: the first of three shards is as it was
    assert again.shards_written == 3 and first.shards_written == 3
    now = inodes(output)
    for path in before:
        if path.startswith(f"{ENRICHED}/") and "/c/" in path and path.split("/")[1] != "glorys_depth":
            same = path.split("/")[3] == "0"
            assert (now.get(path) == nodes[path]) == same, path
    assert {path: (linked / path).read_bytes() for path in files_of(linked)} == {
        path: content for path, content in before.items() if path.startswith(f"{ENRICHED}/")
    }
    fresh = tmp_path / "fresh"
    enrich(settings(mine, fresh), client)
    assert data_of(output) == data_of(fresh)
    assert manifest_of(output) == manifest_of(fresh)
    assert verify_profiles(str(output)).good


def test_a_later_end_date_extends_to_the_store_of_all_dates(
    cruise: Path, plain: Path, tmp_path: Path, client: Client
) -> None:
    output = tmp_path / "out"
    first = enrich(settings(cruise, output, end="2012-02-15"), client)
    assert first.months_made == 2 and first.counts["outside_dates"] > 0
    last = max(ColumnReader(Root(str(output)), ENRICHED).read(["profile_date"])["profile_date"])
    assert 20120201 <= last <= 20120215
    second = enrich(settings(cruise, output), client, how="resume")
    assert (second.months_made, second.months_kept) == (3, 1)  # the month that was cut is made again
    assert data_of(output) == data_of(plain)
    assert manifest_of(output) == manifest_of(plain)


def test_months_before_the_epoch_are_dated_by_the_calendar(tmp_path: Path, client: Client) -> None:
    """EN4 goes back to 1900: its days are negative, and 1900 was no leap year."""
    days = {"1949-12": -0.25, "1900-02": -18203.5, "1950-01": 0.0}  # the last of a month, the last, the first
    for month, day in days.items():
        write_en4(tmp_path / "en4" / en4_name(month), 1, juld=day)
    result = enrich(settings(tmp_path, tmp_path / "out", argo=None), client)
    assert result.complete and result.profiles == 3
    dates = ColumnReader(Root(str(tmp_path / "out")), ENRICHED).read(["profile_date"])["profile_date"]
    assert dates.tolist() == [19000228, 19491231, 19500101]


def test_a_month_that_turns_bad_leaves_the_store_and_comes_back(
    cruise: Path, tmp_path: Path, client: Client, small_shards: None
) -> None:
    mine, output = copied(cruise, tmp_path / "sources"), tmp_path / "out"
    chosen = settings(mine, output)
    enrich(chosen, client)
    whole, rows = files_of(output), rows_of(output)
    bad = mine / "en4" / en4_name("2012-02")
    good = bad.read_bytes(), bad.stat()
    truncate(bad, 0.5)
    result = enrich(chosen, client, how="resume")
    assert [failure.name for failure in result.failures] == ["2012-02"] and bad.name in result.failures[0].message
    assert rows_of(output) == {month: count for month, count in rows.items() if month != "2012-02"}
    assert not (output / "months/2012-02").exists()
    assert {problem.kind for problem in verify_profiles(str(output)).problems} == {"failed"}
    bad.write_bytes(good[0])
    os.utime(bad, ns=(good[1].st_atime_ns, good[1].st_mtime_ns))
    assert enrich(chosen, client, how="resume").complete
    assert data_of(output) == {path: content for path, content in whole.items() if not path.startswith("receipts")
                               and path.partition("/")[0] in (ENRICHED, "months")}  # fmt: skip
    assert not list((output / "failures").rglob("*.json"))
    assert verify_profiles(str(output)).good


class Stopped(Exception):
    """Stands for the power cut."""


def stop_after_a_shard(told: Progress) -> None:
    if told.message.startswith("store: 1 of"):
        raise Stopped


def test_a_store_that_is_being_rewritten_cannot_be_opened(
    cruise: Path, tmp_path: Path, client: Client, small_shards: None
) -> None:
    mine, output = copied(cruise, tmp_path / "sources"), tmp_path / "out"
    enrich(settings(mine, output), client)
    write_month(mine, "2012-01", 13, seed=9)
    with pytest.raises(Stopped):
        enrich(settings(mine, output), client, how="resume", on_progress=stop_after_a_shard)
    with pytest.raises(OutputError, match="not a finished one"):
        ColumnReader(Root(str(output)), ENRICHED)
    with pytest.raises(OutputError, match="interrupted"):
        find_store(str(output))
    assert any(problem.kind == "unfinished" for problem in verify_profiles(str(output)).problems)
    assert enrich(settings(mine, output), client, how="resume").complete
    enrich(settings(mine, tmp_path / "fresh"), client)
    assert data_of(output) == data_of(tmp_path / "fresh")


def test_a_store_that_only_grows_can_be_read_meanwhile(
    cruise: Path, plain: Path, tmp_path: Path, client: Client, small_shards: None
) -> None:
    output = tmp_path / "out"
    enrich(settings(cruise, output, end="2012-02-29"), client)
    before = xr.open_zarr(output / ENRICHED, chunks=None).load()
    with pytest.raises(Stopped):
        enrich(settings(cruise, output), client, how="resume", on_progress=stop_after_a_shard)
    xr.testing.assert_identical(xr.open_zarr(output / ENRICHED, chunks=None).load(), before)
    assert enrich(settings(cruise, output), client, how="resume").complete
    xr.testing.assert_equal(xr.open_zarr(output / ENRICHED, chunks=None), xr.open_zarr(plain / ENRICHED, chunks=None))


def test_a_kill_between_receipt_and_failure_leaves_no_false_failure(
    cruise: Path, tmp_path: Path, client: Client
) -> None:
    output = tmp_path / "out"
    enrich(settings(cruise, output), client)
    failure = {"schema_version": 1, "kind": "months", "name": "2012-02", "error": "SourceError", "message": "was bad"}
    path = output / "failures/months/2012-02.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(failure))
    assert enrich(settings(cruise, output), client, how="resume").complete
    assert manifest_of(output)["failures"] == [] and verify_profiles(str(output)).good


def test_a_shard_that_is_being_replaced_has_no_receipt(
    cruise: Path, plain: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in a rewrite, and the source put back: the old receipt would tell of files that are there no more."""
    output = copied(plain, tmp_path / "out")
    root = Root(str(output))
    months, _ = read_steps(root, "months")
    layout = ColumnLayout(enriched_columns(()), ColumnReader(root, ENRICHED).depth)
    (shard,) = shards_of_months(months.values(), layout)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(assemble, "encode_rows", killed)
        with pytest.raises(KeyboardInterrupt):
            make_shard(shard, layout, root.url, ENRICHED)
    assert read_steps(root, "shards")[0] == {}
    assert enrich(settings(cruise, output), client, how="resume").shards_written == 1
    assert data_of(output) == data_of(plain)


def test_a_bad_file_that_was_taken_away_is_no_failure_any_more(
    cruise: Path, plain: Path, tmp_path: Path, client: Client
) -> None:
    mine, output = copied(cruise, tmp_path / "sources"), tmp_path / "out"
    bad = [write_month(mine, "2012-05"), mine / "argo/6901929_prof.nc"]
    for path in bad:
        truncate(path, 0.5)
    result = enrich(settings(mine, output), client)
    assert sorted(failure.name for failure in result.failures) == ["2012-05", "argo/6901929_prof.nc"]
    for path in bad:
        path.unlink()
    assert enrich(settings(mine, output), client, how="resume").complete
    assert manifest_of(output)["failures"] == [] and verify_profiles(str(output)).good
    assert len(list((output / "months").iterdir())) == 4
    assert data_of(output).keys() == data_of(plain).keys()


def test_a_store_that_shrinks_keeps_nothing_of_what_it_was(tmp_path: Path, client: Client, small_shards: None) -> None:
    """A column that is missing in the middle shards has no files there, and some behind them."""
    folder = tmp_path / "sources"
    for month, psal in (("2012-01", 35.0), ("2012-02", np.nan), ("2012-03", 35.0)):
        write_en4(folder / "en4" / en4_name(month), 24, juld=first_day(month) + np.arange(24) / 2, psal=psal)
    enrich(settings(folder, tmp_path / "out", argo=None), client)
    column = tmp_path / "out" / ENRICHED / "argo_psal_on_glorys_depth/c"
    assert sorted(path.name for path in column.iterdir()) == ["0", "1", "3", "4"]
    for month in ("2012-02", "2012-03"):
        psal = np.nan if month == "2012-02" else 35.0
        write_en4(folder / "en4" / en4_name(month), 2, juld=first_day(month) + np.arange(2), psal=psal)
    enrich(settings(folder, tmp_path / "out", argo=None), client, how="resume")
    enrich(settings(folder, tmp_path / "fresh", argo=None), client)
    assert data_of(tmp_path / "out").keys() == data_of(tmp_path / "fresh").keys()
    assert data_of(tmp_path / "out") == data_of(tmp_path / "fresh")


def test_a_product_that_joins_or_leaves_gives_the_store_of_a_fresh_run(
    cruise: Path, enriched: Path, archive: Path, tmp_path: Path, client: Client
) -> None:
    output = tmp_path / "out"
    enrich(settings(cruise, output, archive, ["glorys"]), client)
    before = data_of(output)
    joined = enrich(settings(cruise, output, archive), client, how="resume")
    assert joined.months_made == 4 and data_of(output) == data_of(enriched)
    enrich(settings(cruise, output, archive, ["glorys"]), client, how="resume")
    assert data_of(output) == before


def test_months_of_other_columns_are_not_mixed_in(cruise: Path, archive: Path, tmp_path: Path, client: Client) -> None:
    """With a later first date and a product more, the older months would lack its columns."""
    output = tmp_path / "out"
    enrich(settings(cruise, output, archive, ["glorys"]), client)
    before = files_of(output)
    with pytest.raises(OutputError, match=r"2 months such as 2012-01 with other columns or depths.*--overwrite"):
        enrich(settings(cruise, output, archive, start="2012-03-01"), client, how="resume")
    assert files_of(output) == before
    kept = enrich(settings(cruise, output, archive, ["glorys"], start="2012-03-01"), client, how="resume")
    assert (kept.months_made, kept.months_kept, kept.profiles) == (0, 2, 48)
    enrich(settings(cruise, output, archive, start="2012-03-01"), client, how="overwrite")
    assert list(rows_of(output)) == ["2012-03", "2012-04"]


def test_a_failure_outside_the_dates_that_are_asked_for_stays(cruise: Path, tmp_path: Path, client: Client) -> None:
    mine, output = copied(cruise, tmp_path / "sources"), tmp_path / "out"
    truncate(mine / "en4" / en4_name("2012-01"), 0.5)
    assert not enrich(settings(mine, output), client).complete
    assert enrich(settings(mine, output, start="2012-02-01"), client, how="resume").complete
    assert [failure["name"] for failure in manifest_of(output)["failures"]] == ["2012-01"]
