"""Everything that takes a path takes an fsspec URL: a store on no disk has the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import xarray as xr
from distributed import Client

import oceanrecon
from oceanrecon.pipeline.inventory import update_inventory
from oceanrecon.pipeline.outputs import output_of
from oceanrecon.pipeline.profiles.gridded import GRIDDED
from oceanrecon.pipeline.profiles.locate import PACKAGED
from oceanrecon.pipeline.profiles.schema import ENRICHED
from oceanrecon.pipeline.profiles.verify import verify_package, verify_profiles
from oceanrecon.pipeline.verify import verify
from tests.archives import PRODUCTS, copied, files_of
from tests.archives import settings as export_settings
from tests.pipeline.profiles.tiny import enrich, settings, threads


@pytest.fixture
def remote(cruise: Path, archive: Path) -> Iterator[str]:
    """The sources in fsspec's memory."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for folder in (cruise, archive):
        for path in folder.rglob("*.nc"):
            memory.pipe_file(f"/sources/{path.relative_to(folder)}", path.read_bytes())
    yield "memory://sources"
    memory.store.clear()


@pytest.fixture
def inside() -> Iterator[Client]:
    """A worker in this process, which shares its memory file system."""
    with threads(1) as client:
        yield client


def there(url: str, *folders: str) -> dict[str, bytes]:
    memory = fsspec.filesystem("memory")
    base = url.removeprefix("memory:/")
    found = {path.removeprefix(f"{base}/"): memory.cat_file(path) for path in memory.find(base)}
    return {path: content for path, content in found.items() if path.startswith(folders)}


def test_profiles_from_urls_to_urls_have_the_bytes_of_those_on_disk(
    remote: str, cruise: Path, archive: Path, enriched: Path, exported: Path, tmp_path: Path, inside: Client
) -> None:
    update_inventory(remote, "memory://inventory.parquet")
    output, exports, package = "memory://made/store", "memory://made/export", "memory://made/package"
    files = {"root": remote, "inventory": "memory://inventory.parquet", "products": dict.fromkeys(PRODUCTS)}
    wanted = settings(
        remote, output, remote, archive_inventory="memory://inventory.parquet", grid={"export": exports},
        package={"output": package, "with_export": True},
    )  # fmt: skip
    result = enrich(wanted, inside)
    assert result.complete and result.profiles == 48
    assert there(output, ENRICHED, "months") == files_of(enriched, ENRICHED, "months")
    again = enrich(wanted, inside, how="resume")
    assert (again.months_made, again.months_kept, again.shards_written) == (0, 4, 0)
    assert output_of(output).title == "profile store" and verify_profiles(output).good
    assert verify_profiles(output, deep=True).good

    # gridded
    assert oceanrecon.export(
        export_settings(Path(), exports, archive=files, variables=["thetao"], formats={"geotiff": {}}), client=inside
    ).complete
    assert oceanrecon.grid_profiles(wanted, client=inside).complete
    here = copied(exported, tmp_path / "export")
    oceanrecon.grid_profiles(settings(cruise, enriched, archive, grid={"export": str(here)}), client=inside)
    assert there(exports, f"argo/{GRIDDED}") == files_of(here, f"argo/{GRIDDED}")
    assert verify(exports).good
    xr.testing.assert_identical(
        oceanrecon.open_observations(exports, box=(100, -60, -100, 60)).compute(scheduler="sync"),
        oceanrecon.open_observations(str(here), box=(100, -60, -100, 60)).compute(scheduler="sync"),
    )

    # packaged: copies, since nothing can be linked
    packed = oceanrecon.package_profiles(wanted)
    assert packed.linked == 0 and output_of(package).title == "package" and verify_package(package).good
    store = {path.removeprefix(PACKAGED): content for path, content in there(package, PACKAGED).items()}
    assert store == {path.removeprefix(ENRICHED): content for path, content in files_of(enriched, ENRICHED).items()}


def test_a_store_on_disk_from_urls_and_the_other_way_round(
    remote: str, cruise: Path, plain: Path, tmp_path: Path, inside: Client
) -> None:
    enrich(settings(remote, tmp_path / "out"), inside)
    assert files_of(tmp_path / "out", ENRICHED, "months") == files_of(plain, ENRICHED, "months")
    enrich(settings(cruise, "memory://made/out"), inside)
    assert there("memory://made/out", ENRICHED, "months") == files_of(plain, ENRICHED, "months")
