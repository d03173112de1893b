"""Risk: what can be read from a bucket cannot be read from a plain web server, which lists nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Client

import oceanrecon
from oceanrecon.errors import ArchiveError, OutputError, SourceError
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.explain import explain
from oceanrecon.pipeline.plan import plan
from oceanrecon.pipeline.verify import verify
from oceanrecon.service.run import export
from oceanrecon.sources.block import read_block
from oceanrecon.sources.header import read_header
from oceanrecon.sources.inventory import scan, write_parquet
from oceanrecon.sources.registry import product
from oceanrecon.stores.files import Root
from tests.archives import WEEKLY, copied, files_of, settings
from tests.samples.test_http import RangeServer, Whole, serving

pytestmark = pytest.mark.usefixtures("quick")

GRID = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))


class Strict(RangeServer):
    """Sends files and ranges of them, with their times; folders are refused; and counts."""

    asked: list[tuple[str, str]]
    #: answers that come before it does its work
    faults: list[int]

    def _refused(self) -> bool:
        self.asked.append((self.command, self.path))
        if self.faults:
            status = self.faults.pop()
            if status:
                self.send_error(status)
            else:
                self.close_connection = True
            return True
        if Path(self.translate_path(self.path)).is_dir():
            self.send_error(403 if len(self.asked) % 2 else 405)
            return True
        return False

    def do_GET(self) -> None:
        if not self._refused():
            super().do_GET()

    def do_HEAD(self) -> None:
        if not self._refused():
            super().do_HEAD()


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[tuple[str, type[Strict]]]:
    handler: Any = type("Handler", (Strict,), {"ranges": [], "asked": [], "faults": []})
    with serving(tmp_path, handler) as url:
        yield url, handler


def test_an_export_is_read_without_a_listing(exported: Path, tmp_path: Path, strict: tuple[str, type[Strict]]) -> None:
    url, server = strict
    copied(exported, tmp_path / "export")
    with dask.config.set(scheduler="threads"):
        here = oceanrecon.open_export(str(exported)).load()
        for source in ("zarr", "geotiff"):
            there = oceanrecon.open_export(f"{url}/export", source=source)
            for name in here.data_vars:
                np.testing.assert_array_equal(there[name].values, here[name].values)
        (tmp_path / "export/dense.zarr/thetao/c/1/0/0/0").unlink()
        assert np.isnan(oceanrecon.open_export(f"{url}/export").thetao.isel(time=1).values).all()
    assert not [path for _, path in server.asked if (tmp_path / path.lstrip("/")).is_dir()]
    # what has to know all files says why it cannot
    with pytest.raises(OutputError, match=r"cannot list .*receipts: .*40[35].*; web servers do not say what is in a"):
        verify(f"{url}/export")
    with pytest.raises(OutputError, match="http:// is for reading files by their names only"):
        Root(f"{url}/export").write("x", b"")


def test_a_bad_connection_heals(exported: Path, tmp_path: Path, strict: tuple[str, type[Strict]]) -> None:
    """The driver itself does not try again."""
    url, server = strict
    copied(exported, tmp_path / "export")
    server.faults += [503, 0]
    opened = oceanrecon.open_export(f"{url}/export")
    assert not server.faults
    server.faults += [0, 502]
    with dask.config.set(scheduler="sync"):
        assert np.isfinite(opened.adt.isel(time=0).values).any()
    assert not server.faults
    server.faults += [503] * 50
    with pytest.raises(OutputError, match=r"ClientResponseError: 503.*several tries failed"):
        oceanrecon.open_export(f"{url}/export")
    for status in (401, 403):
        server.faults[:] = [status] * 2
        with pytest.raises(OutputError, match=rf"ClientResponseError: {status}.*check the credentials"):
            oceanrecon.open_export(f"{url}/export")
        assert not server.faults


def test_a_server_without_ranges_says_so(exported: Path, archive: Path, tmp_path: Path) -> None:
    copied(exported, tmp_path / "export")
    copied(archive, tmp_path / "archive")
    said = r"came whole where [\d,]+ bytes of it were asked for: the server knows no ranges of bytes; copy the files"
    with serving(tmp_path, Whole) as url, dask.config.set(scheduler="sync"):
        with pytest.raises(OutputError, match=said):
            oceanrecon.open_export(f"{url}/export").adt.isel(time=0).compute()
        (large,) = (path for path in (tmp_path / "archive/glorys").iterdir() if "20120222" in path.name)
        large.write_bytes(large.read_bytes() + bytes(200_000))
        with pytest.raises(SourceError, match="the server knows no ranges of bytes"):
            read_header(f"{url}/archive/glorys/{large.name}", product("glorys"), large.stat().st_size)


def test_an_archive_is_read_through_its_inventory(
    archive: Path, exported: Path, tmp_path: Path, strict: tuple[str, type[Strict]], inside: Client
) -> None:
    """Nothing tells what files there are but the inventory, which was made where they lie."""
    url, server = strict
    copied(archive, tmp_path / "archive")
    table = scan(str(tmp_path / "archive"))
    write_parquet(table, str(tmp_path / "inventory.parquet"))
    products = dict.fromkeys(("glorys", "sss"))
    files = {"root": f"{url}/archive", "inventory": f"{url}/inventory.parquet", "products": products}
    chosen = settings(Path(), tmp_path / "made", archive=files, variables=["thetao", "dos"])
    assert export(chosen, client=inside).complete
    folders = ("rasters/glorys/thetao", "rasters/sss/dos")
    assert files_of(tmp_path / "made", *folders) == files_of(exported, *folders)
    assert explain(str(tmp_path / "made"), "dos", "2012-02-29", 179.9, 0.5).agrees
    assert not [path for _, path in server.asked if (tmp_path / path.lstrip("/")).is_dir()]
    assert verify(str(tmp_path / "made")).good
    # a file that changed there, also one of the same size
    (block,) = plan(settings(Path(), "/x", archive=files, variables=["thetao"], targets={"dates": [WEEKLY[0]]})).blocks
    path = tmp_path / "archive" / block.sources[0].path
    path.write_bytes(path.read_bytes() + b"1")
    with pytest.raises(SourceError, match="it changed since it was listed"):
        read_block(block, GRID, minimum_valid_fraction=0.5)
    assert re.search("changed since", verify(str(tmp_path / "made")).problems[0].message)


def test_an_archive_that_cannot_be_listed_says_so(
    archive: Path, tmp_path: Path, strict: tuple[str, type[Strict]]
) -> None:
    copied(archive, tmp_path / "archive")
    with pytest.raises(ArchiveError, match=r"cannot be listed: .*name it in archive.inventory"):
        scan(f"{strict[0]}/archive")
