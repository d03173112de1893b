"""Risk: a build fails on what others have built, damages what was there, or says what is not so."""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.pipeline.taco import build, stage
from oceanrecon.pipeline.taco.build import append_taco
from oceanrecon.pipeline.taco.listing import read_inventory
from oceanrecon.pipeline.taco.verify import verify_taco
from oceanrecon.samples.regional.query import RegionalQuery, open_taco
from oceanrecon.samples.regional.read import read_patches
from oceanrecon.stores.taco import SLOTS, empty_file
from tests.pipeline.taco.killed import PLACES
from tests.taco_files import ABOUT, Regional, plane, small

_FIRST = dt.date(2024, 1, 10)


def _content(folder: Path) -> dict[str, bytes]:
    if folder.is_file():
        return {"": folder.read_bytes()}
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_sources_that_have_nothing_have_an_empty_file(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l3_sst", 10, {"analysed_sst": plane}, regions=["NORTH_INDIAN"])
    # one file of the 88: regions without any were an error
    built = regional.build(tmp_path / "dataset")
    assert (built.dates, built.files, built.absent) == (1, 1, 87)
    region = tmp_path / "dataset/DATA/2024_01_10/SOUTH_ATLANTIC"
    assert sorted(path.name for path in region.iterdir()) == sorted(["__meta__", *(slot.file for slot in SLOTS)])
    with netCDF4.Dataset(region / "l4_sst.nc") as empty:
        assert not empty.variables
        assert "no data" in empty.title
    assert verify_taco(str(tmp_path / "dataset"), regional.url).good


def test_files_cost_no_space_twice(tmp_path: Path) -> None:
    regional = small(tmp_path / "regions")
    built = regional.build(tmp_path / "dataset")
    assert built.linked == built.files == 37
    mine = tmp_path / "dataset/DATA/2024_01_10/NORTH_ATLANTIC/l4_sst.nc"
    assert mine.samefile(tmp_path / "regions/l4_sst/l4_sst_NORTH_ATLANTIC_20240110.nc")


def test_without_links_files_are_copied_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    regional = small(tmp_path / "regions")
    linked, copied = tmp_path / "linked", tmp_path / "copied"
    regional.build(linked)

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert regional.build(copied).linked == 0
    assert _content(linked) == _content(copied)
    path = tmp_path / "regions/l4_sst/l4_sst_NORTH_ATLANTIC_20240110.nc"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(OutputError, match=r"l4_sst_NORTH_ATLANTIC_20240110\.nc is not what its row says"):
        regional.build(tmp_path / "third")


@pytest.mark.parametrize("name", ["dataset", "one.tacozip"])
def test_the_same_files_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    regional = small(tmp_path / "regions")
    form = "zip" if name.endswith("zip") else "folder"
    for folder in ("a", "b"):
        regional.build(tmp_path / folder / name, form=form)
    assert _content(tmp_path / "a" / name) == _content(tmp_path / "b" / name)


def test_the_extent_is_that_of_the_data(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    regional.points(10, [10.0, 20.5], [-40.0, 175.25], [20.0, 21.0])
    regional.points(12, [-30.0], [-170.0], [12.0])
    regional.build(tmp_path / "dataset")
    stated = json.loads((tmp_path / "dataset/COLLECTION.json").read_text())["extent"]
    # and not of the middles of regions, from 45 to 135
    assert stated["spatial"] == [-170.0, -30.0, 175.25, 20.5]
    assert stated["temporal"] == ["2024-01-10T06:00:00Z", "2024-01-12T06:00:00Z"]


def test_an_existing_dataset_is_replaced_only_when_asked_and_only_by_a_whole_one(tmp_path: Path) -> None:
    regional = small(tmp_path / "regions")
    regional.build(tmp_path / "dataset")
    before = _content(tmp_path / "dataset")
    with pytest.raises(OutputError, match="exists: add days"):
        regional.build(tmp_path / "dataset")
    gone = tmp_path / "regions/argo/argo_NORTH_ATLANTIC_20240111.nc"
    kept = gone.read_bytes()
    gone.unlink()
    with pytest.raises(OutputError, match=r"argo_NORTH_ATLANTIC_20240111\.nc is gone"):
        regional.build(tmp_path / "dataset", overwrite=True)
    assert _content(tmp_path / "dataset") == before
    gone.write_bytes(kept)
    regional.gridded("l4_sst", 12, {"analysed_sst": plane})
    assert regional.build(tmp_path / "dataset", overwrite=True).dates == 3
    assert verify_taco(str(tmp_path / "dataset"), regional.url).good
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "regions"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    regional = small(tmp_path / "regions")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.txt").write_text("three years")
    with pytest.raises(OutputError, match="is no TACO dataset"):
        regional.build(tmp_path / "home", overwrite=True)
    assert (tmp_path / "home/thesis.txt").read_text() == "three years"
    (tmp_path / "thesis").write_text("three years")
    with pytest.raises(OutputError, match="is no TACO dataset"):
        regional.build(tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis").read_text() == "three years"
    (tmp_path / "mine.tacozip").write_text("three years")
    with pytest.raises(OutputError, match="is no TACO file"):
        regional.build(tmp_path / "mine.tacozip", form="zip", overwrite=True)
    assert (tmp_path / "mine.tacozip").read_text() == "three years"


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_leaves_the_old_dataset_or_the_new_one(tmp_path: Path, place: str) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 10, {"analysed_sst": plane})
    regional.build(tmp_path / "dataset")
    regional.gridded("l4_sst", 11, {"analysed_sst": plane})
    regional.write()
    killed = subprocess.run(
        [sys.executable, "-m", "tests.pipeline.taco.killed", place, regional.url, str(tmp_path / "dataset")],
        cwd=Path(__file__).parents[3], check=False,
    )  # fmt: skip
    assert killed.returncode == 9
    if place == "between two renames":  # the one place that is empty, where a file system cannot swap
        assert not (tmp_path / "dataset").exists()
        with pytest.raises(OutputError, match="exists: add days"):
            regional.build(tmp_path / "dataset")
    verified = verify_taco(str(tmp_path / "dataset"))
    assert verified.good
    assert verified.dates == (2 if place == "after the swap" else 1)
    # what the killed one left is in nobody's way
    assert regional.build(tmp_path / "dataset", overwrite=True).dates == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "regions"]


def test_two_builds_of_one_dataset_do_not_mix(tmp_path: Path) -> None:
    regional = small(tmp_path / "regions")
    with stage.staged(tmp_path / "dataset") as new:
        with pytest.raises(OutputError, match="another process is at work"):
            regional.build(tmp_path / "dataset")
        new.mkdir()
    assert (tmp_path / "dataset").is_dir()


@pytest.mark.parametrize("name", ["dataset", "one.tacozip"])
def test_days_that_are_added_are_as_if_built_at_once(tmp_path: Path, name: str) -> None:
    regional = Regional(tmp_path / "regions")
    form = "zip" if name.endswith("zip") else "folder"
    regional.gridded("l4_sst", 11, {"analysed_sst": plane})
    regional.build(tmp_path / name, form=form)
    regional.gridded("l4_sst", 10, {"analysed_sst": plane})
    regional.gridded("l4_sst", 12, {"analysed_sst": plane})
    regional.write()
    added = append_taco(regional.url, str(tmp_path / name))
    assert added.new_dates == ("20240110", "20240112")
    regional.build(tmp_path / "whole" / name, form=form)
    assert _content(tmp_path / name) == _content(tmp_path / "whole" / name)
    if form == "folder":
        assert added.linked == added.files == 24
    # nothing new: nothing is written
    before = (tmp_path / name).stat().st_ino
    assert append_taco(regional.url, str(tmp_path / name)).new_dates == ()
    assert (tmp_path / name).stat().st_ino == before
    # days that are there stay, also when their regional files are gone
    shutil.rmtree(tmp_path / "regions/l4_sst")
    regional.rows.clear()
    regional.gridded("l4_sst", 13, {"analysed_sst": plane})
    regional.write()
    assert append_taco(regional.url, str(tmp_path / name)).dates == 4
    assert verify_taco(str(tmp_path / name)).good


def test_files_that_come_late_for_a_day_that_is_there_are_counted(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 11, {"analysed_sst": plane})
    regional.build(tmp_path / "dataset")
    regional.points(11, [10.0], [-40.0], [20.0])
    regional.gridded("l4_sst", 12, {"analysed_sst": plane})
    regional.write()
    added = append_taco(regional.url, str(tmp_path / "dataset"))
    assert (added.late, added.new_dates) == (1, ("20240112",))


def test_nothing_is_added_to_nothing(tmp_path: Path) -> None:
    regional = small(tmp_path / "regions")
    regional.write()
    with pytest.raises(OutputError, match="there is no dataset"):
        append_taco(regional.url, str(tmp_path / "dataset"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["regions"]


def test_an_empty_choice_says_what_there_is(tmp_path: Path) -> None:
    regional = small(tmp_path / "regions")
    with pytest.raises(ConfigError, match="it has argo, l3_ssh, l4_ssh, l4_sst from 20240110 to 20240111"):
        regional.build(tmp_path / "dataset", start=dt.date(2025, 1, 1))
    with pytest.raises(ConfigError, match="there is no source 'sst'"):
        regional.build(tmp_path / "dataset", sources=["sst"])
    assert regional.build(tmp_path / "dataset", end=_FIRST, sources=["l4_sst"]).files == 8
    # an addition takes the same ones
    assert append_taco(regional.url, str(tmp_path / "dataset")).files == 16
    assert open_taco(str(tmp_path / "dataset")).sources == ("l4_sst",)
    assert verify_taco(str(tmp_path / "dataset"), regional.url).good


def test_two_rows_of_one_place_are_refused(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 10, {"analysed_sst": plane}, regions=["NORTH_ATLANTIC"])
    os.link(regional.folder / regional.rows[0].path, regional.folder / "again.nc")
    regional.rows.append(regional.rows[0].__class__(**{**vars(regional.rows[0]), "path": "again.nc"}))
    with pytest.raises(OutputError, match="1 places with more than one row, such as l4_sst 20240110 NORTH_ATLANTIC"):
        regional.build(tmp_path / "dataset")


def test_a_name_that_does_not_fit_the_form_is_refused(tmp_path: Path) -> None:
    regional = small(tmp_path / "regions")
    with pytest.raises(ConfigError, match="does not fit the form 'folder'"):
        regional.build(tmp_path / "one.tacozip")


def test_a_field_without_any_value_has_no_extent(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l3_sst", 10, {"adjusted_sea_surface_temperature": lambda south, east, day: np.nan * south * east})
    regional.points(10, [10.0], [-40.0], [20.0])
    regional.build(tmp_path / "dataset")
    assert json.loads((tmp_path / "dataset/COLLECTION.json").read_text())["extent"]["spatial"] == [-40, 10, -40, 10]
    assert verify_taco(str(tmp_path / "dataset"), regional.url).good
    dataset = open_taco(str(tmp_path / "dataset"))
    patches, opened = read_patches(dataset, RegionalQuery((-50, 0, -40, 10), _FIRST, _FIRST), ["l3_sst"])
    assert opened == 1
    assert not patches["l3_sst"].mask.any()


def test_the_empty_file_is_the_same_each_time() -> None:
    empty_file.cache_clear()
    first = empty_file()
    empty_file.cache_clear()
    assert empty_file() == first
    assert first.startswith(b"\x89HDF")


def test_descriptions_survive_an_addition(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 10, {"analysed_sst": plane})
    regional.build(tmp_path / "dataset")
    regional.gridded("l4_sst", 11, {"analysed_sst": plane})
    regional.write()
    append_taco(regional.url, str(tmp_path / "dataset"))
    content = json.loads((tmp_path / "dataset/COLLECTION.json").read_text())
    assert (content["id"], content["providers"][0]["name"]) == (ABOUT.id, ABOUT.providers[0])
    assert content["taco:pit_schema"]["shape"] == [2, 8, 11]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ESTALE, "Stale file handle")])
def test_an_error_between_two_renames_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | OSError
) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 10, {"analysed_sst": plane}, regions=["NORTH_ATLANTIC"])
    regional.build(tmp_path / "dataset")
    before = _content(tmp_path / "dataset")
    rename = os.rename
    calls = []

    def second_fails(*names: Path) -> None:
        calls.append(names)
        if len(calls) == 2:
            raise error
        rename(*names)

    monkeypatch.setattr(stage, "_swap", lambda one, other: False)
    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        regional.build(tmp_path / "dataset", overwrite=True)
    assert _content(tmp_path / "dataset") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "regions"]
    # where it cannot be put back either, it stays beside its place
    calls.clear()

    def all_but_the_first_fail(*names: Path) -> None:
        calls.append(names)
        if len(calls) > 1:
            raise OSError(errno.ESTALE, "Stale file handle")
        rename(*names)

    monkeypatch.setattr(os, "rename", all_but_the_first_fail)
    with pytest.raises(OutputError, match="Stale file handle"):
        regional.build(tmp_path / "dataset", overwrite=True)
    assert _content(tmp_path / "dataset.partial/old") == before


def test_a_tile_is_never_written_through_its_link(tmp_path: Path) -> None:
    """A second build that nothing kept out meets the links of the first."""
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 10, {"analysed_sst": plane}, regions=["NORTH_ATLANTIC"])
    regional.write()
    ((member, origin),) = read_inventory(regional.url).items()
    tile = tmp_path / "regions" / origin.path
    before = tile.read_bytes()
    assert build._lay(tmp_path / "link.nc", member, origin)
    with pytest.raises(OutputError, match="File exists"):
        build._lay(tmp_path / "link.nc", member, origin)
    assert tile.read_bytes() == before


def test_two_builds_do_not_mix_where_folders_have_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", refuse)
    regional = small(tmp_path / "regions")
    with stage.staged(tmp_path / "dataset") as new:
        with pytest.raises(OutputError, match=r"is at work in .* if it was killed, remove .*busy"):
            regional.build(tmp_path / "dataset")
        new.mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "regions"]
    assert regional.build(tmp_path / "dataset", overwrite=True).dates == 2


def test_a_tile_that_is_a_symbolic_link_is_taken_itself(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 10, {"analysed_sst": plane}, regions=["NORTH_ATLANTIC"])
    tile = regional.folder / regional.rows[0].path
    (regional.folder / "elsewhere").mkdir()
    tile.rename(regional.folder / "elsewhere/x.nc")
    tile.symlink_to("../elsewhere/x.nc")
    assert regional.build(tmp_path / "dataset").linked == 1
    mine = tmp_path / "dataset/DATA/2024_01_10/NORTH_ATLANTIC/l4_sst.nc"
    assert not mine.is_symlink()
    assert mine.samefile(regional.folder / "elsewhere/x.nc")


def test_an_output_that_is_a_link_is_made_where_it_leads(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 10, {"analysed_sst": plane}, regions=["NORTH_ATLANTIC"])
    (tmp_path / "dataset").symlink_to("large/dataset")  # which is not there yet
    regional.build(tmp_path / "dataset")
    regional.gridded("l4_sst", 11, {"analysed_sst": plane}, regions=["NORTH_ATLANTIC"])
    regional.write()
    assert append_taco(regional.url, str(tmp_path / "dataset")).dates == 2
    assert (tmp_path / "dataset").is_symlink()
    assert sorted(path.name for path in (tmp_path / "large/dataset/DATA").iterdir()) == ["2024_01_10", "2024_01_11"]


@pytest.mark.parametrize("name", ["dataset", "one.tacozip"])
def test_a_full_disk_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 10, {"analysed_sst": plane}, regions=["NORTH_ATLANTIC"])
    regional.write()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        build.build_taco(regional.url, str(tmp_path / name), ABOUT, form="zip" if name.endswith("zip") else "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["regions"]


def test_all_days_have_the_same_sources(tmp_path: Path) -> None:
    regional = small(tmp_path / "regions")
    regional.build(tmp_path / "dataset", sources=["l4_sst"], end=_FIRST)
    with pytest.raises(ConfigError, match="was built of l4_sst, and l4_ssh are asked for"):
        append_taco(regional.url, str(tmp_path / "dataset"), sources=["l4_ssh"])
    assert append_taco(regional.url, str(tmp_path / "dataset"), sources=["l4_sst"]).dates == 2
    assert verify_taco(str(tmp_path / "dataset"), regional.url).good
    regional.build(tmp_path / "all", end=_FIRST)
    with pytest.raises(ConfigError, match="all its days have the same sources"):
        append_taco(regional.url, str(tmp_path / "all"), sources=["l4_ssh"])
