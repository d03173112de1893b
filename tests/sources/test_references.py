"""Risk: numbers that come through references are others than those of the files, or of files that are others by now."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dask
import fsspec
import h5py
import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.reference import LazyReferenceMapper
from numpy.typing import NDArray
from zarr.storage import FsspecStore

import oceanrecon
from oceanrecon.errors import ArchiveError, SourceError
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.virtual import VirtualResult, virtualize
from oceanrecon.sources import opened, references
from oceanrecon.sources.block import read_block
from oceanrecon.sources.box import BoxReader
from oceanrecon.sources.inventory import ProductFiles, read_parquet
from oceanrecon.sources.references import FILES, ReferenceStore
from oceanrecon.sources.registry import product
from oceanrecon.sources.sample import sample_file
from oceanrecon.sources.select import holdings, select_block
from tests.archives import DAILY, WEEKLY, copied, ostia, sealevel
from tests.s3 import Proxy, Server, environment
from tests.samples.test_http import RangeServer, Whole, serving

GRID = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))
#: Real files by product: a name that no product has, no time dimension, another grid, an undeclared fill.
REAL = {
    "contiguous": ("glorys", "glorys/GLORYS_NA_*.nc"),
    "without time": ("glorys", "glorys/GLORYS_coarse_*.nc"),
    "one chunk": ("sealevel", "sealevel/dt_global_*.nc"),
    "no time coordinate": ("sealevel", "traps/dt_med_*.nc"),
    "regional": ("sealevel", "sealevel/dt_blacksea_*.nc"),
    "surface temperature": ("ostia", "sst/*.nc"),
}


@pytest.fixture(scope="module")
def store(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """References to the tiny archive, for reading."""
    return virtualize(str(archive), str(tmp_path_factory.mktemp("virtual") / "references")).output


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where a NetCDF file is opened to read values."""

    def refuse(url: str, size: int | None = None) -> None:
        raise AssertionError(f"{url} was opened")

    monkeypatch.setattr(opened, "open_hdf", refuse)


def loaded(root: Path | str, inventory: str | pd.DataFrame | None, **more: Any) -> xr.Dataset:
    with dask.config.set(scheduler="sync"):
        return oceanrecon.open_archive(str(root), grid=GRID, inventory=inventory, **more).load()


def test_the_dataset_is_the_one_without_references_and_no_file_is_opened(
    archive: Path, store: str, request: pytest.FixtureRequest
) -> None:
    without = loaded(archive, None)
    request.getfixturevalue("unopened")
    xr.testing.assert_identical(loaded(archive, store), without)
    xr.testing.assert_identical(loaded(archive, f"{store}/inventory.parquet"), without)


@pytest.mark.parametrize("kind", REAL)
def test_real_files_have_the_same_values(
    kind: str, real_data: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name, files = REAL[kind]
    made = virtualize(str(real_data), str(tmp_path / "references"), products={name: ProductFiles(files=files)})
    assert made.opened == made.failed == ()
    found = read_parquet(made.output)
    times = sorted(found["date"].dt.date)
    without = found.copy()
    without.attrs = {**found.attrs, "references": ""}
    expected = loaded(real_data, without, times=times)
    assert np.isfinite(expected[next(iter(expected.data_vars))].values).any()
    request.getfixturevalue("unopened")
    xr.testing.assert_identical(loaded(real_data, made.output, times=times), expected)


def test_what_is_sampled_beside_profiles_is_the_same(archive: Path, store: str, request: pytest.FixtureRequest) -> None:
    holding = holdings(read_parquet(store), ["sss"])["sss"]
    form = holding.form
    assert form is not None
    sample = partial(
        sample_file, str(archive), holding.by_date[DAILY[5]], product("sss"), (form.latitude, form.longitude), 1,
        np.array([-3.2, 10.0, 51.7]), np.array([-120.3, 179.9, -2.0]),
    )  # fmt: skip
    expected = sample()
    request.getfixturevalue("unopened")
    through = sample(store)
    assert through.notes == expected.notes
    assert through.values.keys() == expected.values.keys()
    for name, values in expected.values.items():
        np.testing.assert_array_equal(through.values[name], values)


#: of the files that are written here, since 1950
DAY = float((DAILY[0] - dt.date(1950, 1, 1)).days)
Write = Callable[[h5py.File, NDArray[Any]], None]


def _skipping(file: h5py.File, values: NDArray[Any]) -> None:
    """A chunk that did not shrink is kept as it was: HDF5 notes which filters it was not put through."""
    made = file.create_dataset("adt", values.shape, values.dtype, chunks=(1, 36, 72), compression="gzip")
    made.id.write_direct_chunk((0, 0, 0), np.ascontiguousarray(values).tobytes(), filter_mask=1)


#: How ``adt`` may be stored, and what of it references cannot say.
STORED: dict[str, tuple[Write, str]] = {
    "one chunk": (lambda file, v: file.create_dataset("adt", data=v, chunks=v.shape, compression="gzip"), ""),
    "shuffled": (
        lambda file, v: file.create_dataset("adt", data=v, chunks=(1, 10, 30), compression="gzip", shuffle=True), "",
    ),
    "another byte order": (
        lambda file, v: file.create_dataset("adt", data=v.astype(">i4"), chunks=(1, 10, 30), compression=9),
        "",
    ),
    "chunked, not compressed": (lambda file, v: file.create_dataset("adt", data=v, chunks=(1, 7, 30)), ""),
    "contiguous": (lambda file, v: file.create_dataset("adt", data=v), ""),
    "checked": (
        lambda file, v: file.create_dataset("adt", data=v, chunks=(1, 10, 30), compression="gzip", fletcher32=True),
        r"HDF5 filters \[1, 3\]",
    ),
    "lzf": (lambda file, v: file.create_dataset("adt", data=v, chunks=(1, 10, 30), compression="lzf"), "HDF5 filters"),
    "not put through a filter": (_skipping, r"at \(0, 0, 0\) was not put through all filters"),
}  # fmt: skip


def _adt(path: Path, write: Write, values: NDArray[Any], fill: int | None = -999) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        for name, axis in (
            ("time", [DAY]),
            ("latitude", np.arange(-87.5, 90, 5)),
            ("longitude", np.arange(2.5, 360, 5)),
        ):
            file.createDimension(name, len(axis))
            file.createVariable(name, "f4", (name,))[:] = axis
        file["time"].units = "days since 1950-01-01"
    with h5py.File(path, "r+") as file:
        write(file, values)
        file["adt"].attrs["scale_factor"], file["adt"].attrs["units"] = np.float64(0.0001), np.bytes_("m")
        if fill is not None:
            file["adt"].attrs["_FillValue"] = np.array([fill], file["adt"].dtype)
        for number, name in enumerate(("time", "latitude", "longitude")):
            file["adt"].dims[number].attach_scale(file[name])
    return path


def _values() -> NDArray[Any]:
    values = np.random.default_rng(0).integers(-9000, 9000, (1, 36, 72)).astype("i4")
    values[0, :5] = -999
    return values


@pytest.mark.parametrize("kind", STORED)
def test_however_a_variable_is_stored_it_is_read_right_or_its_file_is_opened(kind: str, tmp_path: Path) -> None:
    write, reason = STORED[kind]
    path = _adt(tmp_path / "archive" / f"dt_global_allsat_phy_l4_{DAILY[0]:%Y%m%d}_20190515.nc", write, _values())
    os.utime(path, (0, 0))
    made = virtualize(str(tmp_path / "archive"), str(tmp_path / "references"))
    if reason:
        ((file, why),) = made.opened
        assert file == path.name
        assert re.search(reason, why), why
        assert made.groups == ()
    else:
        assert made.opened == ()
        assert [group.files for group in made.groups] == [1]
    times = [read_parquet(made.output)["date"][0].date()]
    direct = loaded(tmp_path / "archive", None, times=times, window_days=1)
    xr.testing.assert_identical(loaded(tmp_path / "archive", made.output, times=times, window_days=1), direct)
    if not reason:
        with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as file_itself:
            native = natively(made.output, "sealevel", tmp_path / "archive")
            np.testing.assert_array_equal(native.adt.values, file_itself.adt.values)


def natively(store: str, group: str, root: Path) -> xr.Dataset:
    """The references, opened as docs/virtual.md says."""
    disk = AsyncFileSystemWrapper(fsspec.filesystem("file"), asynchronous=True)
    files = fsspec.filesystem("dir", path=str(root), fs=disk, asynchronous=True)
    mapper = LazyReferenceMapper(f"{store}/{group}", engine="pyarrow")
    through = fsspec.filesystem("reference", fo=mapper, fs=files, asynchronous=True)
    opened_store: Any = FsspecStore(through, read_only=True, path="")
    return xr.open_dataset(opened_store, engine="zarr", zarr_format=2, consolidated=False)


def test_chunks_that_were_never_written_are_fill(tmp_path: Path) -> None:
    def write(file: h5py.File, values: NDArray[Any]) -> None:
        made = file.create_dataset(
            "adt", values.shape, "i4", chunks=(1, 9, 72), compression="gzip", shuffle=True, fillvalue=-7
        )
        made[:, :9] = values[:, :9]

    path = _adt(tmp_path / "archive" / f"dt_global_allsat_phy_l4_{DAILY[0]:%Y%m%d}_20190515.nc", write, _values(), -7)
    made = virtualize(str(tmp_path / "archive"), str(tmp_path / "references"))
    times = [read_parquet(made.output)["date"][0].date()]
    read = loaded(tmp_path / "archive", made.output, times=times, window_days=1)
    xr.testing.assert_identical(read, loaded(tmp_path / "archive", None, times=times, window_days=1))
    with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as file:
        native = natively(made.output, "sealevel", tmp_path / "archive")
        assert np.isnan(native.adt.values[:, 9:]).all()
        np.testing.assert_array_equal(native.adt.values, file.adt.values)


def test_a_fill_that_no_file_declares_makes_no_hole(tmp_path: Path) -> None:
    """HDF5 calls 0 the fill of such a file, and zarr would take it for missing: the sea at rest."""
    values = _values()
    values[0, 20] = 0
    write = STORED["shuffled"][0]
    _adt(tmp_path / "archive" / f"dt_global_allsat_phy_l4_{DAILY[0]:%Y%m%d}_20190515.nc", write, values, None)
    made = virtualize(str(tmp_path / "archive"), str(tmp_path / "references"))
    native = natively(made.output, "sealevel", tmp_path / "archive")
    np.testing.assert_array_equal(native.adt.values[0, 20], 0)
    np.testing.assert_allclose(native.adt.values, values * 0.0001)


def test_several_times_in_a_file_and_several_packings_are_told_apart(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    for day in DAILY[:4]:
        ostia(archive, day, units="kelvin")
    for day in DAILY[4:7]:
        sealevel(archive, day)
    with netCDF4.Dataset(next((archive / "sealevel").iterdir()), "r+") as file:
        file["adt"].scale_factor = 0.0002  # the first file is packed otherwise
    whole = archive / "months" / "dt_global_allsat_phy_l4_201203.nc"
    _several(whole, first=int(DAY) + 10)
    products = {"ostia": None, "sealevel": ProductFiles(files="dt_*.nc")}
    made = virtualize(str(archive), str(tmp_path / "references"), products=products)
    assert made.opened == made.failed == ()
    assert [(group.name, group.files) for group in made.groups] == [
        ("ostia", 4), ("sealevel", 1), ("sealevel-2", 2), ("sealevel-3", 1),
    ]  # fmt: skip
    found = read_parquet(made.output)
    times = sorted(set(found["date"].dt.date))
    assert len(times) == 4 + 3 + 3
    without = found.copy()
    without.attrs = {**found.attrs, "references": ""}
    direct = loaded(archive, without, times=times, window_days=1)
    assert np.isfinite(direct.adt.values).any(axis=(1, 2)).sum() == 6
    xr.testing.assert_identical(loaded(archive, made.output, times=times, window_days=1), direct)
    native = natively(made.output, "sealevel-3", archive)
    assert native.sizes["time"] == 3
    with netCDF4.Dataset(whole) as file:
        np.testing.assert_allclose(native.adt.values, file["adt"][:])


def _several(path: Path, first: int) -> None:
    path.parent.mkdir()
    with netCDF4.Dataset(path, "w") as file:
        axes = {
            "time": np.arange(first, first + 3),
            "latitude": np.arange(-87.5, 90, 5),
            "longitude": np.arange(2.5, 360, 5),
        }
        for name, axis in axes.items():
            file.createDimension(name, len(axis))
            file.createVariable(name, "f4", (name,))[:] = axis
        file["time"].units = "days since 1950-01-01"
        adt = file.createVariable("adt", "f4", tuple(axes), zlib=True, chunksizes=(1, 20, 50), fill_value=-99)
        adt.units = "m"
        adt[:] = np.random.default_rng(1).normal(size=(3, 36, 72))


def test_a_file_that_changed_is_named_with_the_remedy_and_only_it_is_read_again(archive: Path, tmp_path: Path) -> None:
    mine = copied(archive, tmp_path / "archive")
    store = str(tmp_path / "references")
    virtualize(str(mine), store)
    path = sealevel(mine, DAILY[6], raised=0.3)
    with pytest.raises(SourceError, match=rf"{path}: it changed since the references in {store} were made.*virtualize"):
        loaded(mine, store)
    new = sealevel(mine, DAILY[-1] + (DAILY[1] - DAILY[0]))
    gone = next((mine / "ostia").iterdir())
    gone.unlink()
    again = virtualize(str(mine), store)
    assert (again.read, again.kept, again.failed) == (2, 61, ())
    xr.testing.assert_identical(loaded(mine, store), loaded(mine, None))
    files = ReferenceStore.load(store).files
    assert ("sealevel", new.relative_to(mine).as_posix()) in files
    assert ("ostia", gone.relative_to(mine).as_posix()) not in files
    # what is brought up to date has the bytes of what is made anew
    fresh = virtualize(str(mine), str(tmp_path / "fresh"))
    assert fresh.read == 63
    assert _content(Path(store)) == _content(tmp_path / "fresh")


def _content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_that_is_gone_or_was_touched_is_no_other(archive: Path, tmp_path: Path) -> None:
    mine = copied(archive, tmp_path / "archive")
    store = virtualize(str(mine), str(tmp_path / "references")).output
    block = _block(mine, store, "ostia", DAILY[5])
    path = mine / block.sources[0].path
    content, state = path.read_bytes(), path.stat()
    path.write_bytes(content)
    with pytest.raises(SourceError, match="it was written again"):
        read_block(block, GRID, minimum_valid_fraction=0.5)
    path.unlink()
    with pytest.raises(SourceError, match=rf"{path}: it does not exist any more: restore it"):
        read_block(block, GRID, minimum_valid_fraction=0.5)
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    read_block(block, GRID, minimum_valid_fraction=0.5)


def _block(root: Path | str, store: str, name: str, date: Any) -> Any:
    holding = holdings(read_parquet(store), [name])[name]
    variable = holding.product.variables[0]
    return select_block(str(root), holding, variable, date, window=1, minimum_files=1, maximum_distance_days=0)


def test_an_archive_that_moved_needs_no_new_references(archive: Path, store: str, tmp_path: Path) -> None:
    moved = copied(archive, tmp_path / "elsewhere")
    there = copied(Path(store), tmp_path / "moved references")
    xr.testing.assert_identical(loaded(moved, str(there)).drop_attrs(), loaded(archive, store).drop_attrs())


def test_references_that_were_written_again_meanwhile_never_give_another_file(archive: Path, tmp_path: Path) -> None:
    mine = copied(archive, tmp_path / "archive")
    first = next(path for path in sorted((mine / "ostia").iterdir()))
    aside = first.rename(tmp_path / "aside.nc")
    store = virtualize(str(mine), str(tmp_path / "references")).output
    before = ReferenceStore.load(store)
    aside.rename(first)
    virtualize(str(mine), store)  # every other file moves on by one place
    listed = before.files["ostia", sorted(path for kind, path in before.files if kind == "ostia")[3]]
    with pytest.raises(SourceError, match="were written again meanwhile: run the same command again"):
        before.chunks(listed, "analysed_sst")


def test_references_that_lack_a_file_or_are_damaged_say_so(archive: Path, tmp_path: Path) -> None:
    mine = copied(archive, tmp_path / "archive")
    store = virtualize(str(mine), str(tmp_path / "references")).output
    inventory = read_parquet(store)
    blocks = _block(mine, store, "sss", DAILY[4])
    (Path(store) / "sss/sos/refs.0.parq").write_bytes(b"PAR1")
    references.forget()
    with pytest.raises(SourceError, match=r"references .*/sss/sos/refs.0.parq are damaged .*virtualize"):
        read_block(blocks, GRID, minimum_valid_fraction=0.5)
    (Path(store) / FILES).unlink()
    references.forget()
    with pytest.raises(ArchiveError, match="there are no references at"):
        read_block(blocks, GRID, minimum_valid_fraction=0.5)
    virtualize(str(mine), store, products={"ostia": None})
    with pytest.raises(SourceError, match="do not know it as it was listed"):
        read_block(blocks, GRID, minimum_valid_fraction=0.5)
    assert inventory.attrs["references"] == store
    with pytest.raises(ArchiveError, match="there is no inventory at"):
        oceanrecon.open_archive(str(mine), inventory=str(tmp_path / "nothing"))


@pytest.fixture
def upload(archive: Path, bucket: str) -> str:
    """The tiny archive on the S3 server."""
    fsspec.filesystem("s3").put(f"{archive}/", f"{bucket}/archive/", recursive=True)
    return f"{bucket}/archive"


def test_a_cloud_archive_opens_with_one_table_and_a_block_takes_its_ranges_alone(
    archive: Path, upload: str, s3: Server
) -> None:
    store = upload.replace("/archive", "/references")
    made = virtualize(upload, store)
    assert (made.opened, made.failed) == ((), ())
    plain = read_parquet(store)
    plain.attrs["references"] = ""
    with Proxy(s3.endpoint) as proxy, environment(proxy.endpoint), dask.config.set(scheduler="sync"):
        references.forget()
        with proxy.counting() as opening:
            ocean = oceanrecon.open_archive(upload, grid=GRID, inventory=store)
        with proxy.counting() as first:
            slab = ocean.thetao[0, 0].values
        with proxy.counting() as second:
            ocean.thetao[1, 0].values  # noqa: B018
        files = oceanrecon.open_archive(upload, grid=GRID, inventory=plain)
        with proxy.counting() as without:
            np.testing.assert_array_equal(files.thetao[0, 0].values, slab)
        with proxy.counting() as scanned:
            oceanrecon.open_archive(upload, grid=GRID)
    np.testing.assert_array_equal(slab, loaded(archive, None).thetao[0, 0].values)
    assert [one.path.rpartition("/")[2] for one in opening.seen] == ["inventory.parquet"], str(opening)
    # the tables, once
    assert first.requests == second.requests + 2, str(first)
    # whether the file is the same, and the chunks of two levels in one piece
    assert [(one.method, one.path.rpartition(".")[2]) for one in second.seen] == [("HEAD", "nc"), ("GET", "nc")]
    assert second.read < without.read, str(without)
    assert scanned.requests > 63


def test_an_object_that_was_replaced_is_refused(archive: Path, upload: str) -> None:
    store = virtualize(upload, upload.replace("/archive", "/references")).output
    block = _block(upload, store, "ostia", DAILY[5])
    read_block(block, GRID, minimum_valid_fraction=0.5)
    files = fsspec.filesystem("s3")
    content = bytearray(files.cat_file(f"{upload}/{block.sources[0].path}"))
    content[-1] ^= 1  # as long as before
    files.pipe_file(f"{upload}/{block.sources[0].path}", bytes(content))
    with pytest.raises(SourceError, match=r"ostia/.*its ETag is another\): run `oceanrecon virtualize ARCHIVE"):
        read_block(block, GRID, minimum_valid_fraction=0.5)
    files.rm(f"{upload}/{block.sources[0].path}")
    with pytest.raises(SourceError, match="does not exist any more"):
        read_block(block, GRID, minimum_valid_fraction=0.5)


def test_references_made_on_a_disk_serve_a_copy_in_the_cloud(archive: Path, store: str, upload: str) -> None:
    there = upload.replace("/archive", "/references")
    fsspec.filesystem("s3").put(f"{store}/", f"{there}/", recursive=True)
    xr.testing.assert_identical(loaded(upload, there).drop_attrs(), loaded(archive, store).drop_attrs())


def test_a_web_server_that_lists_nothing_serves_an_archive(archive: Path, store: str, tmp_path: Path) -> None:
    (tmp_path / "archive").symlink_to(archive)
    (tmp_path / "references").symlink_to(store)

    class Ranges(RangeServer):
        ranges: list[str] = []  # noqa: RUF012 - one for all requests

    with serving(tmp_path, Ranges) as url:
        ocean = oceanrecon.open_archive(f"{url}/archive", grid=GRID, inventory=f"{url}/references")
        with dask.config.set(scheduler="sync"):
            np.testing.assert_array_equal(ocean.sos[1].values, loaded(archive, None).sos[1].values)
    assert len([path for path in Ranges.ranges if path.endswith(".nc")]) == 7  # days of the window
    with serving(tmp_path, Whole) as url, dask.config.set(scheduler="sync"):
        ocean = oceanrecon.open_archive(f"{url}/archive", grid=GRID, inventory=f"{url}/references")
        with pytest.raises(SourceError, match="the server knows no ranges of bytes"):
            ocean.sos[1].values  # noqa: B018


def test_parts_of_a_block_come_from_parts_of_its_chunks(archive: Path, store: str, unopened: None) -> None:
    for name in ("glorys", "sealevel"):
        block = _block(archive, store, name, WEEKLY[1])
        whole = read_block(block, GRID, minimum_valid_fraction=0.5)
        rows, columns = np.arange(20, 40), np.arange(110, 130) % 120
        part = BoxReader(GRID, 0.5).read(block, rows, columns)
        np.testing.assert_array_equal(part, whole[:, rows][:, :, columns])


def test_the_result_says_what_there_is(archive: Path, tmp_path: Path) -> None:
    result: VirtualResult = virtualize(str(archive), str(tmp_path / "references"))
    assert [(group.product, group.files, group.first, group.last) for group in result.groups] == [
        ("glorys", 3, WEEKLY[0], WEEKLY[-1]),
        *((name, 20, DAILY[0], DAILY[-1]) for name in ("ostia", "sealevel", "sss")),
    ]
    on_disk = sum(len(content) for content in _content(Path(result.output)).values())
    assert (result.read, result.kept, result.bytes_written) == (63, 0, on_disk)
