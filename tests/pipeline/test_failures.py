"""Risk: one bad file or a full disk ruins an export, passes unnoticed, or leaves numbers where nothing was made."""

from __future__ import annotations

import datetime as dt
import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from distributed import Client

import oceanrecon
from oceanrecon.config import dump_settings
from oceanrecon.errors import ClusterError, OutputError, SourceError
from oceanrecon.pipeline.export import ExportResult
from oceanrecon.pipeline.inventory import update_inventory
from oceanrecon.pipeline.verify import verify
from tests.archives import DAILY, WEEKLY, copied, files_of, glorys, litter, only, sealevel, settings, truncate

Command = Callable[..., tuple[int, str, str]]
SECOND = "20120229"


def run(root: Path, output: Path, client: Client, *, resume: bool = False, **more: Any) -> ExportResult:
    return oceanrecon.export(settings(root, output, **more), client=client, resume=resume)


def failed(result: ExportResult) -> list[tuple[str, str]]:
    return sorted((failure.variable, failure.date) for failure in result.failures)


def is_missing(output: Path, variable: str, date: str) -> list[bool]:
    """Whether a time has no number at all: from zarr, from GeoTIFF, and by plain xarray."""
    day = np.datetime64(f"{date[:4]}-{date[4:6]}-{date[6:]}")
    datasets = [oceanrecon.open_export(str(output), source="zarr"), xr.open_zarr(output / "dense.zarr")]
    if (output / "rasters").exists():
        datasets.append(oceanrecon.open_export(str(output), source="geotiff"))
    return [bool(dataset[variable].sel(time=day).isnull().all()) for dataset in datasets]


def reanalysis_of(archive: Path, date: dt.date) -> Path:
    (found,) = (archive / "glorys").glob(f"*_mean_{date:%Y%m%d}_*.nc")
    return found


def surface_of(archive: Path, product: str, date: dt.date) -> Path:
    (found,) = (path for path in (archive / product).glob("*.nc") if f"{date:%Y%m%d}" in path.name)
    return found


def damage(path: Path) -> None:
    """Change bytes inside the compressed data, keeping size and times."""
    import h5py

    with h5py.File(path, "r") as file:
        name = next(name for name in ("thetao", "analysed_sst", "adt", "sos") if name in file)
        chunk = file[name].id.get_chunk_info(0)
    times = path.stat()
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset + chunk.size // 3)
        stream.write(b"\xff" * (chunk.size // 3))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_truncated_reanalysis_file_fails_its_date_alone_and_is_made_once_mended(
    archive: Path, exported: Path, tmp_path: Path, client: Client
) -> None:
    mine, output = copied(archive, tmp_path / "archive"), tmp_path / "export"
    bad = reanalysis_of(mine, WEEKLY[1])
    truncate(bad)
    result = run(mine, output, client)
    assert failed(result) == [("so", SECOND), ("thetao", SECOND)]
    assert all(bad.name in failure.message and "truncated" in failure.message for failure in result.failures)
    assert result.written == 16 and not result.complete
    for variable in ("thetao", "so"):
        assert all(is_missing(output, variable, SECOND))
        assert not any(is_missing(output, variable, "20120307"))
    assert not any(is_missing(output, "adt", SECOND))
    manifest = yaml.safe_load((output / "manifest.yaml").read_text())
    assert manifest["target_dates"] == [20120222, 20120229, 20120307]
    assert [(f["variable"], f["date"]) for f in manifest["failures"]] == [("so", SECOND), ("thetao", SECOND)]
    assert {problem.kind for problem in verify(str(output)).problems} == {"failed"}

    shutil.copy2(reanalysis_of(archive, WEEKLY[1]), bad)
    before = {path: path.stat().st_mtime_ns for path in (output / "receipts").rglob("*.json")}
    result = run(mine, output, client, resume=True)
    assert (result.written, result.kept, result.failures) == (2, 16, ())
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert not list((output / "failures").rglob("*.json"))
    for folders in (("rasters", "dense.zarr"), ("masks",)):
        assert files_of(output, *folders) == files_of(exported, *folders)
    assert verify(str(output)).good


def test_a_truncated_day_fails_the_windows_that_need_it(archive: Path, tmp_path: Path, client: Client) -> None:
    mine, output = copied(archive, tmp_path / "archive"), tmp_path / "export"
    bad = surface_of(mine, "ostia", dt.date(2012, 2, 26))  # three days before the second target
    truncate(bad)
    result = run(mine, output, client)
    assert failed(result) == [("analysed_sst", SECOND)]
    assert bad.name in result.failures[0].message
    assert all(is_missing(output, "analysed_sst", SECOND))


@pytest.mark.parametrize(
    ("product", "date", "blocks"),
    [("glorys", WEEKLY[0], [("thetao", "20120222")]), ("sealevel", dt.date(2012, 3, 4), [("adt", "20120307")])],
)
def test_damage_inside_a_file_is_never_exported(
    archive: Path, tmp_path: Path, client: Client, product: str, date: dt.date, blocks: list[tuple[str, str]]
) -> None:
    mine, output = copied(archive, tmp_path / "archive"), tmp_path / "export"
    bad = reanalysis_of(mine, date) if product == "glorys" else surface_of(mine, product, date)
    damage(bad)
    result = run(mine, output, client)
    assert failed(result) == blocks
    assert bad.name in result.failures[0].message and "damaged" in result.failures[0].message
    assert all(all(is_missing(output, variable, day)) for variable, day in blocks)
    # the land mask comes from a block that could be read
    assert (output / "masks/land_mask.tif").exists()
    assert yaml.safe_load((output / "manifest.yaml").read_text())["grid"]["source"] == "masks/land_mask.tif"


def test_files_that_changed_or_went_since_the_inventory_are_not_used(
    archive: Path, tmp_path: Path, client: Client
) -> None:
    mine, output = copied(archive, tmp_path / "archive"), tmp_path / "export"
    inventory = tmp_path / "inventory.parquet"
    update_inventory(str(mine), str(inventory))
    reanalysis_of(mine, WEEKLY[2]).unlink()
    sealevel(mine, dt.date(2012, 2, 27), raised=0.2)
    source = {"root": str(mine), "products": dict.fromkeys(["glorys", "sealevel"]), "inventory": str(inventory)}
    result = run(mine, output, client, archive=source)
    assert failed(result) == [("adt", SECOND), ("so", "20120307"), ("thetao", "20120307")]
    why = {failure.variable: failure.message for failure in result.failures}
    assert "changed since it was listed" in why["adt"]
    assert "does not exist any more" in why["so"] and "does not exist any more" in why["thetao"]
    assert all("oceanrecon inventory" in message for message in why.values())


def test_a_source_that_turns_bad_takes_its_old_numbers_with_it(archive: Path, tmp_path: Path, client: Client) -> None:
    """A failed time reads as missing, also where an earlier run had made it from other bytes."""
    mine, output = copied(archive, tmp_path / "archive"), tmp_path / "export"
    source = only("glorys", archive=mine)
    run(mine, output, client, archive=source)
    bad = reanalysis_of(mine, WEEKLY[1])
    damage(bad)
    os.utime(bad)
    result = run(mine, output, client, resume=True, archive=source)
    assert (failed(result), result.kept) == ([("thetao", SECOND)], 4)
    assert all(is_missing(output, "thetao", SECOND))
    assert {problem.kind for problem in verify(str(output)).problems} == {"failed"}


def test_too_few_days_are_a_recorded_failure(archive: Path, tmp_path: Path, client: Client) -> None:
    result = run(archive, tmp_path / "export", client, minimum_files=7)
    # the archive ends two days after the last target
    assert failed(result) == [(name, "20120307") for name in ("adt", "analysed_sst", "dos", "sos")]
    assert "6 of the 7 files around 2012-03-07" in result.failures[0].message
    assert all(is_missing(tmp_path / "export", "adt", "20120307"))


def test_no_day_at_all_is_never_a_blank_raster(archive: Path, tmp_path: Path, client: Client) -> None:
    dates = ["2012-02-29", "2012-04-01"]
    result = run(archive, tmp_path / "export", client, targets={"dates": dates})
    assert len(result.failures) == 6 and {failure.date for failure in result.failures} == {"20120401"}
    assert not list((tmp_path / "export").rglob("*_20120401.tif"))
    assert all(is_missing(tmp_path / "export", "sos", "20120401"))


def test_the_command_shows_what_failed_and_why(
    archive: Path, tmp_path: Path, command: Command, shared_cluster: None
) -> None:
    mine = copied(archive, tmp_path / "archive")
    truncate(reanalysis_of(mine, WEEKLY[1]))
    config = tmp_path / "config.yaml"
    config.write_text(dump_settings(settings(mine, tmp_path / "export")))
    code, out, err = command("export", config)
    assert code == 1
    assert "2 blocks failed" in out and "thetao" in out and SECOND in out and "truncated" in out
    assert "--resume" in err and "Traceback" not in out + err
    code, out, _ = command("inspect", tmp_path / "export")
    assert code == 0 and "truncated" in out


def test_the_lazy_archive_says_which_file_is_bad(archive: Path, tmp_path: Path) -> None:
    mine = copied(archive, tmp_path / "archive")
    bad = reanalysis_of(mine, WEEKLY[0])
    damage(bad)
    lazy = oceanrecon.open_archive(str(mine), products=["glorys"], grid=None)
    with pytest.raises(SourceError, match=bad.name):
        lazy["thetao"].isel(time=0, depth=0).compute(scheduler="sync")


def test_a_full_disk_stops_the_run_and_a_later_one_finishes_it(
    archive: Path, exported: Path, tmp_path: Path, client: Client
) -> None:
    output = tmp_path / "export"

    def fill(limit: int | None) -> None:
        """In a worker: the disk is full after so many more bytes."""
        from oceanrecon.stores import files

        original = getattr(files, "_unpatched", files._write_local)
        files._unpatched = original  # type: ignore[attr-defined]
        room = [limit]

        def write(folder: Path, path: Path, data: bytes | memoryview) -> None:
            if room[0] is not None:
                room[0] -= len(data)
                if room[0] < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            original(folder, path, data)

        files._write_local = write

    client.run(fill, 60_000)
    try:
        with pytest.raises(OutputError, match=r"the disk is full.*--resume"):
            run(archive, output, client)
    finally:
        client.run(fill, None)
    done = len(list((output / "receipts").rglob("*.json")))
    assert 0 < done < 18
    assert not litter(output)
    for path, content in files_of(output, "rasters", "dense.zarr", "masks").items():
        assert (exported / path).read_bytes() == content, path
    result = run(archive, output, client, resume=True)
    assert (result.kept, result.written) == (done, 18 - done)
    assert files_of(output, "rasters", "dense.zarr", "masks") == files_of(exported, "rasters", "dense.zarr", "masks")


def test_a_disk_that_is_really_full(archive: Path, exported: Path, tmp_path: Path) -> None:
    disk, config = tmp_path / "disk", tmp_path / "config.yaml"
    disk.mkdir()
    config.write_text(dump_settings(settings(archive, disk / "export")))
    program = Path(sys.executable).parent / "oceanrecon"
    mount = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    small = f"mount -t tmpfs -o size=200k tmpfs {disk} && "
    if subprocess.run([*mount, f"{small} true"], capture_output=True, check=False).returncode:
        pytest.skip("no small file system can be mounted here")
    script = f"{small} {program} export {config}; echo code $?; find {disk} -type f | sort; cd /; umount {disk}"
    ran = subprocess.run([*mount, script], capture_output=True, text=True, timeout=120, check=False)
    assert "code 1" in ran.stdout
    assert "Traceback" not in ran.stderr
    (told,) = (line for line in ran.stderr.splitlines() if "error:" in line)
    assert "disk is full" in told and "--resume" in told
    assert "manifest.yaml" not in ran.stdout.partition("code 1")[2] and ".staging" not in ran.stdout


def test_an_output_that_cannot_be_written(
    archive: Path, tmp_path: Path, command: Command, shared_cluster: None
) -> None:
    (tmp_path / "file").write_text("mine")
    config = tmp_path / "config.yaml"
    config.write_text(dump_settings(settings(archive, tmp_path / "file" / "export")))
    code, out, err = command("export", config)
    assert code == 1 and re.match(r"error: cannot (read|write) .*Not a directory", err)
    assert "Traceback" not in err + out
    assert (tmp_path / "file").read_text() == "mine"


def test_a_scheduler_that_does_not_answer(archive: Path, tmp_path: Path, command: Command) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(dump_settings(settings(archive, tmp_path / "export")))
    for address, said in {
        "tcp://127.0.0.1:9": "the scheduler tcp://127.0.0.1:9 does not answer",
        "nonsense://somewhere": "'nonsense://somewhere' is not the address of a scheduler",
    }.items():
        code, out, err = command("export", config, "--scheduler", address)
        assert code == 1 and err.startswith(f"error: {said}") and "Traceback" not in err + out
    code, _, err = command("export", config, "--scheduler", "tls://127.0.0.1:9", "--tls", tmp_path / "none")
    assert code == 1 and err.startswith(f"error: no folder of certificates at {tmp_path / 'none'}")
    assert not (tmp_path / "export").exists()


def test_a_cluster_that_goes_away_is_one_message(archive: Path, tmp_path: Path) -> None:
    from oceanrecon.config import ClusterSettings
    from oceanrecon.pipeline.tasks import Progress
    from oceanrecon.service.connect import connect

    with connect(None, ClusterSettings(workers=1, dashboard="127.0.0.1:0")) as mine:

        def stop(_: Progress) -> None:
            if mine.cluster is not None:
                mine.cluster.close(timeout=60)

        with pytest.raises(ClusterError, match="--resume"):
            oceanrecon.export(settings(archive, tmp_path / "export"), client=mine, on_progress=stop)
    assert not litter(tmp_path / "export")


def test_a_date_is_not_taken_from_a_neighbour_because_its_own_file_is_bad(archive: Path, tmp_path: Path) -> None:
    from oceanrecon.pipeline.plan import plan

    mine = copied(archive, tmp_path / "archive")
    truncate(glorys(mine, dt.date(2012, 2, 28)))
    planned = plan(settings(mine, tmp_path / "export", archive=only("glorys", archive=mine)))
    assert [f"{gap.variable} {gap.date}" for gap in planned.missing] == ["thetao 2012-02-28", "so 2012-02-28"]
    assert len(planned.blocks) == 2 * len(WEEKLY)
    assert DAILY[0] not in planned.targets
