"""Risk: a sample looks as if nobody had measured on days whose profiles were never put into the export."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from distributed import Client

from oceanrecon.errors import ConfigError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.pipeline.profiles.manifest import held_days
from oceanrecon.pipeline.profiles.plan import plan_profiles
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.held import HeldDays
from oceanrecon.samples.rows import every_row
from oceanrecon.stores.steps import Step, UsedFile
from tests.archives import copied
from tests.pipeline.profiles.tiny import days, enrich, grid, settings, write_float, write_month, write_sources
from tests.profile_files import write_argo

PATCHES = PatchGrid(RasterGrid.from_bounds(3.0, (-180, -90, 180, 90)), 20, 20)


def held(export: Path) -> Any:
    return yaml.safe_load((export / "manifest.yaml").read_text())["argo"]["days_held"]


def opened(export: Path, date: int, window: int) -> ExportSource:
    return ExportSource(str(export), every_row(PATCHES, [date]), days=window)


def test_days_before_the_first_and_after_the_last_are_not_held(
    archive: Path, exported: Path, tmp_path: Path, client: Client
) -> None:
    sources, export = write_sources(tmp_path / "sources"), copied(exported, tmp_path / "export")
    one: dict[str, Any] = {"grid": {"export": str(export)}}
    chosen = settings(sources, tmp_path / "store", start="2012-02-24", end="2012-03-09", **one)
    assert enrich(chosen, client).complete and grid(chosen, client).complete
    assert held(export) == [[20120224, 20120309]]

    opened(export, 20120229, 11)  # from 24 February on
    with pytest.raises(ConfigError, match=r"no profiles of 2012-02-23, 6 days from 20120229: no profiles of that day"):
        opened(export, 20120229, 13)
    with pytest.raises(ConfigError, match=r"no profiles of 2012-02-19, 3 days from 20120222"):
        opened(export, 20120222, 7)
    opened(export, 20120307, 5)  # until 9 March
    with pytest.raises(ConfigError, match=r"no profiles of 2012-03-10, 3 days from 20120307"):
        opened(export, 20120307, 7)

    wide = settings(sources, tmp_path / "store", end="2012-02-20", **one)  # other days of an earlier month
    assert enrich(wide, client, how="resume").complete and grid(wide, client, how="resume").complete
    assert held(export) == [[20120101, 20120220], [20120301, 20120309]]  # February is made anew, March stays

    for receipt in (tmp_path / "store").glob("receipts/months/*.json"):  # of before receipts told their days
        lines = receipt.read_text().splitlines(keepends=True)
        at = next(number for number, line in enumerate(lines) if line == ' "days": [\n')
        older = "".join(lines[:at]).rstrip().rstrip(",") + "\n}\n"
        receipt.write_text(older)
    again = enrich(wide, client, how="resume")
    assert again.months_kept == 2 and grid(wide, client, how="resume").complete
    assert held(export) == [[20120101, 20120220], [20120301, 20120331]]  # nobody knows of March: as it was


def test_a_month_that_failed_anew_has_not_the_days_that_it_was_asked_for(tmp_path: Path) -> None:
    """Its older receipt, which does not say its days, stays where the trouble was of the moment."""
    write_month(tmp_path, "2012-02")
    earlier, wider = (
        plan_profiles(settings(tmp_path, tmp_path / "store", argo=None, start=start))
        for start in ("2012-02-20", "2012-02-10")
    )
    (month,) = earlier.months
    older = {"2012-02": Step("months", "2012-02", month.key(earlier.recipe), (), (UsedFile("en4", "a.nc", 1, 1),))}
    assert held_days(earlier, older) == [[20120220, 20120229]]
    assert held_days(wider, older) == []


def test_a_few_floats_are_no_month_of_en4(archive: Path, exported: Path, tmp_path: Path, client: Client) -> None:
    sources, export = tmp_path / "sources", copied(exported, tmp_path / "export")
    for month in ("2012-01", "2012-02", "2012-04"):
        write_month(sources, month)
    write_float(sources)  # has profiles in March, too
    one: dict[str, Any] = {"grid": {"export": str(export)}}
    chosen = settings(sources, tmp_path / "store", **one)
    assert enrich(chosen, client).complete and grid(chosen, client).complete
    assert held(export) == [[20120101, 20120229], [20120401, 20120430]]
    opened(export, 20120222, 7)
    with pytest.raises(ConfigError, match=r"no profiles of 2012-03-01, 1 days from 20120229: .* none of EN4"):
        opened(export, 20120229, 3)

    floats = settings(sources, tmp_path / "floats", en4=None, **one)
    assert enrich(floats, client).complete and grid(floats, client, how="overwrite").complete
    assert held(export) == [[20120101, 20120430]]  # of Argo alone there is no month that should be there
    opened(export, 20120229, 3)

    write_float(tmp_path / "few", ("2012-01", "2012-02"))
    write_argo(tmp_path / "few/argo/5900001_prof.nc", juld=days(20120305) + 0.5, position_qc="4", platform="5900001")
    few = settings(tmp_path / "few", tmp_path / "few/store", en4=None, **one)
    assert enrich(few, client).complete and grid(few, client, how="overwrite").complete
    assert held(export) == [[20120101, 20120229]]  # a rejected profile is as good as none


def test_held_days_are_those_of_the_stretches_the_months_or_all() -> None:
    targets = {"window_days": 3, "target_dates": [20120105, 20120131]}
    january = np.array([dt.date(2012, 1, 1).toordinal() + number for number in range(40)])  # to 9 February

    def found(**more: Any) -> list[list[int]]:
        section = HeldDays(targets | more)
        return [(np.flatnonzero(mask) + 1).tolist() for mask in (section.near(january), section.known(january))]

    near = [4, 5, 6, 30, 31, 32]
    assert found() == [near, list(range(1, 41))]
    assert found(months=["2012-02"]) == [near, list(range(32, 41))]
    stretches = [[20120203, 20120205], [20120102, 20120103]]
    assert found(months=["2012-02"], days_held=stretches) == [near, [2, 3, 34, 35, 36]]
    assert found(days_held=[]) == [near, []]
