"""Risk: a float that is to test a model is an input of it: by another spelling, at another date, in another archive."""

from __future__ import annotations

import datetime as dt
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml

from oceanrecon.errors import ConfigError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.profile_config import ProfileFilesSettings
from oceanrecon.samples.archive import ArchiveSource
from oceanrecon.samples.choice import Choice
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.references import FloatReferences
from oceanrecon.samples.rows import every_row
from oceanrecon.samples.withheld import FLOAT_SIDES, FloatSplit
from oceanrecon.transform.encode import stretch
from tests.archives import copied, settings

DATES = (20120222, 20120229, 20120307)
GRID = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))
PATCHES = PatchGrid(GRID, 20, 20)
ROWS = every_row(PATCHES, DATES)
#: Of the tiny archive, a third each: there are enough of each in few profiles.
THIRDS = FloatSplit(3, val=0.33, test=0.33)
KNOWN = {"1900001": "test", "1900015": "val", "6901929": "train"}


def opened(export: Path, **more: Any) -> ExportSource:
    return ExportSource(str(export), ROWS, scenario="joint", **more)


def stored(export: Path) -> xr.Dataset:
    opened: xr.Dataset = xr.open_zarr(
        export / "argo/argo_profiles_on_grid.zarr", mask_and_scale=False, chunks=None
    ).load()
    return opened


def test_the_side_of_a_float_never_changes() -> None:
    # `printf 0:1900001 | b2sum --length 64`: the first byte over 256 is 0.06, of 1900015 it is 0.11, of 6901929 0.31
    split = FloatSplit()
    assert [split.side(platform) for platform in KNOWN] == list(KNOWN.values())
    assert split.side(" Q6901929") == split.side("6901929")
    assert split.side("") == split.side("  ") == "train"
    sides = [FloatSplit(5).side(str(number)) for number in range(1_900_000, 1_940_000)]
    shares = {side: sides.count(side) / len(sides) for side in FLOAT_SIDES}
    assert shares["val"] == pytest.approx(0.05, abs=0.004)
    assert shares["test"] == pytest.approx(0.1, abs=0.005)
    assert sides != [FloatSplit(6).side(str(number)) for number in range(1_900_000, 1_940_000)]
    # more for validation takes none from the test
    assert all(FloatSplit(val=0.5).side(str(number)) == "test" for number in range(1000)
               if split.side(str(number)) == "test")  # fmt: skip


def test_impossible_shares_and_sides() -> None:
    for val, test in ((0.5, 0.5), (-0.1, 0.1), (0.0, 1.0)):
        with pytest.raises(ConfigError, match=rf"val={val}, test={test} are no shares .* less than 1"):
            FloatSplit(0, val, test)
    for sides in ("train", (), ("train", "tests")):
        with pytest.raises(ConfigError, match=r"sides=.*: give a list of some of train, val, test"):
            Choice.of("joint", ("sos",), 7, (1,), (), FloatSplit(), sides)


def test_every_profile_is_on_one_side_in_export_and_archive(
    archive: Path, sources_of_profiles: Path, with_profiles: dict[str, Path]
) -> None:
    files = {kind: ProfileFilesSettings(root=f"{sources_of_profiles}/{kind}") for kind in ("en4", "argo")}

    def points(sides: tuple[str, ...] | None, kind: str = "export") -> list[set[int]]:
        more: dict[str, Any] = {} if sides is None else {"floats": THIRDS, "sides": sides}
        if kind == "export":
            found: Any = opened(with_profiles["uint16"], **more)
        else:
            found = ArchiveSource(
                settings(archive, "unused").archive, ROWS, grid=GRID, land=np.zeros((60, 120), np.uint8),
                scenario="joint", en4=files["en4"], argo=files["argo"], **more,
            )  # fmt: skip
        return [
            {*sample.points.tolist()} for sample in found.samples(range(0, len(ROWS), 4 if kind == "archive" else 1))
        ]

    of_export = {side: points((side,)) for side in FLOAT_SIDES}
    assert all(sum(map(len, found)) > 20 for found in of_export.values())
    for side in ("val", "test"):
        assert points((side,), "archive") == of_export[side][::4]
    together = [set().union(*parts) for parts in zip(*of_export.values(), strict=True)]
    assert together == points(None) == points(FLOAT_SIDES)
    both = [val | test for val, test in zip(of_export["val"], of_export["test"], strict=True)]
    assert points(("val", "test")) == both


def test_the_age_of_a_pixel_is_the_mean_of_its_days(with_profiles: dict[str, Path]) -> None:
    store = stored(with_profiles["uint16"])
    day = np.array([dt.datetime.strptime(str(date), "%Y%m%d").toordinal() for date in store.profile_date.values])
    good = np.zeros(day.size, bool)
    for short, codes in (("temp", "temp_kelvin"), ("psal", "psal")):
        flags = store[f"argo_{short}_qc_on_glorys_depth"].values
        good |= (np.isin(flags, (-1, 1, 2)) & (store[f"argo_{codes}_uint16"].values != 65535)).any(axis=1)
    seen = 0
    for sample in opened(with_profiles["uint16"]).samples(range(len(ROWS))):
        row, column = divmod(sample.patch_id, 120)
        mine = good & (store.target_date.values == sample.date)
        middle = dt.datetime.strptime(str(sample.date), "%Y%m%d").toordinal()
        assert sample.age.dtype == np.float32
        for point, age in zip(sample.points.tolist(), sample.age.tolist(), strict=True):
            here = mine & (store.grid_row.values == row + point // 20)
            here &= store.grid_col.values == (column + point % 20) % 120
            assert age == pytest.approx(float((day[here] - middle).mean()), abs=1e-6)
            seen += 1
    assert seen > 100


def test_references_are_the_profiles_that_were_no_inputs(with_profiles: dict[str, Path]) -> None:
    url = with_profiles["uint16"]
    store = stored(url)
    known = FloatReferences(str(url), ROWS, floats=THIRDS, sides=("test",), scenario="joint")
    inputs = opened(url, floats=THIRDS, sides=("train", "val")).samples(range(len(ROWS)))
    code = stretch("temperature_kelvin", "uint16")
    numbers = []
    for row, (found, sample) in enumerate(zip(known.read(range(len(ROWS))), inputs, strict=True)):
        assert {THIRDS.side(platform) for platform in found.platform} <= {"test"}
        assert set(map(len, (found.number, found.platform, found.row, found.column, found.day, found.latitude))) == {
            len(found.longitude)
        }
        numbers += found.number.tolist()
        top, left = divmod(int(ROWS.patch_id[row]), 120)
        np.testing.assert_array_equal(store.grid_row.values[found.number], found.row + top)
        np.testing.assert_array_equal(store.grid_col.values[found.number], (found.column + left) % 120)
        np.testing.assert_array_equal(store.latitude.values[found.number], found.latitude)
        np.testing.assert_array_equal(store.platform_number.values[found.number], found.platform)
        assert np.abs(found.day).max(initial=0) <= 3
        for at, number in enumerate(found.number):
            values, flags = (
                store[f"argo_temp_{name}"].values[number] for name in ("kelvin_uint16", "qc_on_glorys_depth")
            )
            expected = np.where(np.isin(flags, (-1, 1, 2)), code.decode(values), np.nan)
            np.testing.assert_allclose(found.values["temperature"][at], expected, atol=1e-4)
        assert sample.row == row
    everyone = np.array([THIRDS.side(str(platform)) for platform in store.platform_number.values])
    assert len(numbers) == len(set(numbers))
    assert 20 < len(numbers) <= (everyone == "test").sum()


def test_a_patch_without_floats_has_no_references(with_profiles: dict[str, Path]) -> None:
    known = FloatReferences(str(with_profiles["uint8"]), ROWS, floats=FloatSplit(test=0.0), scenario="salinity")
    (found,) = known.read([0])
    assert found.platform.size == 0
    assert found.values["salinity"].shape == (0, 3)


def test_samples_without_a_target_and_without_surface_fields(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    whole = opened(with_profiles["uint16"])
    export = copied(with_profiles["uint16"], tmp_path / "export")
    manifest = yaml.safe_load((export / "manifest.yaml").read_text())
    for store in (manifest["rasters"], manifest["dense"]["shards"]):
        del store["glorys"], store["sss"]
        store["sealevel"]["adt"] = store["sealevel"]["adt"][1:]  # the first date has none
    depth, manifest["depth_axis_m"] = manifest["depth_axis_m"], []  # as of an export of surface fields alone
    (export / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    with pytest.raises(ConfigError, match=r"has no thetao in this form"):
        opened(export)
    with pytest.raises(ConfigError, match=r"has no sos in this form"):
        opened(export, target=False)
    with pytest.raises(ConfigError, match="no missing_surface 'zero': it is error or blank"):
        opened(export, target=False, missing_surface="zero")
    rows = range(0, len(ROWS), 5)
    for form in ("zarr", "geotiff"):
        bare = opened(export, target=False, missing_surface="blank", store=form)
        np.testing.assert_allclose(bare.form.depth, depth)
        for one, other in zip(bare.samples(rows), whole.samples(rows), strict=True):
            assert one.target["temperature"].shape == other.target["temperature"].shape
            assert all((codes == 65535).all() for codes in one.target.values())
            np.testing.assert_array_equal(one.surface[0], other.surface[0])
            assert (one.surface[1] == 65535).all()
            np.testing.assert_array_equal(one.surface[2], 65535 if one.date == DATES[0] else other.surface[2])
            np.testing.assert_array_equal(one.observed["salinity"], other.observed["salinity"])
            np.testing.assert_array_equal(one.age, other.age)


def test_a_mistyped_platform_is_told_of_an_archive_too(archive: Path, sources_of_profiles: Path) -> None:
    files = {kind: ProfileFilesSettings(root=f"{sources_of_profiles}/{kind}") for kind in ("en4", "argo")}

    def opened(withhold: list[str]) -> list[str]:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            ArchiveSource(
                settings(archive, "unused").archive, ROWS, grid=GRID, land=np.zeros((60, 120), np.uint8),
                en4=files["en4"], argo=files["argo"], withhold=withhold,
            )  # fmt: skip
        return [str(one.message) for one in told if "withhold" in str(one.message)]

    assert opened(["6901929", "00007"]) == []  # of the float, and of S00007 in EN4
    (message,) = opened(["690192", "00007"])
    assert message.startswith(f"1 of 2 platforms in `withhold` have no profile in {sources_of_profiles}/en4 and ")
    assert message.endswith(": 690192; one that it has is 00000")


def test_an_archive_without_a_reanalysis(archive: Path, sources_of_profiles: Path) -> None:
    chosen = settings(archive, "unused").archive
    bare = chosen.model_copy(update={"products": {"ostia": chosen.products["ostia"]}})
    usual: dict[str, Any] = {
        "grid": GRID, "land": np.zeros((60, 120), np.uint8), "scenario": "joint",
        "en4": ProfileFilesSettings(root=f"{sources_of_profiles}/en4"),
    }  # fmt: skip
    whole = ArchiveSource(chosen, ROWS, **usual)
    with pytest.raises(ConfigError, match=r"archive.products does not name 'sss'"):
        ArchiveSource(bare, ROWS, **usual, target=False)
    found = ArchiveSource(bare, ROWS, **usual, target=False, missing_surface="blank", depth=whole.form.depth)
    assert found.form == whole.form
    for one, other in zip(found.samples([0, 20]), whole.samples([0, 20]), strict=True):
        assert np.isnan(one.target["temperature"]).all()
        assert one.target["temperature"].shape == other.target["temperature"].shape
        np.testing.assert_array_equal(one.surface[0], other.surface[0])
        assert np.isnan(one.surface[1:]).all()
        np.testing.assert_array_equal(one.observed["temperature"], other.observed["temperature"])
