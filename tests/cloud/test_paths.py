"""Risk: a path in an inventory, a receipt or a manifest, or a link below a root, leads out of it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import dask
import pytest
import yaml

import oceanrecon
from oceanrecon.access.paths import joined
from oceanrecon.config import ArchiveSettings, parse_settings
from oceanrecon.errors import ArchiveError, OceanreconError, OutputError, SourceError
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.plan import plan
from oceanrecon.pipeline.rebuild import load_export
from oceanrecon.pipeline.verify import verify
from oceanrecon.sources.block import open_source
from oceanrecon.sources.inventory import ProductFiles, scan, write_parquet
from oceanrecon.sources.profiles import list_profile_files, read_headers
from oceanrecon.sources.stated import stated_inventory
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import MANIFEST
from oceanrecon.stores.receipts import read_receipts
from tests.archives import DAILY, copied, only, ostia, settings
from tests.profile_files import write_en4

GRID = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))
OUT = ["../x", "a/../../x", "/etc/passwd", "", "a\\b", "s3://other/x"]


@pytest.mark.parametrize("rel", OUT)
@pytest.mark.parametrize("root", ["/data", "s3://bucket/data", "https://host/data"])
def test_names_that_leave_the_root_are_refused(root: str, rel: str) -> None:
    with pytest.raises(SourceError, match=r"is not a path inside .*: give a relative one"):
        joined(root, rel, SourceError)


@pytest.mark.parametrize("rel", ["%2e%2e/x", "a/%2E%2E/%2e%2e/x"])
def test_a_web_server_is_not_asked_for_dots_in_disguise(rel: str) -> None:
    with pytest.raises(OutputError, match="is not a path inside"):
        joined("https://host/data", rel, OutputError)
    assert joined("/data", "50%/x", OutputError) == "/data/50%/x"


def test_links_inside_are_fine_and_links_that_leave_are_refused(tmp_path: Path) -> None:
    real, outside = tmp_path / "real", tmp_path / "outside"
    (real / "a").mkdir(parents=True)
    outside.mkdir()
    (real / "a/file").write_text("in")
    (outside / "file").write_text("out")
    (tmp_path / "root").symlink_to(real)
    (real / "b").symlink_to(real / "a")
    (real / "out").symlink_to(outside)
    (real / "a/link").symlink_to(outside / "file")
    (real / "gone").symlink_to(outside / "nothing")
    (tmp_path / "rooted").mkdir()  # a name that only begins like the root's
    for top in (real, tmp_path / "root"):
        root = Root(str(top))
        assert root.read("a/file") == root.read("b/file") == b"in"
        root.write("b/new", b"1")
        for rel in ("out/file", "a/link", "b/link", "out", "gone", "out/deep/er"):
            for action in (root.read, root.size, root.remove, root.remove_tree, partial(root.write, data=b"")):
                with pytest.raises(OutputError, match=r"is a symbolic link to .*outside.*: give the folder that it"):
                    action(rel)
    assert (outside / "file").read_text() == "out"
    assert list(outside.iterdir()) == [outside / "file"]


def test_staged_files_do_not_leave_either(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / ("a" * 32)).touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/.staging").symlink_to(tmp_path / "elsewhere")
    root = Root(str(tmp_path / "root"))
    for action in (root.clear_staging, lambda: root.write("x", b"")):
        with pytest.raises(OutputError, match="is a symbolic link"):
            action()
    assert (tmp_path / "elsewhere" / ("a" * 32)).exists()


def test_the_check_costs_nothing_that_can_be_seen(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    root.write("rasters/glorys/thetao/thetao_20120307.tif", b"")
    started = time.process_time()
    for _ in range(1000):
        root.url_of("rasters/glorys/thetao/thetao_20120307.tif")
    assert time.process_time() - started < 0.25  # 20 to 40 microseconds each; a block takes seconds


def test_linked_files_of_an_archive_become_rows_that_say_so(tmp_path: Path) -> None:
    far = ostia(tmp_path / "far", DAILY[0])
    near = ostia(tmp_path / "root", DAILY[1])
    (near.parent / far.name).symlink_to(far)
    (tmp_path / "root/more").symlink_to(tmp_path / "far")
    table = scan(str(tmp_path / "root"))
    said = dict(zip(table["path"], table["problem"], strict=True))
    assert said.pop(f"ostia/{near.name}") == ""
    assert set(said) == {f"ostia/{far.name}", f"more/ostia/{far.name}"}
    assert all("is a symbolic link to" in problem and "give the folder that it points to" in problem
               for problem in said.values())  # fmt: skip
    # the remedy
    (tmp_path / "farm").symlink_to(tmp_path / "far")
    assert scan(str(tmp_path / "farm"))["problem"].tolist() == [""]


@pytest.mark.parametrize("folder", ["../far", "/etc"])
def test_the_folder_of_a_product_is_below_the_root(tmp_path: Path, folder: str) -> None:
    ostia(tmp_path / "far", DAILY[0])
    ostia(tmp_path / "root", DAILY[0])
    with pytest.raises(ArchiveError, match="is not a path inside"):
        scan(str(tmp_path / "root"), {"ostia": ProductFiles(folder, "*.nc")})


@pytest.mark.parametrize("path", ["../other/x.nc", "/etc/passwd", "ostia/../../x.nc"])
def test_an_inventory_cannot_name_what_is_elsewhere(tmp_path: Path, archive: Path, path: str) -> None:
    inventory = scan(str(archive))
    other = inventory["product"] == "sealevel"
    inventory.loc[other, "path"] = path
    write_parquet(inventory, str(tmp_path / "inventory.parquet"))
    named = str(tmp_path / "inventory.parquet")
    data = {"root": str(archive), "inventory": named, "products": {"sealevel": None}}
    with pytest.raises(ArchiveError, match="is not a path inside"):
        stated_inventory(parse_settings(ArchiveSettings, data, "test"))
    opened = oceanrecon.open_archive(str(archive), inventory=named, grid=GRID, times=["2012-02-29"])
    with dask.config.set(scheduler="sync"), pytest.raises(SourceError, match="is not a path inside"):
        opened["adt"].compute()


def test_profiles_are_read_below_their_root_only(tmp_path: Path) -> None:
    name = "EN.4.2.2.f.profiles.g10.201202.nc"
    write_en4(tmp_path / "far" / name, 3)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / name).symlink_to(tmp_path / "far" / name)
    (file,) = list_profile_files(str(tmp_path / "root"), "en4")
    with pytest.raises(SourceError, match="is a symbolic link to"):
        read_headers(file)


def test_a_manifest_and_receipts_cannot_name_what_is_elsewhere(exported: Path, tmp_path: Path) -> None:
    export = copied(exported, tmp_path / "export")
    (tmp_path / "x.tif").write_bytes((export / "rasters/ostia/analysed_sst/analysed_sst_20120229.tif").read_bytes())
    manifest = yaml.safe_load((export / MANIFEST).read_text())
    manifest["rasters"]["ostia"]["analysed_sst"][1]["path"] = "../x.tif"
    (export / MANIFEST).write_text(yaml.safe_dump(manifest))
    with pytest.raises(OutputError, match=r"'\.\./x\.tif' is not a path inside"):
        oceanrecon.open_export(str(export), source="geotiff")
    path = export / "receipts/analysed_sst/analysed_sst_20120229.json"
    receipt = json.loads(path.read_text())
    receipt["files"][0]["path"] = "/etc/hostname"
    receipt["sources"][0]["path"] = "../archive/x"
    path.write_text(json.dumps(receipt))
    found = [problem.message for problem in verify(str(export)).problems if problem.kind == "unreadable"]
    assert any("'/etc/hostname' is not a path inside" in message for message in found)
    existing = load_export(str(export))
    (read,) = [one for one in read_receipts(Root(str(export))).receipts if (one.variable, one.date) ==
               ("analysed_sst", "20120229")]  # fmt: skip
    with pytest.raises(OceanreconError, match="is not a path inside"):
        existing.block(read)


def test_a_file_of_an_export_that_is_a_link_is_named(exported: Path, tmp_path: Path) -> None:
    export = copied(exported, tmp_path / "export")
    raster = export / "rasters/ostia/analysed_sst/analysed_sst_20120229.tif"
    raster.rename(tmp_path / "kept.tif")
    raster.symlink_to(tmp_path / "kept.tif")
    (problem,) = verify(str(export)).problems
    assert problem.kind == "unreadable" and "is a symbolic link to" in problem.message
    shard = export / "dense.zarr/adt/c/1/0/0"
    shard.rename(tmp_path / "kept")
    shard.symlink_to(tmp_path / "kept")
    with dask.config.set(scheduler="sync"), pytest.raises(OutputError, match="adt/c/1/0/0 is a symbolic link to"):
        oceanrecon.open_export(str(export)).adt.isel(time=1).compute()


def test_a_block_refuses_what_lies_elsewhere(archive: Path) -> None:
    chosen = settings(archive, "/nowhere", archive=only("ostia", archive=archive), targets={"dates": ["2012-02-29"]})
    (block,) = plan(chosen).blocks
    source = replace(block.sources[0], path="../ostia/x.nc")
    with pytest.raises(SourceError, match="is not a path inside"), open_source(block, source):
        pass
