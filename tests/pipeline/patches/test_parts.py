"""Risk: a table of older parts, a resume that keeps rows which other settings would change, a pixel off by one."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
from distributed import Client

from oceanrecon.errors import OutputError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.pipeline.patches.assemble import TABLES, assemble
from oceanrecon.pipeline.patches.month import IndexRecipe, RowsTask, make_rows
from oceanrecon.stores.files import Root
from oceanrecon.stores.mask import encode_land_mask
from oceanrecon.stores.steps import StoredFile, read_steps
from oceanrecon.stores.tables import encode_parquet, to_arrow, write_table
from tests.archives import copied
from tests.pipeline.patches.cast import LATER, index, of_archive, settings, write_casts
from tests.pipeline.profiles import tiny
from tests.profile_files import write_argo


def stored(root: Root, path: str, table: pa.Table) -> StoredFile:
    data = encode_parquet(table)
    root.write(path, data)
    return StoredFile(path, len(data), hashlib.sha256(data).hexdigest(), table.num_rows)


def test_a_part_that_is_not_what_was_written_makes_no_table(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    columns = {"value": pa.int64()}
    parts = tuple(stored(root, f"parts/{n}.parquet", pa.table({"value": [n, 10 * n]})) for n in (1, 2))
    assert not isinstance(assemble(root.url, "all", "number", columns, parts), OutputError)
    assert (tmp_path / "all.csv").read_text() == "number,value\n0,1\n1,10\n2,2\n3,20\n"
    assert list(read_steps(root, TABLES)[0]) == ["all"]
    stored(root, "parts/2.parquet", pa.table({"value": [2, 21]}))  # as a run that was killed leaves it
    failed = assemble(root.url, "all", "number", columns, parts)
    assert isinstance(failed, OutputError) and "parts/2.parquet is not what was written: remove it" in str(failed)
    assert read_steps(root, TABLES)[0] == {}  # nothing vouches for the older table
    shutil.rmtree(tmp_path / "parts")
    assert "it does not exist" in str(assemble(root.url, "all", "number", columns, parts))


def test_rows_are_not_made_of_other_profiles_than_they_are_meant_for(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    patches = PatchGrid(RasterGrid.from_bounds(30.0, (-180.0, -60.0, 180.0, 60.0)), 2, 2)
    names = ("lat_center", "lon_center", "lat0", "lat1", "lon0", "lon1", "invalid_fraction", "invalid_percentage")
    place = dict.fromkeys(names, 0.0)
    write_table(root, "patches", to_arrow(pd.DataFrame([{"patch_id": 0, "phase": "train", **place}])))
    profile = {"argo_profile_date": 20120307, "argo_file_path": "a.nc", "grid_row": 1, "grid_col": 1}
    part = stored(root, "parts/profiles/2012-03.parquet", to_arrow(pd.DataFrame([profile])))
    date = {
        "day": 22711, "date": 20120307, "ostia_file_path": "", "matched_glorys_date": 20120307,
        "matched_glorys_file_path": "", "matched_glorys_abs_day_delta": 0,
    }  # fmt: skip
    recipe = IndexRecipe(root.url, patches, days=1, max_glorys_days=3, quality=(1,), keep_empty=False, spatial="")
    phases = np.zeros((1, 1), np.uint8)
    good = make_rows(RowsTask(pd.DataFrame([date]), phases, ((part.path, part.sha256),)), recipe)
    assert not isinstance(good, OutputError) and (tmp_path / "parts/rows/2012-03.parquet").exists()
    other = make_rows(RowsTask(pd.DataFrame([date]), phases, ((part.path, "0" * 64),)), recipe)
    assert isinstance(other, OutputError) and "2012-03.parquet is not what was written" in str(other)


def test_a_gridded_profile_stays_in_the_pixel_of_the_store(tmp_path: Path, exported: Path, client: Client) -> None:
    # 98.9999999 E is in column 92; as float32 it is 99 E, in column 93
    ours = copied(exported, tmp_path / "export")
    write_casts(tmp_path, "2012-02", [(20120229, 1.0, 98.9999999), (20120229, 1.0, 99.0)])
    write_casts(tmp_path, "2012-03", LATER)
    store = tiny.settings(tmp_path, tmp_path / "enriched", argo=None, grid={"export": str(ours)})
    assert tiny.enrich(store, client).complete and tiny.grid(store, client).complete
    found = {}
    for name, more in {"gridded": {}, "files": {"en4": {"root": str(tmp_path / "en4")}}}.items():
        assert index(settings(tmp_path / name, export=ours, **more), client).complete
        found[name] = pd.read_parquet(tmp_path / name / "profiles.parquet")
    for table in found.values():
        pixels = table.set_index("profile_idx")[["grid_row", "grid_col"]].to_dict("index")
        assert pixels == {0: {"grid_row": 29, "grid_col": 92}, 1: {"grid_row": 29, "grid_col": 93}}
    assert found["gridded"]["longitude"].tolist() == [99.0, 99.0]  # to seven digits
    assert found["files"]["longitude"].tolist() == [98.9999999, 99.0]


def test_a_resume_makes_rows_anew_for_another_list_and_another_mask(
    tmp_path: Path, archive: Path, client: Client
) -> None:
    grid, land = RasterGrid.from_bounds(3.0, (-180.0, -90.0, 180.0, 90.0)), np.zeros((60, 120), np.uint8)
    mask, table = tmp_path / "mask.tif", tmp_path / "split.csv"
    mask.write_bytes(encode_land_mask(land, grid, {}))
    write_casts(tmp_path, "2012-02", [(20120229, 1.0, 1.0), (20120229, 1.0, 31.0)])
    write_casts(tmp_path, "2012-03", LATER)
    table.write_text("patch_id,date,phase\n2460,20120229,train\n2470,20120229,val\n")
    chosen = settings(
        tmp_path / "index", archive=of_archive(archive), en4={"root": str(tmp_path / "en4")},
        tiling={"mask": str(mask), "tile": 10, "max_land_fraction": 1.0}, split={"method": "list", "table": str(table)},
    )  # fmt: skip

    def rows() -> list[list[object]]:
        found = pd.read_parquet(tmp_path / "index/weekly.parquet")
        return found[["patch_id", "phase", "invalid_fraction", "invalid_percentage"]].to_numpy().tolist()

    assert index(chosen, client).complete
    assert rows() == [[2460, "train", 0.0, 0.0], [2470, "val", 0.0, 0.0]]
    table.write_text("patch_id,date,phase\n2460,20120229,val\n2470,20120229,train\n")
    assert index(chosen, client, how="resume").complete
    assert rows() == [[2460, "val", 0.0, 0.0], [2470, "train", 0.0, 0.0]]
    land[20, 60] = 1
    mask.write_bytes(encode_land_mask(land, grid, {}))
    assert index(chosen, client, how="resume").complete
    assert rows() == [[2460, "val", 0.01, 1.0], [2470, "train", 0.0, 0.0]]


def test_a_month_that_lacks_a_file_is_made_again(tmp_path: Path, exported: Path, client: Client) -> None:
    write_casts(tmp_path, "2012-02", [(20120229, 1.0, 1.0)])
    write_casts(tmp_path, "2012-03", LATER)
    path = write_argo(
        tmp_path / "argo/6901929_prof.nc", juld=22703.4, latitude=1.0, longitude=31.0, file_format="NETCDF4", zlib=True
    )
    good, times = path.read_bytes(), path.stat()
    with h5py.File(path, "r") as file:
        chunk = file["TEMP_ADJUSTED"].id.get_chunk_info(0)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * chunk.size)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    files = {name: {"root": str(tmp_path / name)} for name in ("en4", "argo")}
    chosen = settings(tmp_path / "index", export=exported, **files)
    for how in ("", "resume"):
        result = index(chosen, client, how=how)
        assert [failure.name for failure in result.failures] == ["argo/6901929_prof.nc"] and result.profiles == 1
    # a disk that reads well again: nothing else tells that the file has other content
    path.write_bytes(good)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    mended = index(chosen, client, how="resume")
    assert mended.complete and mended.profiles == 2
