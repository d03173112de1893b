"""Risk: one bad file or a full disk ruins a store, passes unnoticed, or somebody's files are lost."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
import yaml
from distributed import Client

from oceanrecon.errors import ArchiveError, ClusterError, LeaseError, OutputError, SourceError
from oceanrecon.pipeline.profiles.month import record_failure
from oceanrecon.pipeline.profiles.plan import plan_profiles
from oceanrecon.pipeline.profiles.schema import ENRICHED
from oceanrecon.pipeline.profiles.verify import verify_profiles
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.stores.files import Root
from oceanrecon.stores.steps import read_steps
from tests.archives import copied, files_of, litter
from tests.pipeline.profiles.tiny import (
    MONTHS,
    config_of,
    data_of,
    en4_name,
    enrich,
    manifest_of,
    settings,
    write_month,
    write_sources,
)
from tests.profile_files import truncate, write_argo, write_en4

Command = Callable[..., tuple[int, str, str]]
#: Month -> what is wrong with its file, and words that must be said.
BAD = {
    "2012-05": ("truncated", "classic"), "2012-06": ("truncated",), "2012-07": ("PSAL_CORRECTED",),
}  # fmt: skip


@pytest.fixture
def mine(cruise: Path, tmp_path: Path) -> Path:
    return copied(cruise, tmp_path / "sources")


def test_every_bad_month_is_named_and_the_others_are_complete(
    mine: Path, plain: Path, tmp_path: Path, command: Command, shared_cluster: None
) -> None:
    en4 = mine / "en4"
    truncate(write_month(mine, "2012-05"), 0.7)  # NetCDF 3
    truncate(write_month(mine, "2012-06"), 0.7)  # NetCDF 4
    write_en4(en4 / en4_name("2012-07"), without=["PSAL_CORRECTED"])
    write_en4(en4 / en4_name("2012-08"), profiles=0)
    write_en4(en4 / en4_name("2012-09"), 1, juld=22889.5, temp_qc="11X?")
    (en4 / en4_name("2012-10")).write_bytes(b"<html>not found</html>")
    output = tmp_path / "out"
    code, out, err = command("profiles", "enrich", config_of(settings(mine, output), tmp_path))
    assert code == 1 and "Traceback" not in out + err
    told = " ".join(out.split())
    for month in ("2012-05", "2012-06", "2012-07", "2012-10"):
        assert month in told and en4_name(month)[:20] in told
    assert "4 failed" in told and "PSAL_CORRECTED" in told and "truncated" in told and "--resume" in err
    # an empty month and a strange flag fail nothing, and are told
    assert "201208" in told and "201209" in told and "TEMP_QC" in told
    manifest = manifest_of(output)
    assert [failure["name"] for failure in manifest["failures"]] == ["2012-05", "2012-06", "2012-07", "2012-10"]
    assert list(manifest["months"]) == [*MONTHS, "2012-08", "2012-09"]
    assert manifest["months"]["2012-08"]["counts"]["accepted"] == 0
    assert any("no profiles" in note for note in manifest["months"]["2012-08"]["notes"])
    notes = manifest["months"]["2012-09"]["notes"]
    assert len(notes) == 2 and all(en4_name("2012-09") in note and "TEMP_QC" in note for note in notes)
    assert sorted(strange for note in notes for strange in ("'X'", "'?'") if strange in note) == ["'?'", "'X'"]
    strange = xr.open_zarr(output / ENRICHED, chunks=None).isel(profile=-1)
    assert int(strange["profile_date"]) == 20120901
    assert np.isfinite(strange["argo_potm_on_glorys_depth"].values).tolist() == [False, True, False]
    assert not np.isfinite(strange["argo_temp_on_glorys_depth"].values).any()

    for month in MONTHS:  # as if there were no others
        assert files_of(output, f"months/{month}") == files_of(plain, f"months/{month}")
    assert {problem.kind for problem in verify_profiles(str(output)).problems} == {"failed"}


def test_a_bad_gridded_file_fails_the_months_that_need_it(
    cruise: Path, archive: Path, enriched: Path, tmp_path: Path, client: Client
) -> None:
    fields, output = copied(archive, tmp_path / "archive"), tmp_path / "out"
    bad = next((fields / "glorys").glob("*_mean_20120307_*"))
    good = bad.read_bytes(), bad.stat()
    truncate(bad, 0.6)
    result = enrich(settings(cruise, output, fields), client)
    assert [failure.name for failure in result.failures] == ["2012-03"]
    assert bad.name in result.failures[0].message and "truncated" in result.failures[0].message
    dates = xr.open_zarr(output / ENRICHED, chunks=None)["profile_date"].values // 100
    assert set(dates.tolist()) == {201201, 201202, 201204}  # the nearest of February are 02-22 and 02-29
    bad.write_bytes(good[0])
    os.utime(bad, ns=(good[1].st_atime_ns, good[1].st_mtime_ns))
    again = enrich(settings(cruise, output, fields), client, how="resume")
    assert (again.months_made, again.months_kept, again.failures) == (1, 3, ())
    assert data_of(output) == data_of(enriched)


def test_a_gridded_file_with_damage_inside_fails_its_month_by_name(
    cruise: Path, archive: Path, tmp_path: Path, client: Client
) -> None:
    fields = copied(archive, tmp_path / "archive")
    bad = next((fields / "glorys").glob("*_mean_20120307_*"))
    with h5py.File(bad, "r") as file:
        chunks = [file["thetao"].id.get_chunk_info(n) for n in range(file["thetao"].id.get_num_chunks())]
    with bad.open("r+b") as stream:
        for chunk in chunks:
            stream.seek(chunk.byte_offset + chunk.size // 3)
            stream.write(b"\xff" * (chunk.size // 3))
    result = enrich(settings(cruise, tmp_path / "out", fields), client)
    assert [failure.name for failure in result.failures] == ["2012-03"]
    assert bad.name in result.failures[0].message and "damaged" in result.failures[0].message


def test_a_float_whose_levels_are_damaged_spoils_no_month(cruise: Path, tmp_path: Path, client: Client) -> None:
    """Its profiles are those that EN4 has, too: these come back in its place."""
    mine, output = copied(cruise, tmp_path / "sources"), tmp_path / "out"
    (mine / "argo").rename(tmp_path / "argo")
    alone = enrich(settings(mine, tmp_path / "alone", argo=None), client)
    (tmp_path / "argo").rename(mine / "argo")
    for path in (mine / "argo").glob("*.nc"):
        path.unlink()
    path = write_argo(
        mine / "argo" / "6901929_prof.nc", 2, juld=[22705.4, 22735.4], cycle=[1, 2], file_format="NETCDF4",
        zlib=True, latitude=[10.0, 11.0],
    )  # fmt: skip
    with h5py.File(path, "r") as file:
        chunk = file["TEMP_ADJUSTED"].id.get_chunk_info(0)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * chunk.size)
    result = enrich(settings(mine, output), client)
    assert {failure.name for failure in result.failures} == {"argo/6901929_prof.nc"}
    assert result.profiles == alone.profiles > 0
    assert not verify_profiles(str(output)).good
    write_argo(path, 2, juld=[22705.4, 22735.4], cycle=[1, 2], latitude=[10.0, 11.0])
    mended = enrich(settings(mine, output), client, how="resume")
    assert mended.complete and mended.profiles == alone.profiles + 2
    assert verify_profiles(str(output)).good


def test_trouble_of_the_moment_keeps_the_month_that_was_there(cruise: Path, plain: Path, tmp_path: Path) -> None:
    output = copied(plain, tmp_path / "out")
    root = Root(str(output))
    record_failure(root, "2012-03", MemoryError("no memory"))
    assert "2012-03" in read_steps(root, "months")[0] and list((output / "months/2012-03").iterdir())
    record_failure(root, "2012-03", SourceError("truncated"))
    assert "2012-03" not in read_steps(root, "months")[0] and not (output / "months/2012-03").exists()


def test_a_folder_that_cannot_be_read_is_told(cruise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root reads any folder: the system's refusal is put on."""
    mine = copied(cruise, tmp_path / "sources")
    scandir = os.scandir

    def refused(path: str) -> Any:
        if str(path).endswith("argo"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(ArchiveError, match=r"argo cannot be read \(Permission denied\)"):
        plan_profiles(settings(mine, tmp_path / "out"))


def test_no_usable_file_of_a_product_is_one_message(
    cruise: Path, archive: Path, tmp_path: Path, client: Client
) -> None:
    """Nothing is near in time to most months: nothing but the message says that the file is bad."""
    fields = copied(archive, tmp_path / "archive")
    first, *others = sorted((fields / "sealevel").glob("*.nc"))
    for path in others:
        path.unlink()
    truncate(first, 0.6)
    with pytest.raises(ArchiveError, match=f"no file of product 'sealevel' can be used .*{first.name}: truncated"):
        enrich(settings(cruise, tmp_path / "out", fields, ["sealevel"]), client)
    assert not (tmp_path / "out").exists()


def test_a_bad_argo_file_fails_nothing_else(mine: Path, tmp_path: Path, client: Client) -> None:
    truncate(write_argo(mine / "argo/dac/5900001_prof.nc", 3, juld=22670.5), 0.5)
    write_argo(mine / "argo/dac/D5900002_001.nc", without=["PRES"])
    result = enrich(settings(mine, tmp_path / "out"), client)
    assert [failure.name for failure in result.failures] == ["argo/dac/5900001_prof.nc", "argo/dac/D5900002_001.nc"]
    assert "truncated" in result.failures[0].message and "PRES" in result.failures[1].message
    assert result.months_made == 4 and result.profiles == 48
    assert [failure["name"] for failure in manifest_of(tmp_path / "out")["failures"]] == [
        failure.name for failure in result.failures
    ]


def test_a_file_that_changes_after_the_plan_is_not_used(mine: Path, tmp_path: Path, client: Client) -> None:
    changed: list[Path] = []

    def change(_: Client) -> None:
        changed.append(write_month(mine, "2012-04", 12, seed=4))

    from oceanrecon.pipeline.profiles.enrich import run_enrich
    from oceanrecon.pipeline.profiles.plan import plan_profiles

    planned = plan_profiles(settings(mine, tmp_path / "out"))
    change(client)
    result = run_enrich(planned, client)
    assert [failure.name for failure in result.failures] == ["2012-04"]
    assert "changed since it was listed" in result.failures[0].message and changed[0].name in result.failures[0].message
    assert enrich(settings(mine, tmp_path / "out"), client, how="resume").complete


def test_two_runs_do_not_write_to_one_store(cruise: Path, tmp_path: Path, client: Client) -> None:
    chosen = settings(cruise, tmp_path / "out")
    refused = r"out is being written by a run of `oceanrecon profiles enrich` "
    assert enrich(chosen, client).complete
    told: list[Progress] = []

    def second(progress: Progress) -> None:
        told.append(progress)
        with pytest.raises(LeaseError, match=refused):
            enrich(chosen, client, how="overwrite")
        with pytest.raises(LeaseError, match=refused):
            verify_profiles(str(tmp_path / "out"), discard_bad=True)

    assert enrich(chosen, client, how="resume", on_progress=second).complete and told
    assert verify_profiles(str(tmp_path / "out"), discard_bad=True).good  # the first has let go of it


def fill(place: str) -> None:
    """In a worker: the disk is full once a file with this in its path is to be written."""
    from oceanrecon.stores import files

    original = getattr(files, "_unpatched", files._write_local)
    files._unpatched = original  # type: ignore[attr-defined]

    def write(folder: Path, path: Path, data: bytes | memoryview) -> None:
        if place and place in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(folder, path, data)

    files._write_local = write


@pytest.mark.parametrize("place", ["receipts/months/2012-03", "argo_psal_on_glorys_depth/c"])
def test_a_full_disk_stops_the_run_and_a_later_one_finishes_it(
    cruise: Path, plain: Path, tmp_path: Path, client: Client, place: str
) -> None:
    output = tmp_path / "out"
    client.run(fill, place)
    try:
        with pytest.raises(OutputError, match=r"the disk is full.*--resume"):
            enrich(settings(cruise, output), client)
    finally:
        client.run(fill, "")
    assert not litter(output) and not (output / "manifest.yaml").exists()
    assert not (output / ENRICHED / "zarr.json").exists()
    months = len(list((output / "receipts").glob("months/*")))
    assert months == 4 if "argo" in place else 1 <= months <= 3
    for path, content in data_of(output).items():
        assert (plain / path).read_bytes() == content, path
    assert enrich(settings(cruise, output), client, how="resume").months_kept == months
    assert data_of(output) == data_of(plain)


def test_an_output_that_cannot_be_written(cruise: Path, tmp_path: Path, command: Command, shared_cluster: None) -> None:
    (tmp_path / "file").write_text("mine")
    code, out, err = command("profiles", "enrich", config_of(settings(cruise, tmp_path / "file" / "out"), tmp_path))
    assert code == 1 and err.startswith("error: cannot ") and "Not a directory" in err
    assert "Traceback" not in err + out
    assert (tmp_path / "file").read_text() == "mine"


def test_a_scheduler_that_does_not_answer(cruise: Path, tmp_path: Path, command: Command) -> None:
    config = config_of(settings(cruise, tmp_path / "out"), tmp_path)
    code, out, err = command("profiles", "enrich", config, "--scheduler", "tcp://127.0.0.1:9")
    assert code == 1 and err.startswith("error: the scheduler tcp://127.0.0.1:9 does not answer")
    assert "Traceback" not in err + out and not (tmp_path / "out").exists()
    code, _, err = command("profiles", "enrich", config, "--scheduler", "tls://127.0.0.1:9", "--tls", tmp_path / "none")
    assert code == 1 and err.startswith(f"error: no folder of certificates at {tmp_path / 'none'}")


def test_a_cluster_that_goes_away_is_one_message(cruise: Path, tmp_path: Path) -> None:
    from oceanrecon.config import ClusterSettings
    from oceanrecon.service.connect import connect

    with connect(None, ClusterSettings(workers=1, dashboard="127.0.0.1:0")) as alone:

        def stop(_: Progress) -> None:
            if alone.cluster is not None:
                alone.cluster.close(timeout=60)

        with pytest.raises(ClusterError, match="--resume"):
            enrich(settings(cruise, tmp_path / "out"), alone, on_progress=stop)
    assert not litter(tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"en4": {"root": "NOWHERE"}}, "NOWHERE"),
        ({"argo": {"root": "NOWHERE"}}, "NOWHERE"),
        ({"archive": {"root": "NOWHERE", "products": {"glorys": None}}}, "NOWHERE"),
        ({"argo": {"root": "SOURCES/en4"}}, "6901929_prof.nc"),  # what files should be called
        ({"en4": {"root": "SOURCES/en4", "files": "EN.5*"}}, "EN.5*"),
        ({"qualty": "strict"}, "did you mean 'quality'"),
        ({"quality": "good"}, "'standard', 'strict' or 'none'"),
        ({"archive": {"root": "SOURCES", "products": {"glory": None}}}, "glorys"),
        ({"en4": {"rot": "SOURCES"}}, "did you mean 'root'"),
        ({"start": "2012-13-01"}, "2012-13-01"),
        ({"start": "2012-03-01", "end": "2012-02-01"}, "before"),
        ({"start": "2013-01-01"}, "no profile lies between"),
        ({"depth": [10, 5]}, "ascending"),
        ({"max_gap_days": -1}, "max_gap_days"),
        ({"package": {"output": "x", "with_export": True}}, "grid.export"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line_with_a_hint(
    cruise: Path, tmp_path: Path, command: Command, shared_cluster: None, change: dict[str, Any], said: str
) -> None:
    data = yaml.safe_load(config_of(settings(cruise, tmp_path / "out"), tmp_path).read_text()) | change
    text = yaml.safe_dump(data).replace("NOWHERE", str(tmp_path / "NOWHERE")).replace("SOURCES", str(cruise))
    config = tmp_path / "config.yaml"
    config.write_text(text)
    for verb in ("plan", "enrich"):
        code, out, err = command("profiles", verb, config)
        assert code == 1 and err.startswith("error: ") and err.count("\n") == 1
        assert said in err and "Traceback" not in err + out
    assert not (tmp_path / "out").exists()


def test_commands_name_the_section_that_they_need(cruise: Path, tmp_path: Path, command: Command) -> None:
    config = config_of(settings(cruise, tmp_path / "out"), tmp_path)
    for verb, key in (("grid", "grid: {export"), ("package", "package: {output")):
        code, _, err = command("profiles", verb, config)
        assert code == 1 and err.startswith("error: ") and key in err


# -- nobody's files are lost


@pytest.mark.parametrize("folder", ["months/mine", f"{ENRICHED}/mine"])
def test_overwrite_never_removes_what_the_settings_read(tmp_path: Path, client: Client, folder: str) -> None:
    output = tmp_path / "out"
    write_sources(tmp_path / "first", ["2012-01"])
    enrich(settings(tmp_path / "first", output), client)
    write_sources(output / folder, ["2012-02"])
    before = files_of(output)
    with pytest.raises(OutputError, match="--overwrite would remove"):
        enrich(settings(output / folder, output), client, how="overwrite")
    assert files_of(output) == before


def test_overwrite_never_removes_the_inventory_that_is_read(
    cruise: Path, archive: Path, tmp_path: Path, client: Client
) -> None:
    from oceanrecon.pipeline.inventory import update_inventory

    output = tmp_path / "out"
    enrich(settings(cruise, output, archive, ["glorys"]), client)
    inventory = output / "months/inventory.parquet"
    update_inventory(str(archive), str(inventory))
    chosen = {"root": str(archive), "products": {"glorys": None}, "inventory": str(inventory)}
    data = settings(cruise, output, archive).model_dump(mode="json") | {"archive": chosen}
    data = {key: value for key, value in data.items() if value is not None}
    with pytest.raises(OutputError, match=r"would remove .*inventory.parquet"):
        enrich(type(settings(cruise, output)).model_validate(data), client, how="overwrite")
    assert inventory.exists()


@pytest.mark.parametrize("how", ["", "resume", "overwrite"])
def test_a_folder_of_other_files_is_never_touched(cruise: Path, tmp_path: Path, client: Client, how: str) -> None:
    output = tmp_path / "thesis"
    (output / "months").mkdir(parents=True)
    (output / "months/mine.txt").write_text("years of work")
    with pytest.raises(OutputError, match="has files in it but is no profile store"):
        enrich(settings(cruise, output), client, how=how)
    assert files_of(output) == {"months/mine.txt": b"years of work"}


def test_an_export_is_no_profile_store_and_neither_is_the_other(
    cruise: Path, exported: Path, plain: Path, archive: Path, client: Client
) -> None:
    import oceanrecon
    from tests.archives import settings as export_settings

    for how in ("", "resume", "overwrite"):
        with pytest.raises(OutputError, match="has files in it but is no profile store"):
            enrich(settings(cruise, exported), client, how=how)
        with pytest.raises(OutputError, match="has files in it but is no export"):
            oceanrecon.export(
                export_settings(archive, plain), client=client, resume=how == "resume", overwrite=how == "overwrite"
            )


@pytest.mark.parametrize(
    ("change", "named"),
    [({"quality": "strict"}, "quality"), ({"sampling": "all"}, "sampling"), ({"max_gap_days": 3}, "max_gap_days"),
     ({"depth": [1.0, 2.0]}, "depth")],
)  # fmt: skip
def test_other_settings_are_refused_and_change_nothing(
    cruise: Path, plain: Path, client: Client, change: dict[str, Any], named: str
) -> None:
    before = files_of(plain)
    with pytest.raises(OutputError, match=rf"other settings \({named}: .*--overwrite"):
        enrich(settings(cruise, plain, **change), client, how="resume")
    with pytest.raises(OutputError, match="--resume to complete or extend it, or --overwrite"):
        enrich(settings(cruise, plain), client)
    assert files_of(plain) == before


def test_overwrite_leaves_nothing_of_what_was_there(cruise: Path, tmp_path: Path, client: Client) -> None:
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    enrich(settings(cruise, output, quality="none", start="2012-03-01"), client)
    (output / "notes.txt").write_text("a person's own")
    for folder, how in ((output, "overwrite"), (fresh, "")):
        enrich(settings(cruise, folder, end="2012-02-29"), client, how=how)
    assert (output / "notes.txt").read_text() == "a person's own"
    (output / "notes.txt").unlink()
    assert data_of(output) == data_of(fresh) and files_of(output).keys() == files_of(fresh).keys()
    assert manifest_of(output) == manifest_of(fresh)


def test_an_overwrite_that_was_killed_mixes_nothing(
    cruise: Path, plain: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oceanrecon.stores.files import Root

    output = tmp_path / "out"
    enrich(settings(cruise, output, quality="none", end="2012-02-29"), client)
    removed: list[str] = []
    original = Root.remove_tree

    def killed(self: Root, rel: str) -> None:
        if removed:
            raise KeyboardInterrupt
        removed.append(rel)
        original(self, rel)

    with monkeypatch.context() as patched:
        patched.setattr(Root, "remove_tree", killed)
        with pytest.raises(KeyboardInterrupt):
            enrich(settings(cruise, output), client, how="overwrite")
    assert removed == ["receipts"] and (output / ENRICHED).exists()
    enrich(settings(cruise, output), client, how="resume")
    assert data_of(output) == data_of(plain) and not (output / ".overwriting").exists()


def test_the_command_refuses_two_ways_at_once(
    cruise: Path, plain: Path, tmp_path: Path, command: Command, shared_cluster: None
) -> None:
    config = config_of(settings(cruise, plain), tmp_path)
    code, _, err = command("profiles", "enrich", config, "--resume", "--overwrite")
    assert code == 2 and "--resume" in err
    code, _, err = command("profiles", "enrich", config)
    assert code == 1 and err.startswith("error:") and "--overwrite" in err
    code, out, _ = command("profiles", "enrich", config, "--resume", "--json")
    assert code == 0 and '"months_kept": 4' in out


def test_a_plan_tells_what_would_be_done_and_writes_nothing(
    mine: Path, archive: Path, tmp_path: Path, command: Command
) -> None:
    truncate(mine / "argo/6901929_prof.nc", 0.5)
    config = config_of(settings(mine, tmp_path / "out", archive), tmp_path)
    code, out, _ = command("profiles", "plan", config)
    assert code == 0 and "4, 2012-01 to 2012-04" in out and "truncated" in " ".join(out.split())
    assert not (tmp_path / "out").exists()


def test_a_worker_that_is_too_small_is_refused_before_anything_is_written(
    cruise: Path, tmp_path: Path, command: Command
) -> None:
    from oceanrecon.errors import PlanError
    from oceanrecon.pipeline.profiles.plan import check_memory, plan_profiles
    from oceanrecon.pipeline.tasks import more_memory

    planned = plan_profiles(settings(cruise, tmp_path / "out"))
    with pytest.raises(PlanError, match="memory_limit"):
        check_memory(planned, planned.peak_memory - 1, more_memory(None))
    check_memory(planned, planned.peak_memory, more_memory(None))
