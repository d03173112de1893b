"""Risk: a package is half old and half new, shares bytes that change later, or says what is not in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
import yaml
from distributed import Client

import oceanrecon
from oceanrecon.errors import OutputError
from oceanrecon.pipeline.profiles.gridded import GRIDDED
from oceanrecon.pipeline.profiles.locate import PACKAGED
from oceanrecon.pipeline.profiles.schema import ENRICHED
from oceanrecon.pipeline.profiles.verify import verify_package
from oceanrecon.profile_config import ProfilesSettings
from oceanrecon.stores.hub.facts import CHECKSUMS, CROISSANT, STAC_ITEM
from tests.archives import copied, files_of, litter
from tests.archives import settings as export_settings
from tests.pipeline.profiles.tiny import config_of, enrich, settings, write_month

Command = Callable[..., tuple[int, str, str]]


def chosen(cruise: Path, store: Path, package: Path, export: Path | None = None, **more: Any) -> ProfilesSettings:
    grid = None if export is None else {"export": str(export)}
    wanted = {"output": str(package), "name": "tiny-profiles", **more}
    return settings(cruise, store, package=wanted, grid=grid)


@pytest.fixture
def store(plain: Path, tmp_path: Path) -> Path:
    """A store of our own: links to it count."""
    return copied(plain, tmp_path / "store")


def test_the_store_is_linked_and_all_is_described(
    cruise: Path, store: Path, tmp_path: Path, command: Command, offline: None
) -> None:
    package = tmp_path / "package"
    code, out, err = command("profiles", "package", config_of(chosen(cruise, store, package), tmp_path))
    assert code == 0, out + err
    for path, content in files_of(store, ENRICHED).items():
        at = package / path.replace(ENRICHED, PACKAGED)
        assert at.read_bytes() == content and at.samefile(store / path)
    check = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", CHECKSUMS], cwd=package, check=False)
    assert check.returncode == 0
    listed = {line.split("  ", 1)[1] for line in (package / CHECKSUMS).read_text().splitlines()}
    assert listed | {CHECKSUMS, ".gitignore"} == files_of(package).keys()
    code, out, _ = command("verify", package)
    assert code == 0 and "all good" in out
    assert not litter(package)

    original, packaged = (
        xr.open_zarr(store / ENRICHED, chunks=None).load(),
        xr.open_zarr(package / PACKAGED, chunks=None).load(),
    )
    xr.testing.assert_identical(packaged, original)
    table = pq.read_table(package / "indices/profiles.parquet").to_pandas()
    assert table["profile_date"].tolist() == original["profile_date"].values.tolist()
    valid = original["argo_psal_valid_on_glorys_depth"].values.sum(axis=1)
    assert table["argo_psal_valid_depth_count"].tolist() == valid.tolist()
    variables = pq.read_table(package / "indices/variables.parquet").to_pandas()
    assert set(variables["name"]) == {*map(str, original.variables)}
    for path in variables["zarr_array_path"]:
        assert (package / path / "zarr.json").exists()


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")  # in a library of mlcroissant's
def test_the_descriptions_validate_without_a_network(cruise: Path, store: Path, tmp_path: Path, offline: None) -> None:
    import pystac

    mlcroissant = import_module("mlcroissant")

    package = tmp_path / "package"
    result = oceanrecon.package_profiles(chosen(cruise, store, package))
    assert result.profiles == 48 and result.linked > 50
    item = pystac.Item.from_dict(json.loads((package / STAC_ITEM).read_text()))
    item.validate()
    opened = xr.open_zarr(package / PACKAGED, chunks=None)
    assert item.bbox is not None
    west, south, east, north = item.bbox
    latitude, longitude = opened["latitude"].values, opened["longitude"].values
    assert (south, north) == pytest.approx((latitude.min(), latitude.max()))
    assert west <= longitude.min() and longitude.max() <= east
    start, end = item.properties["start_datetime"], item.properties["end_datetime"]
    dates = opened["profile_date"].values
    assert start.startswith(_iso(dates.min())) and end.startswith(_iso(dates.max()))
    assert start.endswith("Z") and "T" in start
    for name, asset in item.assets.items():
        assert (package / STAC_ITEM).parent.joinpath(asset.href).resolve().exists(), name
    dataset = mlcroissant.Dataset(json.loads((package / CROISSANT).read_text()))
    assert not dataset.metadata.issues.errors
    card = (package / "README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["pretty_name"]
    assert f"{len(dates):,}" in card


def _iso(date: Any) -> str:
    return f"{str(date)[:4]}-{str(date)[4:6]}-{str(date)[6:]}"


def test_a_package_keeps_what_it_has_while_its_store_is_rewritten(
    cruise: Path, tmp_path: Path, client: Client, small_shards: None
) -> None:
    mine, store, package = copied(cruise, tmp_path / "sources"), tmp_path / "store", tmp_path / "package"
    enrich(settings(mine, store), client)
    wanted = chosen(mine, store, package)
    oceanrecon.package_profiles(wanted)
    before = files_of(package)
    write_month(mine, "2012-03", 13, seed=5)
    enrich(settings(mine, store), client, how="resume")
    assert files_of(package) == before and verify_package(str(package)).good
    again = oceanrecon.package_profiles(wanted)
    assert again.profiles == 51
    xr.testing.assert_identical(
        xr.open_zarr(package / PACKAGED, chunks=None), xr.open_zarr(store / ENRICHED, chunks=None)
    )
    assert verify_package(str(package)).good and not litter(package)
    assert pq.read_table(package / "indices/profiles.parquet").num_rows == 51
    # what did not change is still the same file
    assert (package / PACKAGED / "latitude/c/0").samefile(store / ENRICHED / "latitude/c/0")


def test_a_store_that_shrank_is_refused_rather_than_mixed(
    cruise: Path, tmp_path: Path, client: Client, small_shards: None
) -> None:
    """Nothing is ever deleted in a package: shards that are too many cannot stay, and are named."""
    mine, store, package = copied(cruise, tmp_path / "sources"), tmp_path / "store", tmp_path / "package"
    enrich(settings(mine, store), client)
    wanted = chosen(mine, store, package)
    oceanrecon.package_profiles(wanted)
    before = files_of(package)
    for month in ("2012-03", "2012-04"):
        write_month(mine, month, 2)
    enrich(settings(mine, store), client, how="resume")
    with pytest.raises(OutputError, match=r"would not have, such as .*nothing is ever removed"):
        oceanrecon.package_profiles(wanted)
    assert files_of(package) == before and verify_package(str(package)).good


def test_a_package_that_was_stopped_is_gone_on_with(cruise: Path, store: Path, tmp_path: Path) -> None:
    package = tmp_path / "package"
    wanted = chosen(cruise, store, package)

    def stop(done: int, _: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        oceanrecon.package_profiles(wanted, on_file=stop)
    assert not (package / CHECKSUMS).exists()
    oceanrecon.package_profiles(wanted)
    oceanrecon.package_profiles(chosen(cruise, store, tmp_path / "fresh"))
    fresh, found = files_of(tmp_path / "fresh"), files_of(package)
    dated = {CHECKSUMS, CROISSANT, STAC_ITEM, "metadata/dataset_description.json", "metadata/citation.cff", "README.md"}
    assert found.keys() == fresh.keys() and not litter(package)
    assert {path: found[path] for path in found if path not in dated} == {
        path: content for path, content in fresh.items() if path not in dated
    }
    assert verify_package(str(package)).good


def test_a_store_that_is_not_whole_is_not_packaged(cruise: Path, store: Path, tmp_path: Path) -> None:
    package = tmp_path / "package"
    wanted = chosen(cruise, store, package)
    shard = store / ENRICHED / "latitude/c/0"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    with pytest.raises(OutputError, match=r"latitude/c/0 has .* its receipt says"):
        oceanrecon.package_profiles(wanted)
    assert not (package / CHECKSUMS).exists()
    shard.write_bytes(content)
    (store / ENRICHED / "zarr.json").unlink()
    with pytest.raises(OutputError, match="no finished profile store"):
        oceanrecon.package_profiles(wanted)
    with pytest.raises(OutputError, match="profiles enrich"):
        oceanrecon.package_profiles(chosen(cruise, tmp_path / "nothing", package))


def test_nothing_of_a_users_is_touched(cruise: Path, store: Path, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    (thesis / "data").mkdir(parents=True)
    (thesis / "data/mine.txt").write_text("years of work")
    for folder in (thesis, store):
        before = files_of(folder)
        with pytest.raises(OutputError, match="is no package: choose another folder"):
            oceanrecon.package_profiles(chosen(cruise, store, folder))
        assert files_of(folder) == before
    package = tmp_path / "package"
    oceanrecon.package_profiles(chosen(cruise, store, package))
    (package / "README.md").write_text("my own words")
    with pytest.raises(OutputError, match="is not as the package was made"):
        oceanrecon.package_profiles(chosen(cruise, store, package))
    assert (package / "README.md").read_text() == "my own words"


def test_a_flipped_byte_in_a_package_is_found(cruise: Path, store: Path, tmp_path: Path, command: Command) -> None:
    package = tmp_path / "package"
    oceanrecon.package_profiles(chosen(cruise, store, package, files="copy"))
    assert not (package / PACKAGED / "latitude/c/0").samefile(store / ENRICHED / "latitude/c/0")
    for path in (f"{PACKAGED}/latitude/c/0", "indices/profiles.parquet", "README.md"):
        content = (package / path).read_bytes()
        (package / path).write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
        code, out, _ = command("verify", package, "--json")
        assert code == 1
        assert [(p["kind"], p["path"]) for p in json.loads(out)["problems"]] == [("altered", path)]
        (package / path).unlink()
        code, out, _ = command("verify", package, "--json")
        assert [(p["kind"], p["path"]) for p in json.loads(out)["problems"]] == [("missing", path)]
        (package / path).write_bytes(content)
    code, out, _ = command("verify", package)
    assert code == 0 and "all good" in out


def test_a_package_with_the_export_stands_alone(
    cruise: Path, plain: Path, exported: Path, archive: Path, tmp_path: Path, client: Client
) -> None:
    export, package = copied(exported, tmp_path / "export"), tmp_path / "package"
    wanted = chosen(cruise, plain, package, export, with_export=True)
    assert oceanrecon.grid_profiles(wanted, client=client).complete
    result = oceanrecon.package_profiles(wanted)
    assert result.linked > 100 and verify_package(str(package)).good
    for folder in ("rasters", "masks", f"argo/{GRIDDED}"):
        assert files_of(package, folder) == files_of(export, folder)
    manifest = yaml.safe_load((package / "manifest.yaml").read_text())
    assert manifest["output_dir"] == "package" and str(tmp_path) not in json.dumps(manifest["argo"])
    observed = oceanrecon.open_observations(str(package)).isel(time=1).compute(scheduler="sync")
    xr.testing.assert_identical(
        observed, oceanrecon.open_observations(str(export)).isel(time=1).compute(scheduler="sync")
    )
    dense = oceanrecon.open_export(str(package), source="geotiff")
    np.testing.assert_array_equal(dense["adt"], oceanrecon.open_export(str(export), source="geotiff")["adt"])

    # the package as the profiles of another export: the same bytes
    for name, source in (("from_store", plain), ("from_package", package), ("from_zarr", package / PACKAGED)):
        made = oceanrecon.export(
            export_settings(archive, tmp_path / name, variables=["adt"], formats={"geotiff": {}},
                            profiles={"store": str(source)}), client=client
        )  # fmt: skip
        assert made.profiles is not None and made.profiles.profiles == manifest["argo"]["profile_count"]
        assert files_of(tmp_path / name, f"argo/{GRIDDED}") == files_of(export, f"argo/{GRIDDED}")


def test_the_examples_of_a_package_run(cruise: Path, store: Path, tmp_path: Path) -> None:
    package = tmp_path / "package"
    oceanrecon.package_profiles(chosen(cruise, store, package))
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ran = subprocess.run(
        [sys.executable, "examples/open_with_xarray.py"], cwd=package, capture_output=True, text=True, check=False,
        env=alone,
    )  # fmt: skip
    assert ran.returncode == 0 and "profile" in ran.stdout, ran.stderr
