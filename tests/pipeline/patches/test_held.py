"""Risk: an index has rows that both loaders then refuse as a whole: at the first and the last month of the profiles."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import Client

from oceanrecon.errors import ConfigError, PlanError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.pipeline.patches.match import NONE, day_of, numbers
from oceanrecon.pipeline.patches.plan import plan_index
from oceanrecon.pipeline.patches.rows import Dates, with_files
from oceanrecon.samples.archive import ArchiveSource
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.index import read_index
from oceanrecon.samples.rows import every_row
from oceanrecon.stores.mask import read_land_mask
from oceanrecon.training.data import ArchivePatches, ExportPatches
from tests.archives import copied
from tests.pipeline.patches.cast import index, of_archive, settings
from tests.pipeline.profiles import tiny
from tests.profile_files import write_argo

WEEKS = (20120222, 20120229, 20120307)
PATCHES = PatchGrid(RasterGrid.from_bounds(3.0, (-180, -90, 180, 90)), 20, 20)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EN4 of March; and a float until February, which has a profile in March whose position is bad."""
    folder = tmp_path_factory.mktemp("edge") / "sources"
    tiny.write_month(folder, "2012-03", 200)
    tiny.write_float(folder, ("2012-01", "2012-02"))
    write_argo(folder / "argo/5900001_prof.nc", juld=tiny.days(20120305) + 0.5, position_qc="4", platform="5900001")
    return folder


def dates_of(output: Path) -> list[int]:
    name = read_index(str(output)).frequency
    return sorted(set(pd.read_parquet(output / f"{name}.parquet")["date"].tolist()))


def loads(make: Callable[[], object]) -> bool:
    try:
        make()
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize(("days", "left"), [(7, [20120307]), (15, [])])
def test_rows_of_an_export_are_those_that_it_can_load(
    sources: Path, exported: Path, tmp_path: Path, client: Client, days: int, left: list[int]
) -> None:
    export, output = copied(exported, tmp_path / "export"), tmp_path / "index"
    profiles = tiny.settings(sources, tmp_path / "store", end="2012-03-10", grid={"export": str(export)})
    assert tiny.enrich(profiles, client).complete and tiny.grid(profiles, client).complete
    chosen = settings(output, export=export, rows={"days": days})
    for date in WEEKS:
        opened = partial(ExportSource, str(export), every_row(PATCHES, [date]), days=days)
        assert loads(opened) == (date in left)
    if not left:
        with pytest.raises(PlanError, match=r"no date has a row: .*were not put into the export's gridded store"):
            index(chosen, client)
        return
    result = index(chosen, client)
    assert result.complete and dates_of(output) == left
    (note,) = result.notes
    assert note.startswith("no row of 20120222..20120229: profiles of some of the 7 days around each")
    assert len(ExportPatches(str(export), str(output), split="all")) == sum(result.rows.values()) > 10


@pytest.mark.parametrize(
    ("kinds", "days", "left", "beside", "said", "month"),
    [
        (("en4", "argo"), 7, range(20120304, 20120310), 20120303, "no row of 20120219..20120303", "2012-02"),
        (("en4",), 1, range(20120301, 20120310), 20120229, "no row of 20120219..20120229", "2012-02"),
        (("argo",), 7, range(20120219, 20120227), 20120227, "no row of 20120227..20120309", "2012-03"),
    ],
)
def test_rows_of_files_are_those_that_the_archive_can_load(
    sources: Path, exported: Path, archive: Path, tmp_path: Path, client: Client, kinds: tuple[str, ...], days: int,
    left: Sequence[int], beside: int, said: str, month: str,
) -> None:  # fmt: skip
    output = tmp_path / "index"
    chosen = settings(
        output, archive=of_archive(archive), rows={"frequency": "daily", "days": days, "keep_empty": True},
        tiling={"mask": f"{exported}/masks/land_mask.tif", "tile": 10, "max_land_fraction": 1.0},
        **{kind: {"root": str(sources / kind)} for kind in kinds},
    )  # fmt: skip
    result = index(chosen, client)
    assert result.complete and dates_of(output) == [*left]
    (note,) = [note for note in result.notes if note.startswith(said)]
    assert f"({month}): add the files of that month" in note
    assert chosen.archive is not None
    source = partial(
        ArchiveSource, chosen.archive, grid=PATCHES.grid, land=read_land_mask(f"{exported}/masks/land_mask.tif"),
        en4=chosen.en4, argo=chosen.argo, surface=["analysed_sst"], days=days, minimum_files=1,
    )  # fmt: skip
    assert not loads(lambda: source(every_row(PATCHES, [beside])))
    data = ArchivePatches(str(output), split="all", surface=["analysed_sst"], require_profiles=False)
    assert sorted({*data.rows.date.tolist()}) == [*left]


def test_a_side_whose_dates_were_left_out_says_why(
    sources: Path, exported: Path, archive: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "rows.csv"
    listed.write_text("patch_id,date,phase\n0,20120222,val\n0,20120307,train\n")
    chosen = settings(
        tmp_path / "index", archive=of_archive(archive), en4={"root": str(sources / "en4")}, rows={"days": 1},
        tiling={"mask": f"{exported}/masks/land_mask.tif", "tile": 10, "max_land_fraction": 1.0},
        split={"method": "list", "table": str(listed)},
    )  # fmt: skip
    said = (
        r"no row is for val \(.*rows\.csv; 1 of its 2 rows are of dates without rows here; no row of "
        r"20120222\.\.20120229: the 1 days around each .* without an EN4 file.*\(2012-02\)"
    )
    with pytest.raises(ConfigError, match=said):
        plan_index(chosen)


def test_many_months_without_files_are_named_by_their_stretches() -> None:
    firsts = [dt.date(year, month, 1) for year in (2010, 2011) for month in range(1, 13)]
    day = np.array([day_of(first) for first in firsts])
    dates = Dates(pd.DataFrame({"day": day, "date": numbers(day)}), NONE, NONE, ())
    found = with_files(dates, firsts[1::2], "an EN4 file", 1)
    assert found.dates == firsts[1::2]
    (note,) = found.notes
    assert "(2010-01, 2010-03, " in note and "2011-07 and 2 more stretches): add the files" in note
    (note,) = with_files(dates, firsts[3:], "an EN4 file", 1).notes
    assert "(2010-01..2010-03): add the files" in note
    assert with_files(dates, firsts, "an EN4 file", 1).notes == ()
