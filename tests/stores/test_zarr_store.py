from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import http.server
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.stores.files import Root
from oceanrecon.stores.zarr_store import (
    DenseLayout,
    DenseVariable,
    check_days_shard,
    check_shard,
    create_or_extend,
    days_shard_key,
    decode_shard,
    encode_days_shard,
    encode_shard,
    read_times,
    shard_key,
)
from oceanrecon.transform.encode import EncodingName, stretch

GRID = RasterGrid.from_bounds(1.0, (-20.0, 30.0, 50.0, 60.0))  # 70 x 30, chunks of 16: both edges are padded
TIMES = (dt.date(2012, 2, 29), dt.date(2012, 3, 7), dt.date(2012, 3, 14))
STORE = "dense.zarr"


def make_layout(encoding: EncodingName = "uint8", times: tuple[dt.date, ...] = TIMES) -> DenseLayout:
    temperature = {"standard_name": "sea_water_potential_temperature"}
    return DenseLayout(
        GRID,
        (0.494025, 10.0),
        times,
        (
            DenseVariable("thetao", stretch("temperature_kelvin", encoding), True, temperature, False),
            DenseVariable("adt", stretch("sea_height", encoding), False, {"long_name": "sea level"}, True),
        ),
        inner=16,
    )


def some_codes(layout: DenseLayout, name: str) -> NDArray[Any]:
    variable = {variable.name: variable for variable in layout.variables}[name]
    shape = (*((2,) if variable.levels else ()), 30, 70)
    code = variable.stretch
    codes = np.random.default_rng(2).integers(0, code.last_code, shape, dtype=code.dtype, endpoint=True)
    codes[..., :20, :40] = code.nodata  # whole chunks of it
    return codes


def write_time(root: Root, layout: DenseLayout, index: int) -> None:
    thetao, adt = layout.variables
    root.write(shard_key(STORE, thetao, index), encode_shard(some_codes(layout, "thetao"), thetao, layout))
    root.write(shard_key(STORE, adt, index), encode_shard(some_codes(layout, "adt"), adt, layout))
    days = np.full((30, 70), 7, np.uint8)
    root.write(days_shard_key(STORE, adt, index), encode_days_shard(days, layout))


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("encoding", ["uint8", "uint16"])
def test_plain_xarray_reads_values_and_a_time_never_written_is_missing(tmp_path: Path, encoding: EncodingName) -> None:
    layout = make_layout(encoding)
    root = Root(str(tmp_path))
    create_or_extend(root, STORE, layout)
    write_time(root, layout, 1)
    for consolidated in (None, True, False):
        with xr.open_zarr(tmp_path / STORE, consolidated=consolidated, chunks=None) as dataset:
            assert sorted(map(str, dataset.data_vars)) == ["adt", "adt_days", "thetao"]
            assert dataset.thetao.dims == ("time", "depth", "latitude", "longitude")
            assert dataset.thetao.isnull().all(("depth", "latitude", "longitude")).values.tolist() == [
                True,
                False,
                True,
            ]
            assert dataset.adt_days.isel(latitude=0, longitude=0).values.tolist() == [0, 7, 0]
            assert [str(time)[:10] for time in dataset.time.values] == ["2012-02-29", "2012-03-07", "2012-03-14"]
            assert dataset.latitude.values[[0, -1]].tolist() == [59.5, 30.5]
            assert dataset.depth.attrs["positive"] == "down"
            assert dataset.thetao.attrs["units"] == "K" and "standard_name" in dataset.thetao.attrs
            for name, low, high in (
                ("thetao", *((270.15, 308.15) if encoding == "uint8" else (268.15, 313.15))),
                ("adt", *((-2.0, 2.0) if encoding == "uint8" else (-5.0, 5.0))),
            ):
                last = 254 if encoding == "uint8" else 65534
                codes = some_codes(layout, name)
                expected = np.where(codes > last, np.nan, low + codes.astype(float) / last * (high - low))
                np.testing.assert_allclose(dataset[name].values[1], expected, rtol=0, atol=0.01 * (high - low) / last)


@pytest.mark.parametrize("encoding", ["uint8", "uint16"])
def test_shards_hold_the_chunks_that_zarr_python_would_write(tmp_path: Path, encoding: EncodingName) -> None:
    layout = make_layout(encoding)
    variable = layout.variables[0]
    codes = some_codes(layout, "thetao")
    create_or_extend(Root(str(tmp_path)), STORE, layout)
    array = zarr.open_array(tmp_path / STORE / "thetao", mode="r+")
    array[0] = codes
    theirs = (tmp_path / shard_key(STORE, variable, 0)).read_bytes()
    ours = encode_shard(codes, variable, layout)
    index = 2 * 5 * 16 + 4

    def chunks(shard: bytes) -> list[bytes]:
        entries = np.frombuffer(shard[-index:-4], "<u8").reshape(-1, 2)
        return [b"" if offset == 2**64 - 1 else shard[int(offset) : int(offset + size)] for offset, size in entries]

    assert chunks(ours) == chunks(theirs)
    assert [chunk == b"" for chunk in chunks(ours)] == [True, True] + [False] * 8  # the missing ones are not stored
    assert len(ours) == len(theirs)
    assert check_shard(theirs, variable, layout) == []
    np.testing.assert_array_equal(decode_shard(theirs, variable, layout), codes)
    (tmp_path / shard_key(STORE, variable, 2)).parent.mkdir(parents=True)
    (tmp_path / shard_key(STORE, variable, 2)).write_bytes(ours)
    np.testing.assert_array_equal(array[2], codes)


def test_an_empty_shard_and_any_memory_order_encode_alike() -> None:
    layout = make_layout()
    variable = layout.variables[0]
    codes = some_codes(layout, "thetao")
    assert encode_shard(np.asfortranarray(codes), variable, layout) == encode_shard(codes, variable, layout)
    empty = encode_shard(np.full_like(codes, 255), variable, layout)
    assert len(empty) == 2 * 5 * 16 + 4
    assert check_shard(empty, variable, layout) == []
    assert (decode_shard(empty, variable, layout) == 255).all()


def test_damage_anywhere_in_a_shard_is_found() -> None:
    layout = make_layout("uint16")
    variable = layout.variables[0]
    shard = encode_shard(some_codes(layout, "thetao"), variable, layout)
    assert check_shard(shard[:100], variable, layout) == [
        "the shard has 100 bytes, fewer than the 164 of its index alone"
    ]
    assert "checksum" in check_shard(shard[:-10] + bytes(10), variable, layout)[0]
    assert any("beyond" in problem for problem in check_shard(shard[2000:], variable, layout))
    (problem,) = check_shard(bytes(16) + shard[16:], variable, layout)
    assert "row 0, column 32 cannot be decoded" in problem
    with pytest.raises(OutputError, match="cannot be decoded"):
        decode_shard(bytes(16) + shard[16:], variable, layout)
    assert check_days_shard(encode_days_shard(np.ones((30, 70), np.uint8), layout), layout) == []


def test_metadata_is_the_same_each_time_and_extends_in_place(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    first = make_layout(times=TIMES[:2])
    assert read_times(root, STORE) == ()
    create_or_extend(root, STORE, dataclasses.replace(first, variables=first.variables[:1]))
    write_shard = encode_shard(some_codes(first, "thetao"), first.variables[0], first)
    root.write(shard_key(STORE, first.variables[0], 1), write_shard)
    before = contents(tmp_path / STORE)
    create_or_extend(root, STORE, dataclasses.replace(first, variables=first.variables[:1]))
    assert contents(tmp_path / STORE) == before
    # Another variable and a later time at once; the variable that the new layout leaves out is kept.
    create_or_extend(root, STORE, dataclasses.replace(make_layout(), variables=first.variables[1:]))
    assert read_times(root, STORE) == TIMES
    with xr.open_zarr(tmp_path / STORE, chunks=None) as dataset:
        assert sorted(map(str, dataset.data_vars)) == ["adt", "adt_days", "thetao"]
        missing = dataset.thetao.isnull().all(("depth", "latitude", "longitude")).values.tolist()
        assert missing == [True, False, True]
    # The same as made in one go: an extended export is byte-identical.
    other = Root(str(tmp_path / "other"))
    create_or_extend(other, STORE, make_layout())
    other.write(shard_key(STORE, first.variables[0], 1), write_shard)
    assert contents(tmp_path / "other" / STORE) == contents(tmp_path / STORE)


def test_a_reader_of_the_old_metadata_is_not_disturbed_by_an_extension(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    create_or_extend(root, STORE, make_layout(times=TIMES[:1]))
    with xr.open_zarr(tmp_path / STORE, consolidated=True) as opened:
        create_or_extend(root, STORE, make_layout())
        assert opened.thetao.isnull().all().compute()
        assert opened.sizes["time"] == 1


def test_a_killed_extension_is_seen_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(str(tmp_path))
    create_or_extend(root, STORE, make_layout(times=TIMES[:1]))
    written: list[str] = []
    write = Root.write

    def until_killed(self: Root, rel: str, data: bytes | memoryview) -> None:
        if rel.endswith("dense.zarr/zarr.json"):
            raise KeyboardInterrupt
        written.append(rel)
        write(self, rel, data)

    monkeypatch.setattr(Root, "write", until_killed)
    with pytest.raises(KeyboardInterrupt):
        create_or_extend(root, STORE, make_layout())
    assert f"{STORE}/time/c/0" in written
    with xr.open_zarr(tmp_path / STORE, chunks=None) as dataset:
        assert dataset.time.size == 1
    monkeypatch.undo()
    create_or_extend(root, STORE, make_layout())
    assert read_times(root, STORE) == TIMES


def _coarser() -> DenseLayout:
    return dataclasses.replace(make_layout(), grid=RasterGrid.from_bounds(2.0, (-20.0, 30.0, 50.0, 60.0)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (_coarser(), "another latitude, 59.5 to 30.5 in 30 instead of 59 to 31 in 15"),
        (dataclasses.replace(make_layout(), depth=(0.494025, 20.0)), "another depth"),
        (make_layout("uint16"), "stores adt with data_type uint8 instead of uint16"),
        (dataclasses.replace(make_layout(), inner=32), "stores adt with chunk_grid"),
        (make_layout(times=TIMES[1:]), "its 2012-02-29 is not a target"),
        (make_layout(times=(dt.date(2012, 3, 1), *TIMES)), "can only be extended by later times"),
        (make_layout(times=(dt.date(2012, 2, 1), *TIMES)), "a new target lies before its 2012-03-14"),
    ],
)
def test_another_export_is_not_mixed_in(tmp_path: Path, changed: DenseLayout, message: str) -> None:
    root = Root(str(tmp_path))
    create_or_extend(root, STORE, make_layout())
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=f"{message}.*(?s:.*)--overwrite"):
        create_or_extend(root, STORE, changed)
    assert contents(tmp_path) == before


def test_something_else_under_the_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / STORE).mkdir()
    (tmp_path / STORE / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    for read in (
        lambda: read_times(Root(str(tmp_path)), STORE),
        lambda: create_or_extend(Root(str(tmp_path)), STORE, make_layout()),
    ):
        with pytest.raises(OutputError, match="not a store of ours"):
            read()


def test_codes_of_the_wrong_shape_or_type_are_refused() -> None:
    layout = make_layout()
    with pytest.raises(OutputError, match=r"uint8\[30, 70\] do not fit a shard uint8\[2, 30, 70\]"):
        encode_shard(np.zeros((30, 70), np.uint8), layout.variables[0], layout)
    with pytest.raises(OutputError, match="do not fit"):
        encode_days_shard(np.zeros((30, 70), np.uint16), layout)


def test_the_store_opens_over_http_where_nothing_can_be_listed(tmp_path: Path) -> None:
    layout = make_layout()
    root = Root(str(tmp_path))
    create_or_extend(root, STORE, layout)
    write_time(root, layout, 0)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def list_directory(self, path: Any) -> None:
            self.send_error(403)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            with xr.open_zarr(f"{address}/{STORE}", chunks=None) as dataset:
                assert dataset.adt.notnull().any("latitude").any("longitude").values.tolist() == [True, False, False]
            remote = Root(address)
            assert read_times(remote, STORE) == TIMES
        finally:
            server.shutdown()
            thread.join()
