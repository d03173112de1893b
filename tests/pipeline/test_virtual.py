"""Risk: an export that reads through references has other bytes, or a bad file spoils the references to the others."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import fsspec
import numpy as np
import pytest
import xarray as xr
from distributed import Client

import oceanrecon
from oceanrecon.errors import MissingExtraError, OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline import virtual
from oceanrecon.pipeline.explain import explain
from oceanrecon.pipeline.inventory import update_inventory
from oceanrecon.pipeline.verify import verify
from oceanrecon.pipeline.virtual import virtualize
from tests.archives import DAILY, PRODUCTS, WEEKLY, copied, files_of, settings, sss, truncate

Command = Callable[..., tuple[int, str, str]]
PAGE = Path(__file__).parents[2] / "docs" / "virtual.md"


def test_an_export_through_references_has_the_same_bytes(
    archive: Path, exported: Path, client: Client, tmp_path: Path
) -> None:
    store = virtualize(str(archive), str(tmp_path / "references")).output
    files = {"root": str(archive), "inventory": store, "products": dict.fromkeys(PRODUCTS)}
    output = tmp_path / "export"
    assert oceanrecon.export(settings(archive, output, archive=files), client=client).complete
    folders = ("rasters", "dense.zarr", "masks")
    assert files_of(output, *folders) == files_of(exported, *folders)
    again = oceanrecon.export(settings(archive, output, archive=files), client=client, resume=True)
    assert again.written == 0
    assert verify(str(output)).good
    assert explain(str(output), "adt", str(WEEKLY[1]), 179.9, 0.5).agrees


def test_a_bad_file_is_told_and_the_others_are_referred_to(
    archive: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, store = copied(archive, tmp_path / "archive"), tmp_path / "references"
    files = sorted((mine / "sss").iterdir())
    truncate(files[2])
    monkeypatch.setattr(virtual, "_BATCH", 20)  # several processes
    code, out, err = command("virtualize", mine, "--output", store, "--workers", 2)
    assert code == 1, out + err
    assert "20 files, 2012-02-19 .. 2012-03-09" in out
    assert re.search(r"1 files with problems(.|\n)*sss/dataset.*truncated", out)
    assert "62 files read, 0 as they were" in out
    code, out, _ = command("virtualize", mine, "--output", store, "--json")
    told = json.loads(out)
    assert code == 1
    assert (told["read"], told["kept"], len(told["problems"])) == (0, 62, 1)
    assert [group["files"] for group in told["groups"]] == [3, 20, 20, 19]
    files[2].unlink()
    sss(mine, DAILY[2])
    code, out, _ = command("virtualize", mine, "--output", store)
    assert (code, "1 files read, 62 as they were" in out) == (0, True), out


def test_a_file_that_cannot_be_read_now_is_tried_again(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oceanrecon.sources import virtualize as finding

    mine = copied(archive, tmp_path / "archive")
    parsed, bad = finding._parsed, "ostia"

    def fails(handle: Any, others: Any) -> dict[str, Any]:
        if bad in handle.name:
            raise OSError("the disk is away")
        return parsed(handle, others)

    monkeypatch.setattr(finding, "_parsed", fails)
    first = virtualize(str(mine), str(tmp_path / "references"))
    assert len(first.failed) == 20
    assert first.failed[0][1] == "the disk is away"
    # such files are opened until then
    grid = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))
    with dask.config.set(scheduler="sync"):
        read = oceanrecon.open_archive(str(mine), grid=grid, inventory=first.output).analysed_sst.load()
        xr.testing.assert_identical(read, oceanrecon.open_archive(str(mine), grid=grid).analysed_sst.load())
    bad = "no such file"
    second = virtualize(str(mine), first.output)
    assert (second.read, second.kept, second.failed) == (20, 43, ())


def test_settings_say_which_files_are_which_product(archive: Path, tmp_path: Path, command: Command) -> None:
    config = tmp_path / "export.yaml"
    config.write_text(
        f"archive:\n  root: {archive}\n  inventory: {tmp_path}/references\n  products:\n    glorys: {{path: glorys}}\n"
        f"output: {tmp_path}/export\ngrid: {{resolution: 3}}\n"
    )
    code, out, err = command("virtualize", config, "--output", tmp_path / "references")
    assert code == 0, out + err
    assert re.search(r"glorys *3 files, 2012-02-22 .. 2012-03-07, 72 references", out)
    code, out, err = command("plan", config)
    assert code == 0, out + err
    code, out, err = command("virtualize", config, "--output", tmp_path / "references")
    assert (code, "0 files read, 3 as they were" in out) == (0, True)


def test_what_is_no_folder_of_references_stays_as_it_is(archive: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    code, _, err = command("virtualize", archive, "--output", tmp_path / "mine")
    assert code == 1
    assert "holds something else than references: choose another folder" in " ".join(err.split())
    assert (tmp_path / "mine/thesis.txt").exists()
    store = virtualize(str(archive), str(tmp_path / "references")).output
    (tmp_path / "references/notes.txt").write_text("where they came from")
    again = virtualize(str(archive), store, products={"ostia": None})
    assert [group.name for group in again.groups] == ["ostia"]
    left = {path.relative_to(store).parts[0] for path in Path(store).rglob("*") if path.is_file()}
    assert left == {"notes.txt", "files.parquet", "inventory.parquet", "ostia"}
    with pytest.raises(OutputError, match="belongs to references: run `oceanrecon virtualize`"):
        update_inventory(str(archive), f"{store}/inventory.parquet")


def test_without_virtualizarr_the_extra_is_named_and_reading_works(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = virtualize(str(archive), str(tmp_path / "references")).output
    for name in [name for name in sys.modules if name.partition(".")[0] in ("virtualizarr", "kerchunk")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("virtualizarr", "kerchunk"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"constraints.txt -e '\.\[virtual\]'"):
        virtualize(str(archive), str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()
    grid = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))
    with dask.config.set(scheduler="sync"):
        assert np.isfinite(oceanrecon.open_archive(str(archive), grid=grid, inventory=store).thetao[0].values).any()


def test_the_programs_of_the_page_run(
    archive: Path, tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/archive").symlink_to(archive)
    monkeypatch.chdir(tmp_path)
    virtualize("demo/archive", "demo/references")
    files = fsspec.filesystem("s3")
    for name in ("archive", "references"):
        files.put(f"demo/{name}/", f"{bucket}/{name}/", recursive=True)
    programs = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(programs) == 3
    natives: list[xr.Dataset] = []
    with dask.config.set(scheduler="sync"):
        for program in programs:
            seen: dict[str, Any] = {}
            exec(program.replace('"bucket/', f'"{bucket.removeprefix("s3://")}/'), seen)
            natives += [seen["native"].load()] if "native" in seen else []
    here, there = natives
    xr.testing.assert_identical(here, there)
    with xr.open_dataset(sorted((archive / "glorys").iterdir())[1], engine="h5netcdf") as file:
        np.testing.assert_array_equal(here.thetao[1].values, file.thetao[0].values)
    assert [str(time)[:10] for time in here.time.values] == [str(date) for date in WEEKLY]
    np.testing.assert_allclose(here.depth, [0.494025, 97.04131, 541.0889])
