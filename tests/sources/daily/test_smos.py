"""Risk: salinity of the two directions mixed up, or its quality bits turned into numbers of salinity."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np

from oceanrecon.grid.octants import OCTANTS, cut
from oceanrecon.sources.daily.smos import ASCENDING, DESCENDING
from oceanrecon.sources.daily.source import natural
from oceanrecon.stores.files import Root
from oceanrecon.stores.tile_file import About, open_tile, write_gridded
from oceanrecon.synthetic.daily.smos import smos_jobs

_DAY = dt.date(2024, 2, 29)


def test_quality_of_255_and_1024_reaches_the_files_of_both_directions(tmp_path: Path) -> None:
    fields = []
    for source, job in zip((ASCENDING, DESCENDING), smos_jobs(2, _DAY, 0.5), strict=True):
        path = tmp_path / job.path
        path.parent.mkdir(exist_ok=True)
        job.write(str(path))
        file = source.match(str(path), 0, 0)
        assert file is not None and file.day == _DAY and source.read_grid is not None
        day = source.read_grid([file], _DAY)
        salinity, quality = day.values["Sea_Surface_Salinity"].data, day.values["Sea_Surface_Salinity_QC"]
        fields.append(salinity)
        there = np.isfinite(salinity)
        assert 0 < there.mean() < 0.5 and np.nanmin(salinity) > 0
        # where there is no salinity, there is no quality
        assert np.array_equal(there, quality.data != quality.missing)
        kinds, count = np.unique(quality.data[there], return_counts=True)
        assert kinds.tolist() == [0, 1, 255, 1024]
        found: dict[int, int] = dict.fromkeys(kinds.tolist(), 0)
        about = About(source.key, source.title, _DAY, (file.name,), "cut")
        for number, rows, columns in cut(day.latitude, day.longitude):
            write_gridded(Root(str(tmp_path)), "tile.nc", OCTANTS[number], day, rows, columns, about)
            with open_tile(tmp_path / "tile.nc") as tile:
                bits = tile.read("Sea_Surface_Salinity_QC")
                assert bits.dtype == np.int16
                for kind in found:
                    found[kind] += int((bits == kind).sum())
        assert list(found.values()) == count.tolist()
    assert not np.array_equal(fields[0], fields[1], equal_nan=True)


def test_each_direction_takes_its_own_files_and_the_latest_version() -> None:
    names = [
        "SM_OPER_MIR_CSF2QA_20240229T000000_20240229T235959_340_001_7.nc",
        "SM_RE07_MIR_CSF2QA_20240229T000000_20240229T235959_337_001_7.nc",
        "SM_RE07_MIR_CSF2QA_20240229T000000_20240229T235959_338_001_7.nc",
    ]
    files = [ASCENDING.match(f"/raw/l3_sss_smos/2024/{name}", 0, 0) for name in names]
    revisions = [natural(file.revision) for file in files if file is not None]
    assert len(revisions) == 3 and sorted(revisions) == revisions
    assert all(DESCENDING.match(name, 0, 0) is None for name in names)
    assert DESCENDING.match(names[0].replace("CSF2QA", "CSF2QD"), 0, 0) is not None
