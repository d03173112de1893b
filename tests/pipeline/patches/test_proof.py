"""The proof finds what brute force finds, pixel by pixel and day by day, and nothing else."""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from oceanrecon.errors import OutputError
from oceanrecon.grid import nearest_date, parse_date, stepped_dates, window_days
from oceanrecon.pipeline.patches.footprint import Footprint
from oceanrecon.pipeline.patches.proof import prove
from oceanrecon.pipeline.patches.spatial import spatial_table, write_spatial
from oceanrecon.pipeline.patches.split import PHASES, Split
from oceanrecon.pipeline.patches.tiling import make_tiling
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import write_manifest
from tests.conftest import Ran
from tests.pipeline.patches.test_tiling import GRID, masked

#: Tiles begin at multiples of ten, and are multiples of ten apart: every tenth pixel of every tenth row is enough to
#: look at all that they share.
TILING = {"tile": 40, "edges": "last", "periodic": True}
GLORYS = stepped_dates(dt.date(2011, 11, 30), dt.date(2012, 2, 10), 7)


def number(date: dt.date) -> int:
    return int(f"{date:%Y%m%d}")


class Index:
    """Tables as ``patches index`` writes them, of an ocean without land, and profiles ten pixels apart."""

    def __init__(self, folder: Path, days: int, every: int, stride: int = 30, **split: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sea = np.zeros((160, 360), np.uint8)
        settings = masked(folder, sea, tiling={**TILING, "stride": stride}, split=split)
        tiling = make_tiling(settings)
        self.root, self.days, self.tile = Root(str(folder / "out")), days, 40
        made = Split.of(settings.split, tiling)
        write_spatial(self.root, spatial_table(settings, tiling, made))
        footprint = Footprint.of(days, GLORYS)
        dates = stepped_dates(dt.date(2011, 12, 14), dt.date(2012, 1, 25), every)
        phases = made.phases(dates, footprint.spans(dates))
        self.rows = pd.DataFrame(
            {
                "patch_id": np.tile(tiling.table["patch_id"], len(dates)),
                "date": np.repeat([number(date) for date in dates], len(tiling.table)),
                "phase": np.array(PHASES)[phases].ravel(),
                "matched_glorys_date": np.repeat([self.file(date) for date in dates], len(tiling.table)),
            }
        )
        rng = np.random.default_rng(5)
        row, column = (10 * part.ravel() for part in np.indices((16, 36)))
        when = rng.integers(-4, (dates[-1] - dates[0]).days + 5, row.size)
        self.profiles = pd.DataFrame(
            {
                "argo_row_id": np.arange(row.size),
                "argo_profile_date": [number(dates[0] + dt.timedelta(days=int(day))) for day in when],
                "platform_number": [f"69{float_number:05d}" for float_number in range(row.size)],
                "grid_row": row,
                "grid_col": column,
            }
        )
        self.manifest = {
            "schema_version": 1,
            "kind": "patches",
            "grid": GRID.to_dict(),
            "tiling": {"tile": 40},
            "frequency": "daily",
            "footprint": footprint.to_dict(),
        }

    @staticmethod
    def file(day: dt.date) -> int:
        return number(nearest_date(GLORYS, day) or day)

    def write(self) -> None:
        for name, table in (("daily", self.rows), ("profiles", self.profiles)):
            table.to_parquet(self.root.url_of(f"{name}.parquet"), index=False)
        write_manifest(self.root, self.manifest)

    def conflicts(self) -> dict[str, int]:
        """Of each kind, from sets of every pixel of every row."""
        on: dict[str, dict[Any, set[str]]] = {name: defaultdict(set) for name in ("pixels on a day", "target files")}
        rows = self.rows[self.rows["phase"].isin(PHASES[:3])]
        every = [self._seen(*row) for row in rows[["patch_id", "date"]].itertuples(index=False)]
        for seen, side in zip(every, rows["phase"], strict=True):
            for name, things in seen.items():
                for thing in things:
                    on[name][thing].add(side)
        found = {
            name: sum(any(len(sides[thing]) > 1 for thing in seen[name]) for seen in every)
            for name, sides in on.items()
        }
        sides = on["pixels on a day"]
        profiles = self.profiles[["grid_row", "grid_col", "argo_profile_date"]].itertuples(index=False)
        found["profiles"] = sum(len(sides.get((row * 360 + column, day), ())) > 1 for row, column, day in profiles)
        return {name: count for name, count in found.items() if count}

    def _seen(self, patch: int, date: int) -> dict[str, set[Any]]:
        y0, x0 = divmod(patch, 360)
        pixels = [y * 360 + x % 360 for y in range(y0, y0 + 40, 10) for x in range(x0, x0 + 40, 10)]
        window = window_days(parse_date(date), self.days)
        return {
            "pixels on a day": {(pixel, number(day)) for pixel in pixels for day in window},
            "target files": {(pixel, self.file(day)) for pixel in pixels for day in window},
        }


def found(index: Index) -> dict[str, int]:
    index.write()
    return {conflict.what: conflict.count for conflict in prove(index.root).conflicts}


@pytest.mark.parametrize(
    ("days", "every", "split"),
    [
        (7, 7, {"method": "block", "block_degrees": 90}),
        (7, 7, {"method": "patch", "stride": 40}),
        (1, 1, {"method": "year", "val_years": [2012]}),
        (7, 7, {"method": "year", "val_years": [2012]}),
        (5, 3, {"method": "year", "test_years": [2011], "val_years": []}),
    ],
)
def test_honest_splits_pass(tmp_path: Path, days: int, every: int, split: dict[str, Any]) -> None:
    index = Index(tmp_path, days, every, **split)
    assert found(index) == index.conflicts() == {}
    proof = json.loads(index.root.read("proof.json"))
    assert proof["holds"] and len(proof["tables"]["daily.parquet"]) == 64
    counted = index.rows["phase"].value_counts()
    assert {side: counted.get(side, 0) for side in PHASES[:3]}.items() <= proof["checked"]["rows"].items()
    assert proof["checked"]["profiles"]["looked up"] == len(index.profiles)
    assert proof["checked"]["profiles"]["in rows of a side"] > 100


def test_a_list_of_rows_is_taken_as_it_is(tmp_path: Path) -> None:
    by_year = Index(tmp_path / "year", 7, 7, method="year", val_years=[2012])
    by_year.rows.to_csv(tmp_path / "rows.csv")
    listed = Index(tmp_path / "list", 7, 7, method="list", table=str(tmp_path / "rows.csv"))
    pd.testing.assert_frame_equal(listed.rows, by_year.rows)
    assert found(listed) == {}


def test_overlapping_patches_one_by_one_are_found_out(tmp_path: Path) -> None:
    index = Index(tmp_path, 7, 7, method="patch", strict=False)
    shared = found(index)
    assert shared == index.conflicts()
    assert set(shared) == {"pixels on a day", "target files", "profiles"}


@pytest.mark.parametrize(("days", "every"), [(1, 3), (5, 7)])
def test_conflicts_are_counted_as_brute_force_counts_them(tmp_path: Path, days: int, every: int) -> None:
    index = Index(tmp_path, days, every, method="block", block_degrees=90)
    rng = np.random.default_rng(1)
    # some rows are elsewhere than they were, and some are not there at all
    moved = rng.random(len(index.rows)) < 0.02
    index.rows.loc[moved, "phase"] = rng.choice(PHASES, int(moved.sum()))
    index.rows = index.rows[rng.random(len(index.rows)) < 0.8]
    shared = found(index)
    assert shared == index.conflicts()
    assert shared["target files"] >= shared["pixels on a day"] > 5 and shared["profiles"]


def test_one_row_on_the_wrong_side_of_the_dateline(tmp_path: Path, command: Callable[..., Ran]) -> None:
    index = Index(tmp_path, 1, 7, method="block", block_degrees=90)
    rows = index.rows
    rows["phase"] = "train"
    # columns 330..369 are those of 180 W, too
    wrong = rows.index[(rows["patch_id"] % 360 == 330) & (rows["date"] == 20111221)][2]
    rows.loc[wrong, "phase"] = "test"
    only = rows[rows["patch_id"] % 360 < 10].index.union([wrong])
    index.rows = rows.loc[only]
    index.write()
    code, out, err = command("patches", "prove", index.root.url)
    assert code == 1 and not out
    assert "two sides share something: 4 rows have pixels on a day that a row of another side has" in err
    assert '"other_phase": "test"' in err and '"date": 20111221' in err
    code, out, _ = command("patches", "prove", index.root.url, "--json")
    proof = json.loads(out)
    assert code == 1 and not proof["holds"] and proof == json.loads(index.root.read("proof.json"))
    assert [conflict["count"] for conflict in proof["conflicts"]] == list(index.conflicts().values())


def test_a_file_that_the_table_names_counts_too(tmp_path: Path) -> None:
    index = Index(tmp_path, 1, 7, method="year", val_years=[2012])
    assert found(index) == {}
    # the last row of a year takes the file of the next
    index.rows.loc[index.rows["date"] == 20111228, "matched_glorys_date"] = 20120104
    assert set(found(index)) == {"target files"}


def test_tables_that_do_not_belong_together(tmp_path: Path) -> None:
    index = Index(tmp_path, 1, 7, method="block", block_degrees=90)
    index.write()
    index.root.remove("daily.parquet")
    with pytest.raises(OutputError, match=r"has no daily.parquet: make the tables with `oceanrecon patches index`"):
        prove(index.root)
    index.rows.loc[0, "patch_id"] = 1
    with pytest.raises(OutputError, match=r"has rows of patch 1, which patches.parquet has not"):
        found(index)
    index.rows = index.rows.iloc[1:]
    index.rows.loc[1, "phase"] = "training"
    with pytest.raises(OutputError, match="has 'training' as a phase: it is one of train, val, test, guard"):
        found(index)
    index.root.write("daily.parquet", b"PAR1 and no more")
    with pytest.raises(OutputError, match=r"daily.parquet cannot be read .*patches index --overwrite"):
        prove(index.root)
