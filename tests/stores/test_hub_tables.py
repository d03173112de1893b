from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr

from oceanrecon.errors import OutputError
from oceanrecon.stores.columns import ColumnReader
from oceanrecon.stores.files import Root
from oceanrecon.stores.hub.facts import PROFILES_TABLE, VARIABLES_TABLE
from oceanrecon.stores.hub.tables import describe_store, write_profiles, write_variables
from tests.stores.hub_sample import DEPTH, PACKAGED, ROWS, STORE, write_store


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return write_store(tmp_path_factory.mktemp("store"))


def open_store(source: Root, **options: Any) -> xr.Dataset:
    store: xr.Dataset = xr.open_zarr(source.url_of(STORE), chunks=None, **options)
    return store


def test_the_profiles_table_is_what_xarray_and_pandas_make_of_the_store(source: Root, tmp_path: Path) -> None:
    write_profiles(source, STORE, Root(str(tmp_path)))
    written = pd.read_parquet(tmp_path / PROFILES_TABLE)
    store = open_store(source, decode_cf=False)
    expected = pd.DataFrame(
        {name: store[name].values for name in written.columns if not name.startswith("argo_")}
        | {
            f"argo_{name}_valid_depth_count": np.isfinite(store[f"argo_{name}_on_glorys_depth"].values).sum(1)
            for name in ("temp", "potm", "psal")
        }
    )
    pd.testing.assert_frame_equal(written, expected[written.columns], check_dtype=False)
    assert written.profile.tolist() == list(range(ROWS))
    assert len(written.columns) == 16  # ten of every store, three counts, two products that were sampled, and `profile`
    for name, dtype in {
        "argo_temp_valid_depth_count": "int16",
        "cycle_number": "int32",
        "profile_date": "int64",
    }.items():
        assert written[name].dtype == dtype


def test_the_table_is_written_shard_by_shard(source: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[int] = set()
    get = ColumnReader.read

    def watched(reader: ColumnReader, names: Iterable[str], start: int = 0, stop: int | None = None) -> Any:
        found = get(reader, names, start, stop)
        read.update(len(values) for values in found.values())
        return found

    monkeypatch.setattr(ColumnReader, "read", watched)
    write_profiles(source, STORE, Root(str(tmp_path)))
    assert read == {8, 5}
    file = pq.ParquetFile(tmp_path / PROFILES_TABLE)
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [8, 8, 5]


def test_the_same_store_gives_the_same_bytes(source: Root, tmp_path: Path) -> None:
    hashes = set()
    for name in "ab":
        table = write_profiles(source, STORE, Root(str(tmp_path / name)))
        data = (tmp_path / name / PROFILES_TABLE).read_bytes()
        assert table.file.sha256 == hashlib.sha256(data).hexdigest()
        assert table.file.bytes == len(data)
        variables = write_variables(Root(str(tmp_path / name)), describe_store(source, STORE).variables, PACKAGED)
        assert variables.sha256 == hashlib.sha256((tmp_path / name / VARIABLES_TABLE).read_bytes()).hexdigest()
        hashes.add((table.file.sha256, variables.sha256))
    assert len(hashes) == 1


def test_the_variables_table_says_what_xarray_sees(source: Root, tmp_path: Path) -> None:
    write_variables(Root(str(tmp_path)), describe_store(source, STORE).variables, PACKAGED)
    written = pd.read_parquet(tmp_path / VARIABLES_TABLE).set_index("name")
    store, raw = open_store(source), open_store(source, decode_cf=False)
    assert set(written.index) == set(store.variables)
    assert set(written.index[written.kind == "coordinate"]) == set(store.coords)
    for name, row in written.to_dict("index").items():
        variable = raw[name]
        assert row["dims"] == ",".join(map(str, variable.dims))
        assert json.loads(row["shape"]) == list(variable.shape)
        assert row["dtype"] == ("string" if variable.dtype.kind == "T" else variable.dtype)
        assert row["units"] == variable.attrs.get("units", "")
        assert row["zarr_array_path"] == f"{PACKAGED}/{name}"
    found = dict(zip(written.index, zip(written.source_product, written.source_variable, strict=True), strict=True))
    assert found["glorys_thetao"] == ("glorys", "thetao")
    assert found["sealevel_temporal_status"] == ("sealevel", "")
    assert found["cycle_number"] == ("", "")


def test_the_store_is_described_by_its_metadata(source: Root) -> None:
    contents = describe_store(source, STORE)
    assert contents.profile_count == ROWS
    assert contents.depth == (0.494025, 1.541375, 9.572997, 109.7293, 5727.917)
    assert np.array_equal(np.array(contents.depth, np.float32), DEPTH)
    assert contents.attrs["quality"] == {"mode": "standard", "levels": [1, 2, -1]}


@pytest.mark.parametrize(
    ("longitudes", "west", "east"),
    [
        ((-40.0, 12.5), -40.0, 12.5),
        ((170.0, -170.0), 170.0, -170.0),
        ((170.0, 190.0), 170.0, -170.0),  # 0..360
        ((120.0, 180.0), 120.0, -180.0),
        ((120.0, 179.5, -70.0), 120.0, -70.0),  # the Pacific
        ((-179.9, -1.0, 1.0, 179.9), -179.9, 179.9),  # all around
        ((10.0, -179.0), 10.0, -179.0),  # 189 degrees over Greenwich, 171 over the dateline
        ((-20.0, -10.0), -20.0, -10.0),
        ((5.0, 5.0), 5.0, 5.0),
    ],
)
def test_the_box_goes_the_short_way_round(
    tmp_path: Path, longitudes: tuple[float, ...], west: float, east: float
) -> None:
    longitude = np.resize(np.array(longitudes), ROWS)
    coverage = write_profiles(write_store(tmp_path, longitude), STORE, Root(str(tmp_path / "package"))).coverage
    assert coverage.bbox == (west, -33.25, east, 61.5)
    assert (coverage.start, coverage.end) == (dt.date(2012, 2, 28), dt.date(2012, 3, 1))


def test_a_store_that_cannot_be_packaged_is_named(tmp_path: Path) -> None:
    package = Root(str(tmp_path / "package"))
    with pytest.raises(OutputError, match=r"enriched_argo_profiles\.zarr is no profile store, or not a finished one"):
        write_profiles(Root(str(tmp_path)), STORE, package)
    empty = write_store(tmp_path / "empty", rows=0)
    with pytest.raises(OutputError, match="has no profiles"):
        write_profiles(empty, STORE, package)
    other = write_store(tmp_path / "other", leave_out="argo_psal_valid_on_glorys_depth")
    with pytest.raises(OutputError, match=r"has no argo_psal_valid_on_glorys_depth: make it with `oceanrecon profiles"):
        write_profiles(other, STORE, package)
    damaged = write_store(tmp_path / "damaged")
    shard = Path(damaged.url_of(STORE)) / "platform_number" / "c" / "1"
    shard.write_bytes(shard.read_bytes()[:-3] + b"abc")
    with pytest.raises(OutputError, match=r"platform_number/c/1 is damaged: .*run `oceanrecon verify`"):
        write_profiles(damaged, STORE, package)
    assert package.list() == []


def test_a_store_in_the_cloud_is_read_too(source: Root, tmp_path: Path) -> None:
    remote = Root("memory://hub-tables/store")
    for path in source.list(STORE):
        remote.write(path, source.read(path))
    here = write_profiles(source, STORE, Root(str(tmp_path)))
    package = Root("memory://hub-tables/package")
    assert write_profiles(remote, STORE, package).file == here.file
    assert hashlib.sha256(package.read(PROFILES_TABLE)).hexdigest() == here.file.sha256
