"""Risk: statistics work on disk only."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import Client

from oceanrecon.errors import OutputError
from oceanrecon.pipeline.statistics.plan import plan_statistics
from oceanrecon.service.statistics import fit_statistics
from oceanrecon.stores.files import Root
from oceanrecon.stores.statistics import ARRAYS, read_statistics
from tests.cloud.conftest import Cloud
from tests.pipeline.statistics.hand import chosen, write_export, years

pytestmark = pytest.mark.usefixtures("quick")


def test_statistics_from_a_bucket_to_a_bucket(cloud: Cloud, tmp_path: Path, inside: Client) -> None:
    export = write_export(tmp_path / "export")
    index = years(tmp_path / "index", export)
    here = chosen(export, index, tmp_path / "statistics", every=10)
    fit_statistics(here, client=inside)
    places = {name: cloud.upload(tmp_path / name, name) for name in ("export", "index")}
    there = here.model_copy(update={**places, "output": f"{cloud.url}/statistics"})
    assert plan_statistics(there).recipe.fingerprint == plan_statistics(here).recipe.fingerprint
    assert fit_statistics(there, client=inside).complete
    assert cloud.content("statistics")[ARRAYS] == (tmp_path / "statistics" / ARRAYS).read_bytes()
    assert fit_statistics(there, client=inside, resume=True).steps_made == 0
    Root(there.output).remove(ARRAYS)
    with pytest.raises(OutputError, match=r"statistics\.npz is gone"):
        read_statistics(there.output)
