"""Risk: an export is damaged, or its sources are no longer what it was made from, and verify says all is good."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from distributed import Client

import oceanrecon
from oceanrecon.errors import OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.verify import verify
from oceanrecon.stores.mask import encode_land_mask
from tests.archives import WEEKLY, copied, files_of, only, settings, truncate

Command = Callable[..., tuple[int, str, str]]
TIFF = "rasters/glorys/thetao/thetao_20120229.tif"
SHARD = "dense.zarr/adt/c/1/0/0"
DAYS = "dense.zarr/adt_days/c/1/0/0"


def problems(output: Path, **how: Any) -> list[tuple[str, str]]:
    return sorted((problem.kind, problem.path) for problem in verify(str(output), **how).problems)


def alter(path: Path, at: float = 0.6) -> None:
    """Another byte in the middle, the same size."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 0x55
    path.write_bytes(content)


@pytest.fixture
def output(exported: Path, tmp_path: Path) -> Path:
    return copied(exported, tmp_path / "export")


def test_an_undamaged_export_is_good(exported: Path) -> None:
    result = verify(str(exported))
    assert result.good and (result.blocks, result.files) == (18, 18 * 2 + 12)
    assert result.bytes == sum(
        len(content) for path, content in files_of(exported, "rasters", "dense.zarr").items()
        if path.endswith(".tif") or ("/c/" in path and path.split("/")[1] not in ("time", "depth", "latitude",
                                                                                 "longitude", "crs"))
    )  # fmt: skip


@pytest.mark.parametrize("path", [TIFF, SHARD, DAYS])
@pytest.mark.parametrize(
    ("harm", "kind"), [(Path.unlink, "missing"), (truncate, "truncated"), (alter, "altered")],
    ids=["missing", "truncated", "altered"],
)  # fmt: skip
def test_a_harmed_file_is_named(output: Path, path: str, harm: Callable[[Path], None], kind: str) -> None:
    harm(output / path)
    assert problems(output) == [(kind, path)]


@pytest.mark.parametrize(
    "path",
    ["dense.zarr/zarr.json", "dense.zarr/thetao/zarr.json", "dense.zarr/time/c/0", "dense.zarr/latitude/c/0",
     "masks/land_mask.tif"],
)  # fmt: skip
@pytest.mark.parametrize("harm", [Path.unlink, truncate, alter], ids=["missing", "truncated", "altered"])
def test_harm_to_what_belongs_to_no_block_is_named(output: Path, path: str, harm: Callable[[Path], None]) -> None:
    harm(output / path)
    found = problems(output)
    assert found and all(named == path for _, named in found)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (encode_land_mask(np.zeros((30, 60), np.uint8), RasterGrid.from_bounds(6.0, (-180, -90, 180, 90)), {}),
         "has 60 x 30 pixels and the grid 120 x 60: run verify --discard-bad"),
        (b"no tiff", "cannot read the land mask"),
    ],
    ids=["of another grid", "no GeoTIFF"],
)  # fmt: skip
def test_a_mask_that_the_manifest_knows_must_be_one_of_the_grid(output: Path, content: bytes, said: str) -> None:
    (output / "masks/land_mask.tif").write_bytes(content)
    described = yaml.safe_load((output / "manifest.yaml").read_text())
    described["files"]["masks/land_mask.tif"] |= {"bytes": len(content), "sha256": sha256(content).hexdigest()}
    (output / "manifest.yaml").write_text(yaml.safe_dump(described))
    (problem,) = verify(str(output)).problems
    assert (problem.kind, problem.path) == ("altered", "masks/land_mask.tif") and said in problem.message


def test_what_was_discarded_is_made_again(
    archive: Path, exported: Path, tmp_path: Path, client: Client, command: Command
) -> None:
    output = tmp_path / "export"
    oceanrecon.export(settings(archive, output), client=client)
    (output / TIFF).unlink()
    alter(output / SHARD)
    code, out, _ = command("verify", output, "--discard-bad")
    assert code == 1 and TIFF in out and SHARD in out
    result = oceanrecon.export(settings(archive, output), client=client, resume=True)
    assert (result.written, result.kept) == (2, 16)
    assert files_of(output, "rasters", "dense.zarr") == files_of(exported, "rasters", "dense.zarr")
    code, out, _ = command("verify", output)
    assert code == 0 and "all good" in out


@pytest.mark.parametrize("harm", [Path.unlink, truncate, alter], ids=["missing", "truncated", "altered"])
def test_harmed_metadata_is_made_again(
    archive: Path, exported: Path, tmp_path: Path, client: Client, harm: Callable[[Path], None]
) -> None:
    output = tmp_path / "export"
    oceanrecon.export(settings(archive, output), client=client)
    for path in ("dense.zarr/time/c/0", "dense.zarr/so/zarr.json", "masks/land_mask.tif"):
        harm(output / path)
    assert len(problems(output, discard_bad=True)) == 3
    result = oceanrecon.export(settings(archive, output), client=client, resume=True)
    assert (result.written, result.kept) == (0, 18)
    assert files_of(output, "dense.zarr", "masks") == files_of(exported, "dense.zarr", "masks")
    assert problems(output) == []


def test_a_touched_source_is_stale_only_until_its_content_is_compared(
    archive: Path, tmp_path: Path, client: Client
) -> None:
    mine, output = copied(archive, tmp_path / "archive"), tmp_path / "export"
    chosen = settings(mine, output, archive=only("glorys", archive=mine), variables=["thetao"])
    oceanrecon.export(chosen, client=client)
    (touched,) = (mine / "glorys").glob(f"*_mean_{WEEKLY[0]:%Y%m%d}_*")
    os.utime(touched)
    assert problems(output) == [("stale", "thetao 20120222")]
    assert problems(output, deep=True) == []
    assert oceanrecon.export(chosen, client=client, resume=True).written == 1
    assert problems(output) == []


def test_another_content_is_found_by_making_blocks_again(archive: Path, tmp_path: Path, client: Client) -> None:
    mine, output = copied(archive, tmp_path / "archive"), tmp_path / "export"
    chosen = settings(mine, output, archive=only("glorys", archive=mine), variables=["thetao"], formats={"zarr": {}})
    oceanrecon.export(chosen, client=client)
    (path,) = (mine / "glorys").glob(f"*_mean_{WEEKLY[1]:%Y%m%d}_*")
    state = path.stat()
    import netCDF4

    with netCDF4.Dataset(path, "a") as file:
        file["thetao"].add_offset = 22.0  # a degree warmer: no byte more
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    assert problems(output) == []
    assert problems(output, deep=True) == [("stale", "dense.zarr/thetao/c/1/0/0/0")]
    assert problems(output, deep=True, discard_bad=True)
    assert oceanrecon.export(chosen, client=client, resume=True).written == 1
    assert problems(output, deep=True) == []


def test_a_source_that_is_gone_is_stale(archive: Path, tmp_path: Path, client: Client) -> None:
    mine, output = copied(archive, tmp_path / "archive"), tmp_path / "export"
    oceanrecon.export(settings(mine, output, archive=only("glorys", archive=mine)), client=client)
    for path in (mine / "glorys").glob(f"*_mean_{WEEKLY[1]:%Y%m%d}_*"):
        path.unlink()
    assert problems(output) == [("stale", "so 20120229"), ("stale", "thetao 20120229")]
    assert [kind for kind, _ in problems(output, deep=True)] == ["unchecked", "unchecked"]


def test_a_block_that_the_manifest_does_not_know_is_unfinished(output: Path) -> None:
    (output / "receipts/adt/adt_20120222.json").unlink()
    assert problems(output) == [
        ("unfinished", "dense.zarr/adt/c/0/0/0"), ("unfinished", "dense.zarr/adt_days/c/0/0/0"),
        ("unfinished", "rasters/sealevel/adt/adt_20120222.tif")
    ]  # fmt: skip
    (output / "receipts/adt/adt_20120229.json").write_text("{")
    assert ("unreadable", "receipts/adt/adt_20120229.json") in problems(output)


def test_a_manifest_that_says_other_than_the_receipts_is_found(output: Path) -> None:
    manifest = output / "manifest.yaml"
    sha = json.loads((output / "receipts/so/so_20120222.json").read_text())["files"][0]["sha256"]
    manifest.write_text(manifest.read_text().replace(sha, "0" * 64))
    assert [kind for kind, path in problems(output)] == ["unfinished"]


def test_json_is_json_and_nothing_else(exported: Path, output: Path, command: Command) -> None:
    code, out, _ = command("verify", exported, "--json")
    assert code == 0 and json.loads(out)["good"] is True
    (output / TIFF).unlink()
    code, out, _ = command("verify", output, "--json")
    found = json.loads(out)
    assert code == 1 and [problem["path"] for problem in found["problems"]] == [TIFF]


def test_a_folder_that_is_no_export_is_said_so(tmp_path: Path, command: Command) -> None:
    with pytest.raises(OutputError, match="is no export"):
        verify(str(tmp_path))
    code, _, err = command("verify", tmp_path / "nothing")
    assert code == 1 and err.startswith("error:") and "there is no folder" in err
    code, _, err = command("verify", tmp_path)
    assert code == 1 and "no export (" in err and "no profile store" in err and "is no package" in err
