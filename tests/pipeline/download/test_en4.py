"""Risk: an archive that is damaged is unpacked into months that look whole."""

from __future__ import annotations

import datetime as dt
import errno
import io
import shutil
import zipfile
from pathlib import Path

import pytest

from oceanrecon.download_config import En4Settings
from oceanrecon.errors import OutputError
from oceanrecon.pipeline.download.attempts import Manner
from oceanrecon.pipeline.download.en4 import En4Source
from oceanrecon.pipeline.download.received import Received
from oceanrecon.pipeline.download.remote import Listing, Outcome
from tests.pipeline.download.servers import Site

FIRST, LAST = dt.date(2022, 12, 25), dt.date(2023, 1, 7)
MONTHS = {f"EN.4.2.2.f.profiles.g10.2022{month:02}.nc": bytes([month]) * 5000 for month in (11, 12)}


def packed(folder: str = "") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in MONTHS.items():
            archive.writestr(f"{folder}{name}", content)
    return file.getvalue()


def run(site: Site, folder: Path, manner: Manner) -> tuple[Listing, list[Outcome]]:
    received = Received(folder)
    source = En4Source(
        En4Settings(urls=(f"{site.url}/old/EN.{{year}}.zip", f"{site.url}/EN.{{year}}.zip")), received, manner
    )
    (listing,) = source.listings(FIRST, LAST)
    new = [file for file in listing.files if not received.has(file)]
    outcomes = [one for file in new for one in source.fetch([file])]
    return listing, [*outcomes, *source.finish(listing.files, frozenset())]


def test_years_are_unpacked_once_and_a_year_that_is_not_there_is_said(
    site: Site, tmp_path: Path, manner: Manner
) -> None:
    site.files["/EN.2022.zip"] = packed("../")
    listing, outcomes = run(site, tmp_path, manner)
    assert listing.missing == (dt.date(2023, 1, 1),) and listing.notes == ("en4 has no archive of 2023",)
    assert [outcome.status for outcome in outcomes] == ["fetched", "made", "made"]
    for name, content in MONTHS.items():
        assert (tmp_path / "en4" / name).read_bytes() == content
    assert not list(tmp_path.glob("*.nc")) and not list(tmp_path.parent.glob("*.nc"))
    (tmp_path / "en4" / next(iter(MONTHS))).write_bytes(b"spoilt")
    assert [outcome.status for outcome in run(site, tmp_path, manner)[1]] == ["made", "kept"]


def test_a_damaged_archive_is_a_failure_is_removed_and_comes_again(site: Site, tmp_path: Path, manner: Manner) -> None:
    whole = packed()
    place = whole.index(MONTHS["EN.4.2.2.f.profiles.g10.202212.nc"]) + 100
    site.files["/EN.2022.zip"] = whole[:place] + b"\xff" + whole[place + 1 :]
    _, outcomes = run(site, tmp_path, manner)
    assert [outcome.status for outcome in outcomes] == ["fetched", "made", "failed"]
    assert [path.name for path in (tmp_path / "en4").glob("*.nc")] == ["EN.4.2.2.f.profiles.g10.202211.nc"]
    site.files["/EN.2022.zip"] = whole
    _, outcomes = run(site, tmp_path, manner)
    assert [outcome.status for outcome in outcomes] == ["fetched", "made", "made"]


@pytest.mark.parametrize("fault", ["encrypted", "unknown method", "odd name", "no profiles"])
def test_an_archive_that_is_not_supported_is_a_failure_and_does_not_come_again(
    site: Site, tmp_path: Path, manner: Manner, fault: str
) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr({"odd name": "a\\..\\b.nc", "no profiles": "readme.txt"}.get(fault, "a.nc"), b"profiles")
    content = bytearray(file.getvalue())
    directory = content.index(b"PK\1\2")
    content[directory + 8] |= fault == "encrypted"
    content[directory + 10] = 97 if fault == "unknown method" else content[directory + 10]
    site.files["/EN.2022.zip"] = bytes(content)
    for statuses in (["fetched", "failed"], ["failed"]):
        _, outcomes = run(site, tmp_path, manner)
        assert [outcome.status for outcome in outcomes] == statuses
        assert "cannot be unpacked" in str(outcomes[-1].error) and "en4_2022.zip to fetch" in str(outcomes[-1].error)
    assert not list(tmp_path.rglob("*.nc"))


def test_a_damaged_lzma_archive_comes_again(site: Site, tmp_path: Path, manner: Manner) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.nc", b"x" * 5000)
    content = bytearray(file.getvalue())
    content[60] ^= 0xFF
    site.files["/EN.2022.zip"] = bytes(content)
    _, outcomes = run(site, tmp_path, manner)
    assert outcomes[-1].status == "failed" and "it is removed" in str(outcomes[-1].error)
    assert [path.name for path in (tmp_path / "en4").iterdir()] == []


def test_an_archive_that_would_fill_the_disk_is_not_unpacked(
    site: Site, tmp_path: Path, manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["/EN.2022.zip"] = packed()
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage._replace(free=9_999))
        _, outcomes = run(site, tmp_path, manner)
    assert [outcome.status for outcome in outcomes] == ["fetched", "failed"]
    assert "its files take 10,000 bytes" in str(outcomes[-1].error) and not list(tmp_path.rglob("*.nc"))
    assert [outcome.status for outcome in run(site, tmp_path, manner)[1]] == ["made", "made"]


def test_a_full_disk_ends_the_run_and_the_archive_stays(
    site: Site, tmp_path: Path, manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    site.files["/EN.2022.zip"] = packed()
    with monkeypatch.context() as patched, pytest.raises(OutputError, match="the disk is full"):
        patched.setattr(shutil, "copyfileobj", full)
        run(site, tmp_path, manner)
    assert [path.name for path in (tmp_path / "en4").iterdir()] == ["en4_2022.zip"]
