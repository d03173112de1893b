"""Risk: one bad source ends a download, a second run fetches all again, a kill loses what was said, a secret leaks."""

from __future__ import annotations

import base64
import datetime as dt
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from oceanrecon.config import parse_settings
from oceanrecon.download_config import DownloadSettings
from oceanrecon.errors import MissingExtraError, OutputError, PlanError
from oceanrecon.pipeline.download.received import Received, alone
from oceanrecon.pipeline.download.redact import Redactor
from oceanrecon.pipeline.download.remote import batches
from oceanrecon.pipeline.download.run import DownloadResult, download
from tests.pipeline.download.catalogue import Catalogue
from tests.pipeline.download.servers import NAME, PASSWORD, Fault, Site, ftp_server
from tests.profile_files import write_argo

MY, INTERIM = "cmems_mod_glo_phy_my_0.083deg_P1D-m", "cmems_mod_glo_phy_myint_0.083deg_P1D-m"
FIRST, LAST = dt.date(2023, 3, 29), dt.date(2023, 4, 6)
DAYS = [FIRST + dt.timedelta(days=number) for number in range(9)]


def settings(output: Path, sources: dict[str, Any], **more: Any) -> DownloadSettings:
    data: dict[str, Any] = {
        "output": str(output), "start": FIRST, "end": LAST, "sources": sources, "tries": 2, "wait_seconds": 0,
        "timeout_seconds": 5,
    }  # fmt: skip
    return parse_settings(DownloadSettings, data | more, "test")


def argo(site: Site, tmp_path: Path) -> dict[str, Any]:
    """A server with the profiles of all days, and the settings of it."""
    for day in DAYS:
        juld = (day - dt.date(1950, 1, 1)).days + 0.5
        site.files[f"/a/{day:%Y%m%d}_prof.nc"] = write_argo(tmp_path / "profiles.nc", juld=juld).read_bytes()
    return {"url": f"{site.url}/{{basin}}/{{date:%Y%m%d}}_prof.nc", "basins": ["a"]}


def report_of(result: DownloadResult) -> dict[str, Any]:
    assert result.report is not None
    report: dict[str, Any] = json.loads(Path(result.report).read_text())
    return report


def test_a_source_that_fails_is_recorded_and_the_others_come(site: Site, catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.add(MY, *DAYS)
    chosen = {"glorys": {}, "l4_ssh": {}, "argo": argo(site, tmp_path), "en4": {"urls": [f"{site.url}/{{year}}.zip"]}}
    site.faults["/a/20230330_prof.nc"] = [Fault(status=403)]
    result = download(settings(tmp_path / "raw", chosen), fetch=True)
    assert {(failure.stream, failure.target) for failure in result.failures} == {
        ("l4_ssh", ""),
        ("argo", "argo_gdac/a/20230330_prof.nc"),
        ("argo", "argo/argo_20230330.nc"),
    }
    assert result.counts == {"fetched": 9 + 8, "made": 8, "kept": 0, "failed": 2}
    report = report_of(result)
    shown = [(entry["dataset"], entry["date_min"], entry["date_max"], entry["status"]) for entry in report["downloads"]]
    assert shown == [
        ("l4_ssh", "2023-03-29", "2023-04-06", "failed"),
        ("glorys", "2023-03-29", "2023-04-04", "success"),
        ("argo", "2023-03-29", "2023-04-04", "partial"),
        ("en4", "2023-03-29", "2023-04-04", "skipped"),
        ("glorys", "2023-04-05", "2023-04-06", "success"),
        ("argo", "2023-04-05", "2023-04-06", "success"),
    ]
    assert report["summary"]["total_errors"] == len(report["errors"]) == 3
    assert {"timestamp", "dataset", "error_type", "error_message", "traceback", "context"} == report["errors"][0].keys()
    glorys = report["downloads"][1]
    assert glorys["bytes"] == sum(file["bytes"] for file in glorys["files"]) > 0
    assert all(len(file["sha256"]) == 64 for file in glorys["files"])
    assert report["summary"]["datasets"]["argo"] == {"attempts": 2, "success": 1, "failed": 0}


def test_a_second_run_does_what_is_missing_damaged_or_new_at_the_source_only(
    site: Site, catalogue: Catalogue, tmp_path: Path
) -> None:
    catalogue.add(MY, *DAYS)
    catalogue.add(INTERIM)
    catalogue.datasets[INTERIM] = {}
    wanted = settings(tmp_path / "raw", {"glorys": {}, "argo": argo(site, tmp_path)})
    first = download(wanted, fetch=True)
    assert not first.failures
    brought = sorted((tmp_path / "raw" / "glorys").rglob("*.nc"))
    brought[0].unlink()
    brought[1].write_bytes(bytes(brought[1].stat().st_size))
    changed = f"/a/{DAYS[4]:%Y%m%d}_prof.nc"
    site.files[changed] = write_argo(tmp_path / "profiles.nc", juld=26760.5, temp=(1.0, 1.0, 1.0, 1.0)).read_bytes()
    site.requests.clear()
    listed = download(wanted)
    assert [len(one.to_fetch) for one in listed.wanted] == [2, 1] and listed.report is None
    second = download(wanted, fetch=True)
    assert second.counts == {"fetched": 3, "made": 1, "kept": 7 + 8 + 8, "failed": 0}
    assert site.asked("GET") == [changed]
    assert catalogue.downloads[-1] == [path.name for path in brought[:2]]
    report = report_of(second)
    assert [entry["status"] for entry in report["downloads"]] == ["success", "success", "skipped", "skipped"]


def test_a_listing_writes_nothing_and_fetches_nothing(site: Site, catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.add(MY, *DAYS)
    catalogue.datasets[INTERIM] = {}
    result = download(settings(tmp_path / "raw", {"glorys": {}, "argo": argo(site, tmp_path)}))
    assert [(one.stream, len(one.to_fetch)) for one in result.wanted] == [("glorys", 9), ("argo", 9)]
    assert not (tmp_path / "raw").exists()
    assert catalogue.downloads == [] and site.asked("GET") == []


def test_a_run_that_is_killed_has_said_what_came_and_the_next_one_goes_on(site: Site, tmp_path: Path) -> None:
    wanted = settings(tmp_path / "raw", {"argo": argo(site, tmp_path)}, connections=1, batch_days=3)
    code = (
        "import sys; from oceanrecon.download_config import DownloadSettings as S\n"
        "from oceanrecon.pipeline.download.run import download\n"
        "download(S.model_validate_json(sys.argv[1]), fetch=True)"
    )
    children: list[subprocess.Popen[bytes]] = []
    site.on_get = lambda path: children[0].kill() if path == f"/a/{DAYS[4]:%Y%m%d}_prof.nc" else None
    children.append(subprocess.Popen([sys.executable, "-c", code, wanted.model_dump_json()]))
    assert children[0].wait(60) == -9
    site.on_get = None
    (report_path,) = (tmp_path / "raw" / "logs").glob("*.json")
    report = json.loads(report_path.read_text())
    assert report["downloads"][0]["status"] == "success" and len(report["downloads"][0]["files"]) == 6
    # of the batch that it was at, the log says each file
    (log,) = (tmp_path / "raw" / "logs").glob("*.log")
    assert log.read_text().count(" fetched argo_gdac/a/") == 4
    result = download(wanted, fetch=True)
    assert result.counts == {"fetched": 5, "made": 6, "kept": 4 + 3, "failed": 0}


@pytest.mark.usefixtures("signed_in")
def test_secrets_are_in_no_file_no_result_and_no_address(
    site: Site, catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPERNICUSMARINE_SERVICE_PASSWORD", "tide&surge")
    login = tmp_path / "login" / ".copernicusmarine" / ".copernicusmarine-credentials"
    login.parent.mkdir(parents=True)
    login.write_bytes(base64.b64encode(b"[credentials]\nusername = jdoe77\npassword = ebb%flow\n"))
    monkeypatch.setenv("COPERNICUSMARINE_CREDENTIALS_DIRECTORY", str(tmp_path / "login"))
    catalogue.add(MY, *DAYS)
    catalogue.datasets[INTERIM] = {}
    # a package that says too much, in three ways
    catalogue.faults = [
        (0, RuntimeError(f"POST https://me:tide%26surge@auth.example/token?password=tide&surge {word}"))
        for word in ("tide&surge by jdoe77", "dGlkZSZzdXJnZQ== ebb%flow")
    ]
    with ftp_server(tmp_path) as ftp, pytest.warns(UserWarning):
        chosen = {
            "glorys": {},
            # this server says the name of the folder, and of the user
            "l3_swot": {"host": "127.0.0.1", "port": ftp.port, "folder": f"/{PASSWORD}", "unencrypted": True},
            "en4": {"urls": [f"{site.url}/{{year}}.zip"]},
        }
        result = download(settings(tmp_path / "raw", chosen, batch_days=5), fetch=True)
    assert {failure.stream for failure in result.failures} == {"glorys", "l3_swot"}
    kept = [path.read_text() for path in (tmp_path / "raw").rglob("*") if path.is_file()]
    said = "\n".join([*kept, repr(result.failures)])
    for secret in ("tide", "surge", "dGlkZSZzdXJnZQ==", "jdoe77", "ebb", "flow", "s3cret", NAME):
        assert secret not in said
    assert "***" in said


def test_what_a_user_may_have_as_a_secret_is_hidden_however_it_is_written() -> None:
    redact = Redactor(["a b+c/d"])
    text = "plain a b+c/d, quoted a%20b%2Bc%2Fd and a+b%2Bc%2Fd, coded YSBiK2MvZA=="
    assert redact(text) == "plain ***, quoted *** and ***, coded ***"
    assert (
        redact("ftp://me:pw@host/x https://you@host/y?token=abc&z=1")
        == "ftp://***@host/x https://***@host/y?token=***&z=1"
    )


@pytest.mark.parametrize(
    "text",
    [
        "password='s3 cret'",
        '{"password": "s3 \'cret", "user": 1}',
        r'{"password": "s3\"cret"}',
        r'"{\"password\": \"s3 cret\"}"',
        "access_token=s3cret",
        "refresh_token: s3cret",
        "{'Authorization': 'Basic s3cret'}",
        "Authorization: Bearer s3cret",
        "https://me:p@s3cret@host/path",
        "GET https://s3.example/bucket?list-type=2&x-cop-user=s3cret",
    ],
)
def test_a_secret_that_nobody_knows_is_hidden_by_what_it_stands_after(text: str) -> None:
    shown = Redactor()(text)
    assert "***" in shown and "s3" not in shown.replace("s3.example", "") and "cret" not in shown
    assert Redactor()("https://host/a compass: north") == "https://host/a compass: north"


def test_spans_of_days_end_with_the_last_day() -> None:
    week = dt.timedelta(days=7)
    assert batches(FIRST, LAST, 7) == [(FIRST, FIRST + week - dt.timedelta(days=1)), (FIRST + week, LAST)]
    assert batches(LAST, LAST, 7) == [(LAST, LAST)]


def test_a_download_that_cannot_be_is_refused_before_it_begins(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "raw"
    wanted = settings(output, {"argo": argo(site, tmp_path)})
    with alone(output), pytest.raises(OutputError, match="another download writes into"):
        download(wanted, fetch=True)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(PlanError, match="has 1,000 left"):
        download(wanted, fetch=True)
    assert not list(output.rglob("*.nc"))
    monkeypatch.setitem(sys.modules, "copernicusmarine", None)
    with pytest.raises(MissingExtraError, match=r"-e '\.\[download\]'"):
        download(settings(output, {"glorys": {}}))


def test_a_name_that_leads_out_of_the_folder_makes_its_source_fail_and_the_others_come(
    site: Site, catalogue: Catalogue, tmp_path: Path
) -> None:
    catalogue.add(MY, FIRST, name="../../../../../../mercatorglorys12v1_gl12_mean_{day}_R20240101.nc")
    catalogue.datasets[INTERIM] = {}
    result = download(settings(tmp_path / "raw", {"glorys": {}, "argo": argo(site, tmp_path)}), fetch=True)
    (failure,) = result.failures
    assert failure.stream == "glorys" and "is not a path inside" in failure.message
    assert result.counts == {"fetched": 9, "made": 9, "kept": 0, "failed": 0}
    assert report_of(result)["downloads"][0]["status"] == "failed"


def test_a_disk_that_is_full_when_the_report_is_written_is_said(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.fsync

    def full(number: int) -> None:
        if "download_report" in os.readlink(f"/proc/self/fd/{number}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        really(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        download(settings(tmp_path / "raw", {"argo": argo(site, tmp_path)}), fetch=True)


def test_a_part_needs_no_space_for_what_it_has(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = settings(tmp_path / "raw", {"argo": argo(site, tmp_path)}, end=FIRST, tries=1)
    path = f"/a/{FIRST:%Y%m%d}_prof.nc"
    size = len(site.files[path])
    site.faults[path] = [Fault(cut=size - 100)]
    assert len(download(wanted, fetch=True).failures) == 2
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    assert download(wanted, fetch=True).counts == {"fetched": 1, "made": 1, "kept": 0, "failed": 0}


def test_an_interrupt_leaves_no_thread_that_writes(site: Site, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    wanted = settings(tmp_path / "raw", {"argo": argo(site, tmp_path)}, connections=2, batch_days=9)
    site.on_get = lambda _: time.sleep(0.5)
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt) as raised:
        download(wanted, fetch=True, on_progress=interrupt)
    # its frames hold what was at work, so that only what is closed has ended
    assert raised.tb is not None
    started = set(threading.enumerate()) - before
    assert not [thread.name for thread in started if thread.name.startswith("ThreadPoolExecutor")]
    assert len(site.asked("GET")) < 9


def test_a_torn_last_line_of_the_record_costs_its_file_only(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_bytes(b"a")
    (tmp_path / "b.nc").write_bytes(b"b")
    received = Received(tmp_path)
    received.add("a.nc", "1")
    received.add("b.nc", "1")
    path = tmp_path / ".download" / "received.jsonl"
    os.truncate(path, path.stat().st_size - 5)
    again = Received(tmp_path)
    assert again.record("a.nc") is not None and again.record("b.nc") is None
    again.add("b.nc", "1")
    assert Received(tmp_path).record("b.nc") is not None
