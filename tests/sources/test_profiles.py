"""Files of profiles are found, refused and reported by name, whatever they are called and however they are stored."""

import datetime as dt
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import netCDF4
import numpy as np
import pytest

from oceanrecon.errors import ArchiveError, SourceError
from oceanrecon.sources.classic import classic_size
from oceanrecon.sources.profiles import (
    HEADER_COLUMNS,
    LevelReader,
    SourceKind,
    is_profile_name,
    list_profile_files,
    read_headers,
)
from oceanrecon.sources.quality import level_acceptance, place_acceptance, usable_variables
from tests.profile_files import Format, levels, listed, truncate, write_argo, write_en4

CLASSIC: tuple[Format, ...] = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA")
FORMATS: tuple[Format, ...] = (*CLASSIC, "NETCDF4", "NETCDF4_CLASSIC")
FIELDS = ("depth", "temp", "potm", "psal", "depth_qc", "temp_qc", "potm_qc", "psal_qc")


def test_names_of_both_kinds_at_any_depth_and_nothing_else(tmp_path: Path) -> None:
    ours = {
        "en4": ["EN.4.2.2.f.profiles.g10.201001.nc", "2010/EN.4.2.2.p.profiles.l09.201002.nc"],
        "argo": [
            "dac/coriolis/6901929/6901929_prof.nc",
            "dac/coriolis/6901929/profiles/D6901929_124.nc",
            "dac/coriolis/6901929/profiles/R6901929_001D.nc",
            "dac/aoml/13857/profiles/R13857_1001.nc",
        ],
    }
    others = [
        "dac/coriolis/6901929/profiles/BD6901929_124.nc",
        "dac/coriolis/6901929/profiles/MR6901929_124.nc",
        "dac/coriolis/6901929/6901929_Sprof.nc",
        "dac/coriolis/6901929/6901929_Rtraj.nc",
        "dac/coriolis/6901929/.6901929_prof.nc",
        ".hidden/6901929_prof.nc",
        "EN.4.2.2.f.analysis.g10.201001.nc",
        "readme.txt",
    ]
    for name in (*ours["en4"], *ours["argo"], *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    en4 = list_profile_files(str(tmp_path), "en4")
    assert [file.path for file in en4] == sorted(ours["en4"])
    assert [file.month for file in en4] == [dt.date(2010, 2, 1), dt.date(2010, 1, 1)]
    argo = list_profile_files(str(tmp_path), "argo")
    assert [file.path for file in argo] == sorted(ours["argo"])
    assert {file.month for file in argo} == {None}
    named = [name for name in (*ours["en4"], *ours["argo"], *others) if is_profile_name(name.rsplit("/")[-1])]
    assert named == [*ours["en4"], *ours["argo"], ".hidden/6901929_prof.nc"]


def test_a_pattern_takes_files_of_any_name_by_name_or_path(tmp_path: Path) -> None:
    for name in ("a/mine_1.nc", "b/mine_2.nc", "b/.mine_3.nc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [file.path for file in list_profile_files(str(tmp_path), "en4", "mine_*")] == ["a/mine_1.nc", "b/mine_2.nc"]
    only = list_profile_files(str(tmp_path), "en4", "b/*.nc")
    assert [(file.path, file.month) for file in only] == [("b/mine_2.nc", None)]
    with pytest.raises(ArchiveError, match=r"no file of 2 .* matches 'yours"):
        list_profile_files(str(tmp_path), "en4", "yours*")
    with pytest.raises(ArchiveError, match=r"named as 6901929_prof\.nc"):
        list_profile_files(str(tmp_path), "argo")
    with pytest.raises(ArchiveError, match="nowhere"):
        list_profile_files(str(tmp_path / "nowhere"), "argo")


def test_a_remote_file_reads_as_a_local_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    path = write_en4(tmp_path / "EN.4.2.2.f.profiles.g10.201001.nc")
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"/profiles/2010/{path.name}", path.read_bytes())
    (file,) = list_profile_files("memory://profiles", "en4")
    assert (file.url, file.bytes) == (f"memory://profiles/2010/{path.name}", path.stat().st_size)
    np.testing.assert_array_equal(levels(file).potm, levels(listed(path)).potm)
    assert list(scratch.iterdir()) == []  # no copy is left behind
    memory.rm("/profiles", recursive=True)
    with pytest.raises(SourceError, match="does not exist"):
        read_headers(file)


@pytest.mark.parametrize("kind", ["en4", "argo"])
def test_every_format_gives_the_same(tmp_path: Path, kind: SourceKind) -> None:
    write: Any = write_en4 if kind == "en4" else write_argo
    files = [
        listed(
            write(tmp_path / f"{name}.nc", 3, temp=[[20, 19], [18], [17, 16, 15]], psal_qc="14", file_format=name), kind
        )
        for name in FORMATS
    ]
    files.append(listed(write(tmp_path / "packed.nc", 3, temp=[[20, 19], [18], [17, 16, 15]], psal_qc="14",
                              file_format="NETCDF4", zlib=True, chunksizes=(2, 3)), kind))  # fmt: skip
    tables = [read_headers(file)[0].drop(columns="path") for file in files]
    held = [levels(file) for file in files]
    for table, found in zip(tables[1:], held[1:], strict=True):
        assert table.equals(tables[0])
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(found, name), getattr(held[0], name))
    assert dict(tables[0].dtypes.astype(str)) == {k: v for k, v in HEADER_COLUMNS.items() if k != "path"}
    np.testing.assert_array_equal(held[0].temp[:, :3], [[20, 19, np.nan], [18, np.nan, np.nan], [17, 16, 15]])


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("keep", [0.98, 0.6, 0.1, 0.001])
def test_a_truncated_file_is_refused_by_name_and_never_read_as_zeros(
    tmp_path: Path, file_format: Format, keep: float
) -> None:
    path = write_en4(tmp_path / "month.nc", 20, slots=50, file_format=file_format)
    assert read_headers(listed(path))[0].shape[0] == 20
    with pytest.raises(SourceError, match=r"^/.*month\.nc: "):
        read_headers(listed(truncate(path, keep)))


@pytest.mark.parametrize("unlimited", [True, False])
@pytest.mark.parametrize("file_format", CLASSIC)
def test_the_size_that_a_classic_file_needs(tmp_path: Path, file_format: Format, unlimited: bool) -> None:
    """All that is not needed is the padding of the last variable, less than 4 bytes."""
    for profiles in (1, 2, 7):
        path = write_en4(tmp_path / "file.nc", profiles, slots=5, file_format=file_format, unlimited=unlimited)
        with path.open("rb") as stream:
            assert 0 <= path.stat().st_size - classic_size(stream) < 4


def test_the_size_of_a_single_record_variable_has_no_padding(tmp_path: Path) -> None:
    path = tmp_path / "file.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("record", None)
        file.createVariable("letter", "S1", ("record",))[:] = np.array(list("abcdefg"), dtype="S1")
    with path.open("rb") as stream:
        assert 0 <= path.stat().st_size - classic_size(stream) < 4
    with path.open("rb") as stream:
        needed = classic_size(stream)
    assert path.read_bytes()[needed - 7 : needed] == b"abcdefg"


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty file"), (b"<html>404</html>", "not a NetCDF file"), (b"CDF\x07abc", "damaged")],
)
def test_what_is_no_netcdf_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file.nc"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"^/.*file\.nc: .*{message}"):
        read_headers(listed(path))


def test_a_damaged_variable_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = write_en4(tmp_path / "file.nc", 40, temp=rng.uniform(0, 20, (40, 60)), zlib=True)
    file = listed(path)
    content = bytearray(path.read_bytes())
    middle = content.find(b"\x78\x5e") if b"\x78\x5e" in content else len(content) // 2
    rows, _ = read_headers(file)
    for place in range(middle + 40, len(content) - 200):
        content[place] ^= 0x5A
    path.write_bytes(content)
    os.utime(path, ns=(file.mtime_ns, file.mtime_ns))
    with pytest.raises(SourceError, match=r"^/.*file\.nc: "), LevelReader(file) as reader:
        reader.read(rows)


def test_a_file_that_changed_since_it_was_listed_is_refused(tmp_path: Path) -> None:
    path = write_en4(tmp_path / "month.nc", 2)
    file = listed(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceError, match=r"month\.nc: it changed"):
        read_headers(file)
    with pytest.raises(SourceError, match=r"month\.nc: it changed"), LevelReader(file):
        pass


@pytest.mark.parametrize(
    "options",
    [
        {"file_format": "NETCDF3_CLASSIC"},
        {"unlimited": True},
        {"zlib": True, "chunksizes": (7, 2)},
        {"chunksizes": (9000, 4)},
    ],
)
def test_batches_and_scattered_rows_equal_one_read(tmp_path: Path, options: Any) -> None:
    count = 9000  # more than is read at once
    number = np.arange(count)[:, None] + np.arange(4) / 8
    path = write_en4(tmp_path / "month.nc", count, depth=number, temp=number % 40, **options)
    file = listed(path)
    rows, _ = read_headers(file)
    with LevelReader(file) as reader:
        whole = reader.read(rows)
        np.testing.assert_array_equal(whole.depth, number)
        parts = [reader.read(rows.iloc[start : start + 2000]) for start in range(0, count, 2000)]
        np.testing.assert_array_equal(np.concatenate([part.depth for part in parts]), whole.depth)
        np.testing.assert_array_equal(np.concatenate([part.temp for part in parts]), whole.temp)
        some = rows[np.random.default_rng(1).uniform(size=count) < 0.05]
        np.testing.assert_array_equal(reader.read(some).depth, number[some["profile_idx"]])
        assert reader.read(rows.iloc[:0]).depth.shape == (0, 4)


def test_threads_may_read_at_once(tmp_path: Path) -> None:
    """The netCDF library may not, and would end the process."""
    files = [
        listed(write_en4(tmp_path / f"{number}.nc", 300, temp=float(number), slots=50, depth=1.0, potm=1.0, zlib=True))
        for number in range(8)
    ]
    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(levels, files * 5)):
            assert (found.temp == number % 8).all()


def test_which_flags_are_accepted() -> None:
    def digits(table: np.ndarray[Any, Any]) -> set[int]:
        return {flag for flag in (-1, *range(10), 65, 99) if table[np.uint8(flag % 256)]}

    everything = {-1, *range(10), 65, 99}
    assert digits(level_acceptance("en4", "standard")) == {-1, 1, 2}
    assert digits(level_acceptance("en4", "strict")) == {1}
    assert digits(level_acceptance("argo", "standard")) == {1, 2}
    assert digits(level_acceptance("argo", "strict")) == {1}
    assert digits(place_acceptance("en4", "standard")) == {-1, 0, 1, 2, 3, 5, 6, 7, 8, 9}
    assert digits(place_acceptance("argo", "standard")) == {1, 2, 5, 8}
    for kind in ("en4", "argo"):
        assert digits(place_acceptance(kind, "strict")) == {1}
        assert digits(level_acceptance(kind, "none")) == everything
        assert digits(place_acceptance(kind, "none")) == everything


def test_a_profile_flag_of_en4_rejects_its_variable_and_a_letter_of_argo_none(tmp_path: Path) -> None:
    path = write_en4(tmp_path / "month.nc", 4, profile_potm_qc="1414", profile_psal_qc="1144")
    rows, _ = read_headers(listed(path))
    usable = usable_variables(rows, "en4", "standard")
    assert {name: flags.tolist() for name, flags in usable.items()} == {
        "temp": [True, False, True, False],
        "potm": [True, False, True, False],
        "psal": [True, True, False, False],
    }
    assert all(flags.all() for flags in usable_variables(rows, "en4", "none").values())
    rows, _ = read_headers(listed(write_argo(tmp_path / "a.nc", 2, profile_temp_qc="F", profile_psal_qc="4"), "argo"))
    assert rows["profile_potm_qc"].tolist() == [70, 70]
    assert all(flags.all() for flags in usable_variables(rows, "argo", "strict").values())
