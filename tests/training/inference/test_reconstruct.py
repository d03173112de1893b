"""Risk: a map whose files are of another place, date or level, or that hides what the model did not have."""

from __future__ import annotations

import dataclasses
import datetime as dt
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
import xarray as xr
import yaml

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.grid.coarse import coarse_grid
from oceanrecon.samples.form import SampleForm
from oceanrecon.stores.files import Root
from oceanrecon.stores.receipts import BandStatistics
from oceanrecon.stores.statistics import Modes, Statistics
from oceanrecon.stores.tags import dataset_tags
from oceanrecon.train_config import SamplerSettings
from oceanrecon.training.data.dataset import PatchDataset
from oceanrecon.training.data.datasets import ArchivePatches, ExportPatches
from oceanrecon.training.inference import reconstruct as reconstructing
from oceanrecon.training.inference.canvas import Box, Canvas
from oceanrecon.training.inference.inputs import inputs_of, iso_week, map_rows
from oceanrecon.training.inference.reconstruct import members_at_once, reconstruct, summarised
from oceanrecon.training.inference.tiles import CanvasPatches
from oceanrecon.training.loop.run import Training
from oceanrecon.training.model.build import build
from oceanrecon.training.model.stored import Trained, load_model, save_model
from oceanrecon.training.state.state import State
from oceanrecon.transform.covariance import Covariance
from oceanrecon.transform.encode import stretch
from tests.archives import DEPTH, PRODUCTS, copied
from tests.pipeline.patches.small_index import spatial_table, write_index
from tests.training.inference.canvases import not_zero
from tests.training.prepared import settings as prepared_settings
from tests.training.tiny import settings

GRID = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))
FORM = SampleForm("joint", 16, DEPTH, ("analysed_sst", "sos", "adt"), "uint16")
FIELDS = ("temperature", "salinity")
#: across 180 degrees
BOX = (165.0, -20.0, -165.0, 10.0)
STEPS = SamplerSettings(method="dpm", steps=3)


def statistics() -> Statistics:
    """The climatology is the same everywhere; two levels of water east of 180 degrees, and land at 171 to 174 E."""
    coarse = coarse_grid(GRID, 30.0)
    means = {"temperature": 285.0, "salinity": 35.0, "analysed_sst": 285.0, "sos": 35.0, "adt": 0.0}
    terms = {}
    for name, mean in means.items():
        levels = (3,) if name in FIELDS else ()
        terms[name] = np.zeros((5, *levels, coarse.height, coarse.width), np.float32)
        terms[name][0] = mean
    deepest = np.full((60, 120), 3, np.int8)
    deepest[:, :60] = 2
    deepest[:, 117] = 0
    return Statistics(
        fields=FIELDS,
        surface=FORM.surface,
        depth=DEPTH,
        grid=GRID,
        coarse=coarse,
        terms=terms,
        deviation={name: np.full(3 if name in FIELDS else (), 2.0, np.float32) for name in means},
        eof=Modes(np.arange(6, 0, -1).astype(np.float32), np.eye(6, dtype=np.float32)),
        deepest=deepest,
        covariance={name: Covariance(*(np.full(3, x, np.float32) for x in (500.0, 0.9, 0.1))) for name in FIELDS},
        provenance={"covariance_of": dict.fromkeys(FIELDS, "reanalysis")},
    )


def trained(kind: str = "diffusion", **changes: object) -> Trained:
    chosen = settings(kind, **changes)
    model = build(chosen, State(statistics(), FORM, GRID), lambda run: None)  # type: ignore[arg-type, return-value]
    not_zero(model)
    return Trained(model.eval(), chosen, statistics(), FORM, 7, 7, {"export": "somewhere"})


def made(model: Trained, export: Path, output: Path, **more: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"export": str(export), "box": BOX, "number": 3, "sampler": STEPS}
    return dict(reconstruct(model, "2012-02-29", str(output), **usual | more).summary)


@pytest.fixture(scope="module")
def maps(with_profiles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("maps") / "maps"
    made(trained(), with_profiles["uint16"], output)
    return output


def test_zarr_and_geotiff_hold_the_same_map_on_the_right_pixels(maps: Path) -> None:
    opened = xr.open_zarr(maps / "maps.zarr", chunks=None)
    assert opened.temperature.dims == ("member", "depth", "latitude", "longitude")
    np.testing.assert_allclose(opened.longitude, np.arange(166.5, 195, 3.0))  # goes on beyond 180
    np.testing.assert_allclose(opened.latitude, np.arange(10.5, -21, -3.0))
    np.testing.assert_allclose(opened.depth, DEPTH, rtol=1e-6)
    assert opened.time.values == np.datetime64("2012-02-29")
    for field in FIELDS:
        for statistic in ("mean", "spread", "quantile_05", "quantile_50", "quantile_95"):
            with rasterio.open(maps / f"{field}_{statistic}_20120229.tif") as file:
                np.testing.assert_array_equal(file.read(), opened[f"{field}_{statistic}"])
                assert file.transform.to_gdal() == (165.0, 3.0, 0.0, 12.0, 0.0, -3.0)
                assert file.descriptions[1] == "depth_97.0413_m"
                assert file.tags(2)["depth_m"] == "97.04131"
                assert file.tags()["date"] == "20120229"
                assert file.units[0] == {"temperature": "K", "salinity": "PSU"}[field]
        members = opened[field].values
        for number in range(3):
            with rasterio.open(maps / f"members/{field}_member_{number:02d}_20120229.tif") as file:
                np.testing.assert_array_equal(file.read(), members[number])
        np.testing.assert_allclose(opened[f"{field}_mean"], members.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(opened[f"{field}_spread"], members.std(axis=0, ddof=1), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(opened[f"{field}_quantile_50"], np.median(members, axis=0), rtol=1e-6)


def test_patches_that_do_not_fit_into_memory_are_read_again(with_profiles: dict[str, Path]) -> None:
    model = trained("oi")
    inputs = inputs_of(str(with_profiles["uint16"]), None)
    canvas = Canvas.of(GRID, Box.of(GRID, BOX), 16)
    source = inputs.source(map_rows(canvas.patch_ids, dt.date(2012, 2, 29), 16), FORM, 7, (1, 2))
    state = model.state(GRID)
    counts = {}
    for name, keep in (("nothing", 0), ("one", 20_000), ("all", 10**9)):
        reads: list[int] = []

        class Counted(PatchDataset):
            def codes(self, indices: Any, empty: Any = np.empty) -> Any:
                reads.extend(indices)  # noqa: B023
                return super().codes(indices, empty)

        patches = CanvasPatches(Counted(source), state, canvas, batch=2, keep=keep)
        whole = patches.read(range(len(canvas.corners)))
        for tile in range(len(canvas.corners)):
            one = patches.read([tile])
            assert torch.equal(one.observed[0], whole.observed[tile])
            assert torch.equal(one.row[0], whole.row[tile])
            assert one.target is None
        counts[name] = len(reads) / len(canvas.corners)
    assert counts["nothing"] == 2
    assert 1 < counts["one"] < 2
    assert counts["all"] == 1


def test_land_and_what_is_below_the_sea_floor_is_missing(maps: Path) -> None:
    opened = xr.open_zarr(maps / "maps.zarr", chunks=None)
    there = np.ones((3, 11, 10), bool)
    there[:, :, 2] = False  # 171 to 174 E
    there[2, :, 5:] = False  # east of 180 degrees two levels
    for name in ("temperature_mean", "salinity_spread", "salinity_quantile_95"):
        np.testing.assert_array_equal(np.isfinite(opened[name]), there)


def test_the_summary_and_the_profiles_say_what_the_map_is_of(maps: Path) -> None:
    summary = yaml.safe_load((maps / "run_summary.yaml").read_text())
    assert summary["date"] == "2012-02-29"
    assert summary["box"] == list(BOX)
    assert summary["missing_surface"] == []
    assert summary["ensemble"]["members"] == 3
    assert summary["ensemble"]["seed"] == 0
    assert summary["inputs"]["export_fingerprint"]
    found = {str(path.relative_to(maps)) for path in maps.rglob("*") if path.is_file()}
    assert found == {*summary["files"], "run_summary.yaml"}
    assert all((maps / path).stat().st_size == known["bytes"] for path, known in summary["files"].items())
    profiles = json.loads((maps / "profiles.geojson").read_text())["features"]
    assert len(profiles) == summary["profiles"] > 0
    for feature in profiles:
        longitude, latitude = feature["geometry"]["coordinates"]
        assert -35 <= latitude <= 25 and (longitude > 150 or longitude < -150)
        day = dt.date.fromisoformat(feature["properties"]["date"])
        assert abs((day - dt.date(2012, 2, 29)).days) <= 3
        assert feature["properties"]["platform"]


def test_a_seed_gives_the_same_bytes_and_the_default_batch_is_no_part_of_it(
    maps: Path, with_profiles: dict[str, Path], tmp_path: Path
) -> None:
    files = made(trained(), with_profiles["uint16"], tmp_path / "again")["files"]
    assert files == yaml.safe_load((maps / "run_summary.yaml").read_text())["files"]
    other = made(trained(), with_profiles["uint16"], tmp_path / "other", seed=1)["files"]
    assert other["temperature_mean_20120229.tif"] != files["temperature_mean_20120229.tif"]
    one_by_one = tmp_path / "one"
    assert made(trained(), with_profiles["uint16"], one_by_one, batch=1)["ensemble"]["at_once"] == 1
    with xr.open_zarr(maps / "maps.zarr") as some, xr.open_zarr(one_by_one / "maps.zarr") as single:
        np.testing.assert_allclose(some.temperature, single.temperature, rtol=0, atol=2e-3)


def test_without_a_reanalysis_and_with_a_missing_surface_field(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    export = copied(with_profiles["uint16"], tmp_path / "export")
    manifest = yaml.safe_load((export / "manifest.yaml").read_text())
    for store in (manifest["rasters"], manifest["dense"]["shards"]):
        del store["glorys"], store["sss"]
    manifest["depth_axis_m"] = []
    (export / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    summary = made(trained(), export, tmp_path / "maps")
    assert summary["missing_surface"] == ["sos"]
    with pytest.raises(
        ConfigError, match=r"has no date 2012-03-01: it has 3 from 2012-02-22 to 2012-03-07.* 2012-02-29"
    ):
        reconstruct(trained(), "2012-03-01", str(tmp_path / "none"), export=str(export))
    week = reconstruct(trained("oi"), "2012-W09", str(tmp_path / "week"), export=str(export), box=BOX)
    assert week.summary["date"] == "2012-02-29"


def features(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "profiles.geojson").read_text())["features"]
    return found


def test_archives_give_the_map_of_an_export(
    archive: Path, sources_of_profiles: Path, with_profiles: dict[str, Path], tmp_path: Path
) -> None:
    """But for the rounding of codes: profiles of the export are of 16 bits."""
    patches = PatchGrid(GRID, 16, 16)
    sides = dict.fromkeys(patches.ids.tolist(), "train")
    table = spatial_table(patches, sides, np.zeros((60, 120)))
    listed = [(patch, 20120229, side, 1) for patch, side in sides.items()]
    index = write_index(
        tmp_path / "patches", patches, table, listed, export=str(with_profiles["uint16"]),
        archive={"root": str(archive), "products": {name: None for name in PRODUCTS if name != "glorys"}},
        en4={"root": str(sources_of_profiles / "en4")}, argo={"root": str(sources_of_profiles / "argo")},
    )  # fmt: skip
    model = trained("oi")
    box = (90.0, -60.0, 180.0, 60.0)
    of_export = made(model, with_profiles["uint16"], tmp_path / "export", box=box)
    summary = reconstruct(model, "2012-02-29", str(tmp_path / "archive"), index=str(index), box=box).summary
    assert summary["missing_surface"] == []
    assert 0 < summary["profiles"] == of_export["profiles"]
    one, other = (xr.open_zarr(tmp_path / name / "maps.zarr", chunks=None) for name in ("archive", "export"))
    np.testing.assert_allclose(one.temperature_mean, other.temperature_mean, rtol=0, atol=2e-3)
    ours, theirs = (
        sorted(features(tmp_path / name), key=lambda each: (each["properties"]["platform"], each["properties"]["date"]))
        for name in ("archive", "export")
    )
    assert [each["properties"] for each in ours] == [each["properties"] for each in theirs]
    here, there = ([each["geometry"]["coordinates"] for each in some] for some in (ours, theirs))
    np.testing.assert_allclose(here, there, rtol=0, atol=1e-4)
    assert float(one.temperature_mean.max() - one.temperature_mean.min()) > 1


def test_a_map_is_of_the_flags_that_were_learnt_from(
    archive: Path, sources_of_profiles: Path, with_profiles: dict[str, Path], prepared: Path, tmp_path: Path
) -> None:
    """An index of flag 1 alone: what a map is made of is what a training on it sees, of the export and of archives."""
    folder, export = tmp_path / "data", str(with_profiles["uint16"])
    shutil.copytree(prepared, folder)
    index, listed = str(folder / "patches"), folder / "patches" / "manifest.yaml"
    manifest = yaml.safe_load(listed.read_text())
    manifest["profiles"]["quality"] = [1]
    listed.write_text(yaml.safe_dump(manifest))
    given = yaml.safe_load((folder / "patches" / "patches.yaml").read_text()) | {
        "archive": {"root": str(archive), "products": dict.fromkeys(PRODUCTS)},
        "en4": {"root": str(sources_of_profiles / "en4")}, "argo": {"root": str(sources_of_profiles / "argo")},
    }  # fmt: skip
    (folder / "patches" / "patches.yaml").write_text(yaml.safe_dump(given))
    Training(prepared_settings(folder, Path(export), tmp_path / "run", "climatology")).fit()
    model = load_model(str(tmp_path / "run"))
    assert model.quality == (1,)

    for learnt, inputs in (
        (ExportPatches(export, index, scenario="joint", require_profiles=False), inputs_of(export, None)),
        (ArchivePatches(index, scenario="joint", require_profiles=False), inputs_of(None, index)),
    ):
        every = range(len(learnt))
        seen, there, wide = (
            source.samples(every)
            for source in (
                inputs.source(learnt.rows, model.form, model.days, model.quality),
                learnt.source,
                inputs.source(learnt.rows, model.form, model.days, (1, 2)),
            )
        )
        for ours, theirs in zip(seen, there, strict=True):
            np.testing.assert_array_equal(ours.points, theirs.points)
            assert list(ours.observed) == list(FIELDS)
            for field, values in ours.observed.items():
                np.testing.assert_array_equal(values, theirs.observed[field])
        few, all_of_them = (
            sum(int(np.isfinite(values).sum()) for sample in some for values in sample.observed.values())
            for some in (seen, wide)
        )
        assert 0 < few < all_of_them

    def levels(number: int, **source: Any) -> int:
        """Of all profiles of a map."""
        output = str(tmp_path / f"maps{len(list(tmp_path.iterdir()))}")
        flags = tuple(range(1, number + 1))
        summary = reconstruct(replace(model, quality=flags), "2012-02-22", output, **source).summary
        assert summary["quality"] == list(flags)
        return sum(each["properties"][f"{field}_levels"] for each in features(Path(output)) for field in FIELDS)

    assert 0 < levels(1, export=export) == levels(1, index=index) < levels(2, export=export) == levels(2, index=index)


def test_a_map_of_archives_needs_no_export(
    archive: Path, sources_of_profiles: Path, with_profiles: dict[str, Path], tmp_path: Path
) -> None:
    patches = PatchGrid(GRID, 16, 16)
    sides = dict.fromkeys(patches.ids.tolist(), "train")
    index = write_index(
        tmp_path / "patches", patches, spatial_table(patches, sides, np.zeros((60, 120))),
        [(patch, 20120229, side, 1) for patch, side in sides.items()], export=str(tmp_path / "gone"),
        tiling={"mask": str(next(with_profiles["uint16"].glob("masks/*.tif")))},
        archive={"root": str(archive), "products": {name: None for name in PRODUCTS if name != "glorys"}},
        en4={"root": str(sources_of_profiles / "en4")},
    )  # fmt: skip
    with pytest.warns(UserWarning, match=r"the export of .*patches cannot be read .*gone.* weight of 0.5, the default"):
        found = reconstruct(trained("oi"), "2012-02-29", str(tmp_path / "maps"), index=str(index), box=BOX)
    assert found.summary["missing_surface"] == []


def test_the_command_writes_maps(command: Callable[..., Any], with_profiles: dict[str, Path], tmp_path: Path) -> None:
    save_model(Root(str(tmp_path / "run")), trained())
    usual = [
        tmp_path / "run",
        "--export",
        with_profiles["uint16"],
        "--output",
        tmp_path / "maps",
        "--box",
        -15,
        -20,
        15,
        0,
    ]
    code, out, err = command("reconstruct", *usual, "--week", "2012-W09", "--members", 2, "--steps", 2, "--guidance", 1)
    assert (code, err) == (0, "")
    assert "2012-02-29, 10 x 7 pixels of 3 degrees" in out
    summary = yaml.safe_load((tmp_path / "maps/run_summary.yaml").read_text())
    assert summary["ensemble"]["sampler"]["steps"] == 2
    assert summary["ensemble"]["guidance"] == 1
    content = (tmp_path / "run/model.pt").read_bytes()
    assert summary["model"]["file"] == {
        "address": str(tmp_path / "run/model.pt"), "sha256": hashlib.sha256(content).hexdigest(), "checked": True
    }  # fmt: skip
    code, out, err = command("reconstruct", *usual, "--date", "2012-02-29", "--members", 1, "--overwrite", "--json")
    assert json.loads(out)["ensemble"]["members"] == 1
    for more, said in (
        ([], "give either --date"),
        (["--date", "2012-02-29", "--sampler", "euler"], "euler"),
        (["--date", "2012-02-29", "--sampler", "ddim", "--steps", 2000], "cannot take 2,000"),
        (["--date", "2012-02-29", "--sha256", "0" * 64], "and 000000000000... was expected"),
    ):
        code, _, err = command("reconstruct", *usual, *more)
        assert code == 1
        assert said in err


def test_a_model_that_does_not_sample_says_what_it_expects(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    summary = made(trained("oi"), with_profiles["uint16"], tmp_path / "oi")
    assert summary["ensemble"] == {"members": 0, "kind": "none: the model gives a mean and its expected error"}
    opened = xr.open_zarr(tmp_path / "oi/maps.zarr", chunks=None)
    assert "temperature" not in opened
    mean, spread, high = (opened[f"temperature_{name}"] for name in ("mean", "spread", "quantile_95"))
    np.testing.assert_allclose(high, mean + 1.644854 * spread, rtol=1e-6)  # of a normal distribution
    assert float(spread.min()) > 0
    made(trained("idw"), with_profiles["uint16"], tmp_path / "idw")
    assert set(xr.open_zarr(tmp_path / "idw/maps.zarr")) == {"temperature_mean", "salinity_mean"}


def test_a_map_is_not_overwritten_by_chance(maps: Path, with_profiles: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"holds a map: --overwrite replaces it"):
        made(trained("idw"), with_profiles["uint16"], maps)
    folder = copied(maps, tmp_path / "maps")
    with pytest.raises(ConfigError, match="has no date 2012-01-01"):
        reconstruct(trained("idw"), "2012-01-01", str(folder), export=str(with_profiles["uint16"]), overwrite=True)
    assert len(list(folder.rglob("*.tif"))) == len(list(maps.rglob("*.tif")))  # nothing is lost by a mistake
    files = made(trained("idw"), with_profiles["uint16"], folder, overwrite=True)["files"]
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        *files, "run_summary.yaml"
    }  # fmt: skip
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds something else than a map, such as thesis.txt"):
        made(trained("idw"), with_profiles["uint16"], folder, overwrite=True)


def test_statistics_of_members_by_hand() -> None:
    found = np.array([1.0, 2.0, 6.0, np.nan], np.float32)
    several = np.stack([found, found + 2, found + 4]).reshape(3, 1, 2, 2)
    made = summarised(several, ("mean", "spread", "quantile_05", "quantile_50", "quantile_95"))
    np.testing.assert_allclose(made["mean"].ravel(), [3, 4, 8, np.nan])
    np.testing.assert_allclose(made["spread"].ravel(), [2, 2, 2, np.nan])
    np.testing.assert_allclose(made["quantile_05"].ravel(), [1.2, 2.2, 6.2, np.nan], rtol=1e-6)
    assert set(summarised(several[:1], ("mean",))) == {"mean"}


def test_members_go_together_by_the_arguments_alone_or_the_error_says_how_many_fit() -> None:
    canvas = Canvas.of(GRID, Box.of(GRID, None), 16)
    # 7,200 pixels of 4 bytes: 2.25 x 100 channels, and 5 x 100 + 2 x 100 for each member
    each = 4 * 7200 * 700
    fixed = 4 * 7200 * 225
    room = int((fixed + 2.5 * each) / 0.6)
    assert members_at_once(canvas, 100, 100, 16, 10**12, 8) == 8
    assert members_at_once(canvas, 100, 100, 3, 10**12, 8) == 3
    assert members_at_once(canvas, 100, 100, 16, room, 2) == 2
    match = r"120 x 60 pixels .* 100 levels needs 0.548 GB for 16 members at once, and 0.0948 GB are free: lower batch "
    with pytest.raises(ConfigError, match=match + r"\(--batch 2\)"):
        members_at_once(canvas, 100, 100, 16, room, 16)
    with pytest.raises(ConfigError, match=r"for 1 member at once, .* are free: give a smaller box, or more memory"):
        members_at_once(canvas, 100, 100, 16, int((fixed + each) / 0.6) - 10, 1)


@pytest.mark.parametrize("free", [400_000, 10**15])
def test_bytes_do_not_depend_on_free_memory(
    free: int, maps: Path, with_profiles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three members just fit into the smaller one, and most patches are read again at each step."""
    monkeypatch.setattr(reconstructing, "free_memory", lambda device: free)
    summary = made(trained(), with_profiles["uint16"], tmp_path / "again")
    assert summary["ensemble"]["at_once"] == 3
    assert summary["files"] == yaml.safe_load((maps / "run_summary.yaml").read_text())["files"]
    monkeypatch.setattr(reconstructing, "free_memory", lambda device: 200_000)
    with pytest.raises(ConfigError, match=r"for 3 members at once, .* lower batch \(--batch [12]\)"):
        made(trained(), with_profiles["uint16"], tmp_path / "none")


def test_a_full_disk_is_told_before_a_map_is_touched(
    maps: Path, with_profiles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def full(descriptor: int, offset: int, size: int) -> None:
        asked.append((offset, size))
        raise OSError(errno.ENOSPC, "No space left on device")

    folder, temporary = copied(maps, tmp_path / "maps"), tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(os, "posix_fallocate", full)
    match = rf"3 members of this map need 7.92e-06 GB in {temporary} until .* are free: set TMPDIR .* \(--members\)"
    monkeypatch.setattr(reconstructing, "estimated", lambda *_: pytest.fail("it has worked already"))
    with pytest.raises(OutputError, match=match):
        made(trained(), with_profiles["uint16"], folder, overwrite=True)
    assert asked == [(0, 3 * 6 * 11 * 10 * 4)]
    assert {path.name for path in folder.iterdir()} == {path.name for path in maps.iterdir()}
    assert not list(temporary.iterdir())


def test_geotiffs_have_the_tags_of_an_export_but_for_those_of_codes_and_source_files(
    maps: Path, with_profiles: dict[str, Path]
) -> None:
    """A tag that exports get has to be given to maps too, or named here."""
    counters = BandStatistics(*(0,) * len(dataclasses.fields(BandStatistics)))
    of_export = dataset_tags(
        "glorys", "thetao", stretch("temperature_kelvin", "uint16"), dt.date(2012, 2, 29), source_files=["a.nc"],
        days_used=[dt.date(2012, 2, 26), dt.date(2012, 3, 3)], aggregate_days=7, regridding="area", statistics=counters,
    )  # fmt: skip
    with rasterio.open(maps / "temperature_mean_20120229.tif") as file:
        found = file.tags()
    codes = {name for name in of_export if name.startswith("stretch_")} | {
        "nodata", "valid_code_min", "valid_code_max", "valid_code_count", "quantization_step",
        "max_abs_quantization_error", "decode_formula", *counters.counts(),
    }  # fmt: skip
    assert set(of_export) - set(found) == codes | {"regridding", "source_files"}
    same = ("variable", "date", "TIFFTAG_DATETIME", "time_coverage_start", "time_coverage_end", "aggregate_days")
    assert {name: found[name] for name in same} == {name: of_export[name] for name in same}
    assert found["days_used"] == "20120226,20120227,20120228,20120229,20120301,20120302,20120303"
    assert (found["source_product"], found["storage_dtype"]) == ("reconstruction", "float32")


def test_an_export_of_another_contract_is_refused(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    export, output = str(with_profiles["uint16"]), str(tmp_path / "maps")
    other = replace(trained("oi"), surface_days=1)
    match = r"surface fields are means over 7 days \(window_days\), and the model learnt 1: take an export with"
    with pytest.raises(ConfigError, match=match):
        reconstruct(other, "2012-02-29", output, export=export, box=BOX)
    assert not Path(output).exists()
    # profiles of one day are another matter
    made(replace(trained("oi"), days=1), with_profiles["uint16"], Path(output))
    with rasterio.open(f"{output}/temperature_mean_20120229.tif") as file:
        assert (file.tags()["aggregate_days"], file.tags()["time_coverage_start"]) == ("7", "2012-02-26")
    assert yaml.safe_load(Path(output, "run_summary.yaml").read_text())["days"] == 1
    for form, said in (
        (
            replace(FORM, surface=("analysed_sst",)),
            "surface is analysed_sst, and the model learnt analysed_sst, sos, adt",
        ),
        (replace(FORM, scenario="salinity"), "scenario is salinity, and the model learnt joint"),
    ):
        with pytest.raises(ConfigError, match=said):
            trained("oi").state(GRID, form)


def test_a_model_that_cannot_be_guided_says_so_before_it_works(
    with_profiles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconstructing, "estimated", lambda *_: pytest.fail("it has worked already"))
    with pytest.raises(ConfigError, match=r"guidance=1.0 pulls the members of a diffusion model, and this is none"):
        made(trained("oi"), with_profiles["uint16"], tmp_path / "maps", guidance=1.0)


def test_weeks() -> None:
    assert iso_week("2018-W25") == dt.date(2018, 6, 21)  # a Thursday
    assert iso_week("2012W09") == dt.date(2012, 3, 1)  # its Wednesday is 29 February
    assert iso_week("2018-06-22") is None
    with pytest.raises(ConfigError, match="2018 has the weeks 1 to 52"):
        iso_week("2018-W53")


def test_what_cannot_be_asked_for(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    export, output = str(with_profiles["uint8"]), str(tmp_path / "maps")
    with pytest.raises(ConfigError, match="give either `export`, or `index`"):
        reconstruct(trained("idw"), "2012-02-29", output)
    with pytest.raises(ConfigError, match="members=0, batch=16: give at least 1 of both"):
        reconstruct(trained("idw"), "2012-02-29", output, export=export, number=0)
    with pytest.raises(ConfigError, match=r"'soon' is not a date"):
        reconstruct(trained("idw"), "soon", output, export=export)
    other = replace(trained("idw"), form=replace(FORM, depth=(0.5, 97.0, 600.0)))
    with pytest.raises(ConfigError, match="depth"):
        reconstruct(other, "2012-02-29", output, export=export, box=BOX)
