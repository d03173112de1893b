"""Risk: a dataset is damaged, and verifying it says that it is good, or does not say what is wrong with which file."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oceanrecon.pipeline.taco.verify import verify_taco
from oceanrecon.stores.taco import COLLECTION, LEVELS
from oceanrecon.stores.taco_tables import stamp
from tests.taco_files import Regional, plane, small

_SST = "DATA/2024_01_10/NORTH_ATLANTIC/l4_sst.nc"
_OTHER = "DATA/2024_01_11/NORTH_ATLANTIC/l4_sst.nc"
_REGION = "DATA/2024_01_10/NORTH_INDIAN/l4_sst.nc"
_ABSENT = "DATA/2024_01_10/NORTH_ATLANTIC/glorys.nc"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    regional = small(folder / "regions")
    regional.build(folder / "dataset")
    regional.build(folder / "one.tacozip", form="zip")
    return folder


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> Path:
    """A copy, as files are linked to the regional ones."""
    shutil.copytree(made / "dataset", tmp_path / "dataset")
    return tmp_path / "dataset"


def _found(dataset: Path, inventory: Path | None = None) -> set[tuple[str, str]]:
    verified = verify_taco(str(dataset), None if inventory is None else str(inventory))
    return {(problem.kind, problem.path) for problem in verified.problems}


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _swap(dataset: Path, one: str, other: str) -> None:
    first, second = ((dataset / path).read_bytes() for path in (one, other))
    (dataset / one).write_bytes(second)
    (dataset / other).write_bytes(first)


@pytest.mark.parametrize("name", ["dataset", "one.tacozip"])
def test_a_good_dataset_is_good(made: Path, name: str) -> None:
    verified = verify_taco(str(made / name), str(made / "regions"))
    assert verified.good
    assert (verified.dates, verified.files, verified.absent) == (2, 37, 139)


@pytest.mark.parametrize(
    ("damage", "kind"),
    [(_truncate, "truncated"), (_flip, "altered"), (Path.unlink, "missing")],
)
def test_a_damaged_file_is_named(dataset: Path, damage: Callable[[Path], None], kind: str) -> None:
    damage(dataset / _SST)
    assert _found(dataset) == {(kind, _SST)}


def test_files_that_changed_places_are_named(dataset: Path) -> None:
    _swap(dataset, _SST, _OTHER)
    kinds = _found(dataset)
    assert {path for _, path in kinds} == {_SST, _OTHER}


def test_a_file_that_no_table_has_is_named(dataset: Path) -> None:
    (dataset / "DATA/2024_01_10/notes.txt").write_text("mine")
    shutil.copytree(dataset / "DATA/2024_01_10", dataset / "DATA/2024_01_12")
    found = _found(dataset)
    assert ("extra", "DATA/2024_01_10/notes.txt") in found
    assert ("extra", "DATA/2024_01_12/NORTH_ATLANTIC/l4_sst.nc") in found
    assert {kind for kind, _ in found} == {"extra"}


def test_data_where_none_should_be_are_named(dataset: Path) -> None:
    (dataset / _ABSENT).write_bytes((dataset / _SST).read_bytes())
    assert _found(dataset) == {("altered", _ABSENT)}


def test_data_that_a_row_denies_are_named(dataset: Path) -> None:
    """Though its size and checksum are right."""
    table = pq.read_table(dataset / LEVELS[2])
    place = table["internal:relative_path"].to_pylist().index(_SST.removeprefix("DATA/"))
    available = [one and row != place for row, one in enumerate(table["available"].to_pylist())]
    _rewrite(dataset, table.set_column(table.column_names.index("available"), "available", pa.array(available)),
             stamped=True)  # fmt: skip
    assert ("altered", _SST) in _found(dataset)


def test_tables_may_be_encoded_in_another_way(dataset: Path) -> None:
    path = dataset / "DATA/2024_01_10/__meta__"
    pq.write_table(pq.read_table(path), path, compression="none")
    assert _found(dataset) == set()


@pytest.mark.parametrize("stamped", [False, True])
def test_a_row_that_was_dropped_is_named(dataset: Path, stamped: bool) -> None:
    table = pq.read_table(dataset / LEVELS[2])
    paths = table["internal:relative_path"].to_pylist()
    place = paths.index(_SST.removeprefix("DATA/"))
    _rewrite(dataset, pa.concat_tables([table.slice(0, place), table.slice(place + 1)]), stamped=stamped)
    found = _found(dataset)
    assert {("tables", _SST), ("extra", _SST)} <= found
    assert (("tables", LEVELS[2]) in found) == (not stamped)


def test_a_row_that_says_something_else_is_named(dataset: Path) -> None:
    """Also where whoever changed it has changed the checksum of the table, too."""
    table = pq.read_table(dataset / LEVELS[2])
    place = table["internal:relative_path"].to_pylist().index(_SST.removeprefix("DATA/"))
    other = table["internal:relative_path"].to_pylist().index(_REGION.removeprefix("DATA/"))
    geometries = table["istac:geometry"].to_pylist()
    geometries[place] = geometries[other]
    column = table.column_names.index("istac:geometry")
    _rewrite(dataset, table.set_column(column, "istac:geometry", pa.array(geometries, pa.binary())), stamped=True)
    found = _found(dataset)
    # the file has other longitudes, and its folder's table and the centre another box
    assert ("extent", _SST) in found
    assert ("tables", "DATA/2024_01_10/NORTH_ATLANTIC/__meta__") in found
    assert ("tables", LEVELS[2]) in found


def test_a_file_of_another_place_is_named_even_if_the_tables_agree(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 10, {"analysed_sst": plane}, regions=["NORTH_ATLANTIC", "NORTH_INDIAN"])
    first, second = regional.rows
    # the inventory has the right checksums and the wrong regions
    regional.rows = [first.__class__(**{**vars(one), "region": other.region}) for one, other in
                     ((first, second), (second, first))]  # fmt: skip
    regional.build(tmp_path / "dataset")
    found = _found(tmp_path / "dataset")
    assert {("misplaced", _SST), ("misplaced", _REGION)} <= found


def test_another_extent_of_the_collection_is_named(dataset: Path) -> None:
    content = json.loads((dataset / COLLECTION).read_text())
    content["extent"]["spatial"] = [45.0, -45.0, 135.0, 45.0]
    (dataset / COLLECTION).write_text(json.dumps(content))
    assert _found(dataset) == {("extent", COLLECTION)}


def test_a_damaged_table_of_a_folder_is_named(dataset: Path) -> None:
    _flip(dataset / "DATA/2024_01_10/__meta__")
    assert _found(dataset) == {("tables", "DATA/2024_01_10/__meta__")}


def test_the_inventory_is_compared(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "regions", tmp_path / "regions")
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_wind", 10, {"eastward_wind": plane}, regions=["NORTH_ATLANTIC"])
    regional.gridded("l4_sst", 10, {"analysed_sst": plane}, regions=["NORTH_INDIAN"])
    regional.rows[1] = regional.rows[1].__class__(**{**vars(regional.rows[1]), "size": 7})
    # days that the dataset does not have are no concern of it
    regional.gridded("l4_sst", 12, {"analysed_sst": plane})
    regional.write()
    found = _found(made / "dataset", tmp_path / "regions")
    assert ("inventory", "DATA/2024_01_10/NORTH_ATLANTIC/l4_wind.nc") in found
    assert ("inventory", _REGION) in found
    assert ("inventory", _SST) in found
    assert {kind for kind, _ in found} == {"inventory"}
    assert len(found) == 2 + 36


def test_a_whole_day_that_is_not_there_is_named(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    for day in (10, 12):
        regional.gridded("l4_sst", day, {"analysed_sst": plane}, regions=["NORTH_ATLANTIC"])
        regional.gridded("l4_ssh", day, {"sla": plane}, regions=["NORTH_ATLANTIC"])
    regional.build(tmp_path / "dataset", sources=["l4_sst"])
    regional.gridded("l4_sst", 11, {"analysed_sst": plane}, regions=["NORTH_ATLANTIC"])
    regional.write()
    verified = verify_taco(str(tmp_path / "dataset"), regional.url)
    assert [problem.path for problem in verified.problems] == [_OTHER]


def test_one_file_that_is_cut_off_or_altered_is_named(made: Path, tmp_path: Path) -> None:
    data = (made / "one.tacozip").read_bytes()
    short = tmp_path / "short.tacozip"
    short.write_bytes(data[:-10])
    assert ("unreadable", "") in _found(short)
    altered = tmp_path / "altered.tacozip"
    content = (made / "dataset" / _SST).read_bytes()
    place = data.index(content) + len(content) // 2
    altered.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    assert _found(altered) == {("altered", _SST)}


@pytest.mark.parametrize(
    ("facts", "kind", "said"),
    [
        ({"start": 0, "end": 1}, "extent", "its day is 20240110"),
        ({"start": 1_704_880_800_000_000}, "extent", "time_coverage_start"),
        ({"box": (-50.0, 10.0, -49.0, 11.0)}, "extent", "-50.0 to -49.0"),
        ({"box": None}, "extent", "no extent"),
        ({"observations": 1}, "altered", "1 observations"),
        ({"valid": 5}, "altered", "5 values"),
    ],
)
@pytest.mark.parametrize("source", ["l4_sst", "argo", "l3_ssh"])
def test_a_row_that_is_not_of_its_values_is_named(
    tmp_path: Path, source: str, facts: dict[str, object], kind: str, said: str
) -> None:
    regional = Regional(tmp_path / "regions")
    if source == "l4_sst":
        regional.gridded("l4_sst", 10, {"analysed_sst": plane}, regions=["NORTH_ATLANTIC"])
    elif source == "argo":
        regional.points(10, [10.0, 20.5], [-40.0, -5.0], [20.0, 21.0])
    else:
        regional.cells("l3_ssh", 10, 5, 100.0, {0: 0.25, 500: -0.5})
    regional.build(tmp_path / "good")
    assert verify_taco(str(tmp_path / "good"), regional.url).good
    # the inventory, and all tables after it, say something else
    regional.rows = [replace(regional.rows[0], **facts)]  # type: ignore[arg-type]
    regional.build(tmp_path / "dataset")
    problems = verify_taco(str(tmp_path / "dataset"), regional.url).problems
    assert {(problem.kind, problem.path) for problem in problems} == {
        (kind, f"DATA/2024_01_10/NORTH_ATLANTIC/{source}.nc")
    }
    assert any(said in problem.message for problem in problems)


def test_a_collection_that_lacks_something_is_named(dataset: Path) -> None:
    right = json.loads((dataset / COLLECTION).read_text())
    for name in right:
        wrong = {key: value for key, value in right.items() if key != name}
        (dataset / COLLECTION).write_text(json.dumps(wrong))
        # without the checksums of the tables, they are what is wrong
        paths = {path for _, path in _found(dataset)}
        assert paths == (set(LEVELS) if name == "oceanrecon:tables" else {COLLECTION}), name
    for name, value in (("taco_version", "9"), ("taco:field_schema", {"level0": []}), ("licenses", []), ("id", "")):
        (dataset / COLLECTION).write_text(json.dumps({**right, name: value}))
        assert _found(dataset) == {("tables", COLLECTION)}, name


def test_a_name_that_leads_nowhere_is_missing(dataset: Path) -> None:
    (dataset / _SST).unlink()
    (dataset / _SST).symlink_to("nowhere")
    assert _found(dataset) == {("missing", _SST)}


def test_a_table_without_rows_is_named(dataset: Path) -> None:
    pq.write_table(pq.read_table(dataset / LEVELS[2]).slice(0, 0), dataset / LEVELS[2])
    assert _found(dataset) == {("tables", LEVELS[2])}


def test_what_other_readers_of_zip_refuse_is_named(made: Path, tmp_path: Path) -> None:
    data = (made / "one.tacozip").read_bytes()
    with zipfile.ZipFile(made / "one.tacozip") as archive:
        entry = archive.getinfo(_SST)
    for place in (0, 14, 30):  # signature, checksum and name
        changed = bytearray(data)
        changed[entry.header_offset + place] ^= 1
        (tmp_path / "one.tacozip").write_bytes(changed)
        assert _found(tmp_path / "one.tacozip") == {("altered", _SST)}
    # a wrong checksum in both places
    changed = bytearray(data)
    directory = data.rindex(_SST.encode()) - 46
    for place in (entry.header_offset + 14, directory + 16):
        changed[place] ^= 1
    (tmp_path / "one.tacozip").write_bytes(changed)
    assert _found(tmp_path / "one.tacozip") == {("altered", _SST)}


def _rewrite(dataset: Path, table: pa.Table, *, stamped: bool) -> None:
    """Another table of the files, and the checksum of it."""
    pq.write_table(table, dataset / LEVELS[2])
    if stamped:
        content = json.loads((dataset / COLLECTION).read_text())
        content["oceanrecon:tables"][LEVELS[2]] = stamp((dataset / LEVELS[2]).read_bytes())
        (dataset / COLLECTION).write_text(json.dumps(content))
