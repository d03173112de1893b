"""Risk: an export to object storage through a bad network has other bytes than one on disk, or loses some."""

from __future__ import annotations

from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client

import oceanrecon
from oceanrecon.config import ClusterSettings
from oceanrecon.errors import OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.explain import explain
from oceanrecon.pipeline.inventory import update_inventory
from oceanrecon.pipeline.landmask import write_land_mask
from oceanrecon.pipeline.open import open_days
from oceanrecon.pipeline.verify import verify
from oceanrecon.service.connect import connect
from oceanrecon.service.run import export
from oceanrecon.stores.files import Root
from oceanrecon.stores.mask import read_land_mask
from tests.archives import files_of, settings
from tests.cloud.conftest import Cloud
from tests.s3 import Fault

FOLDERS = ("rasters", "dense.zarr", "masks")


def test_an_export_through_a_bad_network_has_the_bytes_of_one_on_disk(
    cloud: Cloud, archive: Path, exported: Path
) -> None:
    """Archive, inventory and export in a bucket; workers are processes; all kinds of faults at once."""
    root, inventory, output = cloud.upload(archive, "archive"), f"{cloud.url}/inventory.parquet", f"{cloud.url}/export"
    faults = [
        Fault(status=503, every=37, times=8),
        Fault(status=500, code="InternalError", method="GET", every=41, times=4),
        Fault(cut=True, every=43, times=6),
        Fault(cut=True, after=100, method="GET", every=31, times=6),
        Fault(cut=True, lost=True, method="PUT", path=r"/(rasters|dense\.zarr|receipts)/", every=13, times=3),
        Fault(delay=0.5, every=47, times=4),
    ]
    for fault in faults:
        cloud.proxy.add(fault)
    table = update_inventory(root, inventory, workers=2)
    assert len(table) == 3 + 3 * 20 and set(table["problem"]) == {""}
    chosen = settings(Path(), output, archive=cloud.archive(inventory=inventory))
    with connect(None, ClusterSettings(workers=2, dashboard="127.0.0.1:0")) as client:
        result = export(chosen, client=client)
    assert result.complete and result.written == 18
    assert all(fault.hits > 1 for fault in faults), faults
    cloud.proxy.clear()
    assert cloud.content("export", *FOLDERS) == files_of(exported, *FOLDERS)
    assert not [name for name in cloud.content("export") if "staging" in name or "partial" in name]
    kept = [name for name in cloud.content("export") if name.startswith("receipts/")]
    assert len(kept) == 18 and not [name for name in cloud.content("export") if name.startswith("failures/")]


def test_what_is_there_is_kept_extended_and_read(cloud: Cloud, archive: Path, exported: Path, inside: Client) -> None:
    cloud.upload(archive, "archive")
    output = f"{cloud.url}/export"
    chosen = settings(Path(), output, archive=cloud.archive(), variables=["adt", "so"])
    assert export(chosen, client=inside).written == 6
    Root(output).remove("dense.zarr/adt/c/1/0/0")
    again = export(chosen, client=inside, resume=True)
    assert (again.written, again.kept) == (1, 5)
    more = settings(Path(), output, archive=cloud.archive(), variables=["adt", "so", "thetao"])
    result = export(more, client=inside, resume=True)
    assert (result.written, result.kept) == (3, 6)
    assert verify(output).good
    with dask.config.set(scheduler="threads"):
        here, there = oceanrecon.open_export(str(exported)), oceanrecon.open_export(output)
        for name in ("adt", "so", "thetao"):
            np.testing.assert_array_equal(there[name].values, here[name].values)
            np.testing.assert_array_equal(
                oceanrecon.open_export(output, source="geotiff")[name].values, here[name].values
            )
        np.testing.assert_array_equal(open_days(output).adt_days.values, open_days(str(exported)).adt_days.values)
    assert explain(output, "adt", "2012-02-29", 179.9, 0.5).agrees
    # a date that is not there reads as missing, and not as an error
    Root(output).remove("dense.zarr/thetao/c/2/0/0/0")
    with dask.config.set(scheduler="threads"):
        assert np.isnan(oceanrecon.open_export(output).thetao.isel(time=2).values).all()
    (problem,) = verify(output).problems
    assert (problem.kind, problem.path) == ("missing", "dense.zarr/thetao/c/2/0/0/0")
    # a foreign folder is not written to
    Root(f"{cloud.url}/mine").write("notes.txt", b"mine")
    with pytest.raises(OutputError, match="has files in it but is no export"):
        export(settings(Path(), f"{cloud.url}/mine", archive=cloud.archive(), variables=["adt"]), client=inside)


def test_a_land_mask_is_written_and_read_there(cloud: Cloud, archive: Path, tmp_path: Path) -> None:
    cloud.upload(archive / "glorys", "archive/glorys")
    grid = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))
    name = sorted(path.name for path in (archive / "glorys").iterdir())[0]
    share = write_land_mask(grid, f"{cloud.url}/masks/land.tif", reanalysis=f"{cloud.url}/archive/glorys/{name}")
    assert share == write_land_mask(grid, str(tmp_path / "land.tif"), reanalysis=str(archive / "glorys" / name))
    np.testing.assert_array_equal(
        read_land_mask(f"{cloud.url}/masks/land.tif"), read_land_mask(str(tmp_path / "land.tif"))
    )
