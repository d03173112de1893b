from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import json
import os
import re
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.stores.files import Root
from oceanrecon.stores.hub.card import card, citation, description, licence_notice
from oceanrecon.stores.hub.croissant import croissant, validate_croissant
from oceanrecon.stores.hub.facts import (
    CHECKSUMS,
    CITATION,
    CROISSANT,
    EXAMPLES,
    GENERATED,
    PROFILES_TABLE,
    SPDX,
    STAC_ITEM,
    UPSTREAM,
    VARIABLES_TABLE,
    Box,
    Coverage,
    PackageFacts,
    hub_library,
    to_json,
)
from oceanrecon.stores.hub.links import Placed
from oceanrecon.stores.hub.stac import geometry, stac_item, validate_stac
from oceanrecon.stores.hub.tables import ProfilesTable
from tests.stores.hub_sample import ASSETS, PACKAGED, ROWS, make_facts, write_package, write_store

Made = tuple[Root, PackageFacts, ProfilesTable, Placed]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("hub")
    package = Root(str(folder / "package"))
    return package, *write_package(write_store(folder), package)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)


def changed(made: Made, **changes: Any) -> PackageFacts:
    return dataclasses.replace(made[1], **changes)


def test_a_package_has_everything_and_its_checksums(made: Made) -> None:
    package = made[0]
    assert {path for path in package.list() if not path.startswith("data/")} == {*GENERATED, CHECKSUMS, ".gitignore"}
    check = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", CHECKSUMS], cwd=package.url)
    assert check.returncode == 0


def test_the_card_has_what_the_hub_reads(made: Made) -> None:
    _, header, text = card(changed(made, title="Profiles: [a] 'title' # of its own")).split("---\n", 2)
    front = yaml.safe_load(header)
    assert front["license"] == "other" and front["license_link"] == "LICENSE"
    assert front["pretty_name"] == "Profiles: [a] 'title' # of its own"
    assert {"oceanography", "glorys", "sea-level", "en4", "argo", "zarr"} == set(front["tags"])
    assert front["size_categories"] == ["n<1K"]
    # The viewer wants one set of columns per configuration, and files that exist.
    for configuration in front["configs"]:
        (split,) = configuration["data_files"]
        assert (Path(made[0].url) / split["path"]).is_file()
    assert sum(configuration.get("default", False) for configuration in front["configs"]) == 1
    assert text.startswith("\n# Profiles: [a]")
    for product in ("glorys", "sealevel", "en4", "argo"):
        assert UPSTREAM[product].doi in text
    assert UPSTREAM["ostia"].doi not in text and "ostia_temporal_status" not in text


@pytest.mark.parametrize(
    ("count", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (6_637_381, "1M<n<10M"), (10**7, "10M<")]
)
def test_the_card_knows_its_size(made: Made, count: int, size: str) -> None:
    contents = dataclasses.replace(made[1].contents, profile_count=count)
    front = yaml.safe_load(card(changed(made, contents=contents)).split("---\n", 2)[1])
    assert front["size_categories"][0].startswith(size)


def test_the_description_can_be_read_by_programs(made: Made) -> None:
    found = json.loads(made[0].read("metadata/dataset_description.json"))
    assert found == description(made[1])
    assert found["profile_date_range"] == {
        "start": 20120228, "end": 20120301, "start_iso": "2012-02-28", "end_iso": "2012-03-01",
    }  # fmt: skip
    assert found["bbox"] == [-40.0, -33.25, 12.5, 61.5]
    assert (found["profile_count"], found["glorys_depth_count"]) == (ROWS, 5)
    assert found["zarr_attrs"]["quality"]["levels"] == [1, 2, -1]
    assert found["includes_geotiff_assets"] is False
    assert description(changed(made, assets=ASSETS))["includes_geotiff_assets"] is True
    assert "argo_psal_on_glorys_depth" in found["variables"]


def test_only_the_products_that_were_used_are_cited(made: Made) -> None:
    found = yaml.safe_load(made[0].read(CITATION))
    assert found["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= found.keys()
    assert [reference["doi"] for reference in found["references"]] == [
        "10.48670/moi-00021", "10.48670/moi-00148", "10.1002/2013JC009067", "10.17882/42182",
    ]  # fmt: skip
    for reference in found["references"]:
        assert {"type", "title", "authors"} <= reference.keys()
        assert all({"name"} <= author.keys() or {"family-names"} <= author.keys() for author in reference["authors"])
    # CFF wants SPDX names only, and dates as YYYY-MM-DD strings.
    assert "license" not in found and re.fullmatch(r"\d{4}-\d\d-\d\d", found["date-released"])
    assert yaml.safe_load(citation(changed(made, license="cc-by-4.0")))["license"] == "CC-BY-4.0"
    notice = licence_notice(made[1])
    assert "Copernicus" in notice and "Argo" in notice and "moi-00168" not in notice


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_run_from_any_folder(made: Made, tmp_path: Path, example: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", made[0].url_of(example)], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    if "subset" in example:
        assert "21 profiles from 2012-02-28 to 2012-03-29" in run.stdout
    else:
        assert "argo_potm_on_glorys_depth" in run.stdout and "profile 8 of" in run.stdout


def test_the_example_takes_region_and_period(made: Made, tmp_path: Path) -> None:
    options = "--west -20 --east 10 --south 0 --north 50 --start 2012-02-29 --end 2012-03-01".split()
    command = [sys.executable, "-W", "error", EXAMPLES[1], *options, "--output", str(tmp_path / "subset.nc")]
    run = subprocess.run(command, cwd=made[0].url, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    index = pd.read_parquet(made[0].url_of(PROFILES_TABLE))
    wanted = index.query("-20 <= longitude <= 10 and 0 <= latitude <= 50 and profile_date >= 20120229").profile
    with xr.open_dataset(tmp_path / "subset.nc") as subset:
        assert 0 < len(wanted) < ROWS
        assert subset.profile.values.tolist() == wanted.tolist()
        assert subset.platform_number.values.tolist() == index.platform_number[wanted].tolist()
        assert json.loads(subset.attrs["quality"])["mode"] == "standard"
    across = subprocess.run(
        [*command[:4], "--west", "5", "--east", "-30"], cwd=made[0].url, capture_output=True, text=True
    )
    outside = ((index.longitude >= 5) | (index.longitude <= -30)).sum()
    assert f"{outside} profiles" in across.stdout


@pytest.mark.parametrize("license", ["other", *SPDX])
def test_the_stac_item_is_valid_without_a_network(made: Made, no_network: None, license: str) -> None:
    validate_stac(json.loads(made[0].read(STAC_ITEM)))
    validate_stac(stac_item(changed(made, license=license, assets=ASSETS)))


def test_links_and_assets_of_the_item_lead_somewhere(made: Made) -> None:
    folder = Path(made[0].url_of(STAC_ITEM)).parent
    item = stac_item(made[1])
    local = [link["href"] for link in item["links"] if "://" not in link["href"]]
    for href in [*local, *(asset["href"] for asset in item["assets"].values())]:
        assert (folder / href).exists(), href
    for asset in stac_item(changed(made, assets=ASSETS))["assets"].values():
        assert asset["roles"] and asset["type"]
    assert {"rasters", "compact_argo", "manifest", "masks"} <= stac_item(changed(made, assets=ASSETS))["assets"].keys()


@pytest.mark.parametrize(
    ("bbox", "parts"),
    [
        ((-180.0, -90.0, 180.0, 90.0), [(-180.0, 180.0)]),
        ((-40.0, 10.0, 12.5, 20.0), [(-40.0, 12.5)]),
        ((170.0, -10.0, -160.0, 20.0), [(170.0, 180.0), (-180.0, -160.0)]),
    ],
)
def test_the_geometry_never_runs_the_wrong_way_round_the_globe(
    made: Made, bbox: Box, parts: list[tuple[float, float]]
) -> None:
    found = geometry(bbox)
    polygons = found["coordinates"] if found["type"] == "MultiPolygon" else [found["coordinates"]]
    assert [(min(x for x, _ in ring), max(x for x, _ in ring)) for (ring,) in polygons] == parts
    for (ring,) in polygons:
        assert ring[0] == ring[-1] and {y for _, y in ring} == {bbox[1], bbox[3]}
        x, y = np.array(ring).T
        assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0, "rings of GeoJSON run counterclockwise"
    coverage = Coverage(dt.date(2010, 1, 1), dt.date(2010, 1, 2), bbox)
    validate_stac(stac_item(changed(made, coverage=coverage)))


def test_a_single_place_is_a_point(made: Made) -> None:
    assert geometry((5.0, 3.0, 5.0, 3.0)) == {"type": "Point", "coordinates": [5.0, 3.0]}
    coverage = Coverage(dt.date(2010, 1, 1), dt.date(2010, 1, 1), (5.0, 3.0, 5.0, 3.0))
    validate_stac(stac_item(changed(made, coverage=coverage)))


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("properties", "start_datetime"), "2012-02-28", "does not match"),
        (("properties", "start_datetime"), "2012-02-30T00:00:00Z", "not a time in UTC by RFC 3339"),
        (("properties", "created"), "yesterday, at noonZ", "not a time in UTC by RFC 3339"),
        (("properties", "start_datetime"), "2013-01-01T00:00:00Z", r"it ends .* before it starts"),
        (("bbox",), [-40.0, 12.5], "not valid"),
        (("geometry", "type"), "Rectangle", "not valid"),
        (("assets", "zarr"), {"title": "no href"}, "not valid"),
        (("links",), None, "not valid"),
        (("stac_version",), "0.9.0", "must be of version 1.1.0"),
        (("stac_extensions",), ["https://example.org/schema.json"], "without extensions"),
    ],
)
def test_a_wrong_item_is_refused(made: Made, no_network: None, place: tuple[str, ...], value: Any, reason: str) -> None:
    item = copy.deepcopy(stac_item(made[1]))
    inner = item
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(OutputError, match=reason):
        validate_stac(item)


def test_the_croissant_description_is_valid_without_a_network(made: Made, no_network: None) -> None:
    package, _, profiles, variables = made
    validate_croissant(json.loads(package.read(CROISSANT)))
    validate_croissant(croissant(changed(made, assets=ASSETS, license="cc-by-4.0"), profiles, variables))


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("distribution", 0, "sha256"), None, "sha256"),
        (("distribution", 1, "contentUrl"), None, "contentUrl"),
        (("distribution", 2, "includes"), None, "includes"),
        (("recordSet", 0, "field", 2, "source", "fileObject", "@id"), "nothing.parquet", "nothing.parquet"),
        (("recordSet", 0, "field", 2, "dataType"), "sc:Nonsense", "dataType"),
    ],
)
def test_a_wrong_croissant_description_is_refused(
    made: Made, no_network: None, place: tuple[Any, ...], value: Any, reason: str
) -> None:
    document: Any = copy.deepcopy(croissant(*made[1:]))
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    if value is None:
        del inner[place[-1]]
    with pytest.raises(OutputError, match=f"(?i)not valid: .*{reason}"):
        validate_croissant(document)


def test_a_croissant_reader_gets_the_rows_of_the_tables(made: Made, no_network: None) -> None:
    mlcroissant = hub_library("mlcroissant", "read a Croissant description")
    package = made[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        dataset = mlcroissant.Dataset(jsonld=package.url_of(CROISSANT))
        for name, path in (("profiles", PROFILES_TABLE), ("variables", VARIABLES_TABLE)):
            rows = pd.DataFrame(list(dataset.records(name)))
            table = pd.read_parquet(package.url_of(path))
            assert [column.removeprefix(f"{name}/") for column in rows.columns] == list(table.columns)
            for column in table.columns:
                values = [value.decode() if isinstance(value, bytes) else value for value in rows[f"{name}/{column}"]]
                assert values == table[column].tolist()


def test_without_the_extra_the_message_names_it(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pystac", "mlcroissant"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(OutputError, match=r"pystac is needed and not installed .*constraints.txt -e '\.\[hub\]'"):
        validate_stac(stac_item(made[1]))
    with pytest.raises(OutputError, match=r"mlcroissant is needed .*constraints.txt -e '\.\[hub\]'"):
        validate_croissant(croissant(*made[1:]))


def test_writing_a_package_needs_none_of_the_extra() -> None:
    code = (
        "import sys; import oceanrecon.stores.hub.card, oceanrecon.stores.hub.stac, oceanrecon.stores.hub.croissant; "
        "print({'pystac', 'jsonschema', 'mlcroissant', 'dask'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert run.stdout.strip() == "set()", run.stderr


def test_the_same_facts_give_the_same_package(made: Made, tmp_path: Path) -> None:
    again = Root(str(tmp_path / "again"))
    write_package(write_store(tmp_path), again)
    assert again.read(CHECKSUMS) == made[0].read(CHECKSUMS)


def test_facts_that_cannot_be_cited_are_refused(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no citation is known for the source 'seaice': use glorys, ostia"):
        changed(made, sources=("glorys", "seaice"))
    with pytest.raises(ConfigError, match=r"package\.license: 'GPL' is not known: use apache-2\.0"):
        changed(made, license="GPL")
    with pytest.raises(ConfigError, match=r"package\.name: 'my profiles' is no name: use letters"):
        changed(made, name="my profiles")
    with pytest.raises(OutputError, match="cannot be written as JSON"):
        to_json({"value": float("nan")})
    assert make_facts(write_store(tmp_path), made[2]).store == PACKAGED
