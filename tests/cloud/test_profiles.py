"""Risk: profiles, their gridded form, a patch index or a package work on disk only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from distributed import Client

import oceanrecon
from oceanrecon.pipeline.outputs import output_of
from oceanrecon.pipeline.patches.verify import verify_index
from oceanrecon.pipeline.profiles.gridded import GRIDDED
from oceanrecon.pipeline.profiles.locate import PACKAGED
from oceanrecon.pipeline.profiles.schema import ENRICHED
from oceanrecon.pipeline.profiles.verify import verify_package, verify_profiles
from oceanrecon.pipeline.verify import verify
from oceanrecon.samples.index import read_index
from oceanrecon.stores.files import Root
from tests.archives import PRODUCTS, copied, files_of
from tests.cloud.conftest import Cloud
from tests.pipeline.patches.cast import index
from tests.pipeline.patches.cast import settings as patch_settings
from tests.pipeline.profiles.tiny import enrich, settings, write_sources
from tests.s3 import Fault

MONTHS = ("2012-02", "2012-03")
BOX = (100.0, -60.0, -100.0, 60.0)
pytestmark = pytest.mark.usefixtures("quick")


def test_profiles_from_a_bucket_to_a_bucket(
    cloud: Cloud, archive: Path, exported: Path, tmp_path: Path, inside: Client
) -> None:
    """Enriched, gridded, opened, indexed and packaged, with some answers that are not given."""
    sources = write_sources(tmp_path / "sources", MONTHS)
    here_export = copied(exported, tmp_path / "export")
    cloud.upload(archive, "archive")
    cloud.upload(sources, "sources")
    cloud.upload(exported, "export")
    output, exports = f"{cloud.url}/store", f"{cloud.url}/export"
    package = {"output": f"{cloud.url}/package", "with_export": False}
    wanted = settings(f"{cloud.url}/sources", output, f"{cloud.url}/archive", grid={"export": exports}, package=package)
    local = settings(sources, tmp_path / "store", archive, grid={"export": str(here_export)})
    for fault in (Fault(status=503, every=19, times=10), Fault(cut=True, every=23, times=10)):
        cloud.proxy.add(fault)
    assert enrich(wanted, inside).complete
    assert enrich(local, inside).complete
    assert cloud.content("store", ENRICHED, "months") == files_of(tmp_path / "store", ENRICHED, "months")
    again = enrich(wanted, inside, how="resume")
    assert (again.months_made, again.shards_written) == (0, 0)
    assert output_of(output).title == "profile store" and verify_profiles(output).good

    assert oceanrecon.grid_profiles(wanted, client=inside).complete
    assert oceanrecon.grid_profiles(local, client=inside).complete
    assert cloud.content("export", f"argo/{GRIDDED}") == files_of(here_export, f"argo/{GRIDDED}")
    assert verify(exports).good
    with cloud.proxy.counting() as opening:
        there = oceanrecon.open_observations(exports, box=BOX)
    assert not [one for one in opening.seen if "list-type" in one.path], str(opening)
    there = there.compute(scheduler="sync")
    xr.testing.assert_identical(
        there, oceanrecon.open_observations(str(here_export), box=BOX).compute(scheduler="sync")
    )
    assert np.isfinite(there.temperature).any()

    chosen = {"export": exports, "archive": {"root": f"{cloud.url}/archive", "products": dict.fromkeys(PRODUCTS)},
              "en4": {"root": f"{cloud.url}/sources/en4"}, "argo": {"root": f"{cloud.url}/sources/argo"}}  # fmt: skip
    assert index(patch_settings(f"{cloud.url}/index", **chosen), inside).complete
    assert verify_index(f"{cloud.url}/index").good
    table = read_index(f"{cloud.url}/index")
    assert len(table.table()) and len(table.spatial()) and len(table.rows("all", require_profiles=False))

    packed = oceanrecon.package_profiles(wanted)
    assert packed.linked == 0 and verify_package(f"{cloud.url}/package").good
    store = {path.removeprefix(PACKAGED): data for path, data in cloud.content("package", PACKAGED).items()}
    made = files_of(tmp_path / "store", ENRICHED).items()
    assert store == {path.removeprefix(ENRICHED): data for path, data in made}
    damaged = sorted(path for path in cloud.content("store") if "/c/" in path)[0]
    Root(output).remove(damaged)
    assert [problem.path for problem in verify_profiles(output).problems] == [damaged]
