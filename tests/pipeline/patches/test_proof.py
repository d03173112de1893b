"""The proof finds what brute force finds, pixel by pixel and day by day, and nothing else."""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest

from oceanrecon.errors import OutputError
from oceanrecon.grid import nearest_date, parse_date, stepped_dates, window_days
from oceanrecon.pipeline.patches.footprint import Footprint
from oceanrecon.pipeline.patches.proof import prove, write_proof
from oceanrecon.pipeline.patches.spatial import spatial_table
from oceanrecon.pipeline.patches.split import PHASES, Split
from oceanrecon.pipeline.patches.tiling import make_tiling
from oceanrecon.samples.index import read_index
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import read_manifest, write_manifest
from oceanrecon.stores.tables import Described, described, to_arrow, write_table
from tests.conftest import Ran
from tests.pipeline.patches.test_tiling import GRID, masked

#: Tiles begin at multiples of ten, and are multiples of ten apart: every tenth pixel of every tenth row is enough to
#: look at all that they share.
TILING = {"tile": 40, "edges": "last", "periodic": True}
GLORYS = stepped_dates(dt.date(2011, 11, 30), dt.date(2012, 2, 10), 7)


def number(date: dt.date) -> int:
    return int(f"{date:%Y%m%d}")


class Index:
    """Tables as ``patches index`` writes them, of an ocean without land, and profiles ten pixels apart.

    With a ``window`` they are of an export whose weekly targets are means over so many days, and of daily reanalyses.
    """

    def __init__(
        self, folder: Path, days: int, every: int, stride: int = 30, window: int | None = None, **split: Any
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sea = np.zeros((160, 360), np.uint8)
        settings = masked(folder, sea, tiling={**TILING, "stride": stride}, split=split)
        tiling = make_tiling(settings)
        self.root, self.days, self.window = Root(str(folder / "out")), days, window or 1
        self.glorys = GLORYS if window is None else stepped_dates(GLORYS[0], GLORYS[-1], 1)
        self.targets = [] if window is None else GLORYS
        made = Split.of(settings.split, tiling)
        self.places = spatial_table(settings, tiling, made)
        export = {
            "target_dates": [number(date) for date in self.targets],
            "surface_temporal_aggregation": {"window_days": window},
        }
        footprint = Footprint.of(days, self.glorys, export if window else None)
        dates = stepped_dates(dt.date(2011, 12, 14), dt.date(2012, 1, 25), every)
        phases = made.phases(dates, footprint.spans(dates))
        self.rows = pd.DataFrame(
            {
                "patch_id": np.tile(tiling.table["patch_id"], len(dates)),
                "date": np.repeat([number(date) for date in dates], len(tiling.table)),
                "phase": np.array(PHASES)[phases].ravel(),
                "matched_glorys_date": np.repeat([self.file(date) for date in dates], len(tiling.table)),
                "argo_valid": np.int8(1),
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
            "tiling": {"tile": 40, "stride": stride, "edges": "last", "periodic": True},
            "days": days,
            "archive": None,
            "export": None,
            "frequency": "daily",
            "profiles": {"quality": [1, 2]},
            "footprint": footprint.to_dict(),
        }

    def file(self, day: dt.date) -> int:
        return number(nearest_date(self.glorys, day) or day)

    def write(self) -> None:
        files: Described = {}
        for name, table in (("patches", self.places), ("daily", self.rows), ("profiles", self.profiles)):
            files |= described(write_table(self.root, name, to_arrow(table)))
        counts = {"rows": self.rows["phase"].value_counts().to_dict(), "profiles": len(self.profiles)}
        write_manifest(self.root, {**self.manifest, "files": files, "counts": counts})

    def conflicts(self) -> dict[str, int]:
        """Of each kind, from sets of every pixel of every row."""
        kinds = ("pixels on a day", "target files", "profiles")
        on: dict[str, dict[Any, set[str]]] = {name: defaultdict(set) for name in kinds}
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
        sides = on["profiles"]
        profiles = self.profiles[["grid_row", "grid_col", "argo_profile_date"]].itertuples(index=False)
        found["profiles"] = sum(len(sides.get((row * 360 + column, day), ())) > 1 for row, column, day in profiles)
        return {name: count for name, count in found.items() if count}

    def _seen(self, patch: int, date: int) -> dict[str, set[Any]]:
        y0, x0 = divmod(patch, 360)
        pixels = [y * 360 + x % 360 for y in range(y0, y0 + 40, 10) for x in range(x0, x0 + 40, 10)]
        window = window_days(parse_date(date), self.days)
        reach = {day for target in {*window} & {*self.targets} for day in window_days(target, self.window)}
        return {
            "profiles": {(pixel, number(day)) for pixel in pixels for day in window},
            "pixels on a day": {(pixel, number(day)) for pixel in pixels for day in reach.union(window)},
            "target files": {(pixel, self.file(day)) for pixel in pixels for day in window},
        }


def found(index: Index) -> dict[str, int]:
    index.write()
    proof = prove(index.root)
    write_proof(index.root, proof)
    return {conflict.what: conflict.count for conflict in proof.conflicts}


@pytest.mark.parametrize(
    ("days", "every", "split"),
    [
        (1, 1, {"window": 9, "method": "year", "val_years": [2012]}),
        (3, 1, {"window": 11, "method": "year", "val_years": [2012]}),
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
    assert proof["holds"] and len(proof["tables"]["daily.csv"]) == 64
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


@pytest.mark.parametrize(("days", "every", "window"), [(1, 3, None), (5, 7, None), (1, 2, 9), (3, 3, 13)])
def test_conflicts_are_counted_as_brute_force_counts_them(
    tmp_path: Path, days: int, every: int, window: int | None
) -> None:
    index = Index(tmp_path, days, every, window=window, method="block", block_degrees=90)
    index.places["phase"] = ""  # by row
    rng = np.random.default_rng(1)
    # some rows are elsewhere than they were, and some are not there at all
    moved = rng.random(len(index.rows)) < 0.02
    index.rows.loc[moved, "phase"] = rng.choice(PHASES, int(moved.sum()))
    index.rows = index.rows[rng.random(len(index.rows)) < 0.8]
    shared = found(index)
    assert shared == index.conflicts()
    assert shared["pixels on a day"] > 5 and shared["target files"] and shared["profiles"]


def test_one_row_on_the_wrong_side_of_the_dateline(tmp_path: Path, command: Callable[..., Ran]) -> None:
    index = Index(tmp_path, 1, 7, method="block", block_degrees=90)
    rows = index.rows
    rows["phase"], index.places["phase"] = "train", ""
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
    # the last row of a year takes the file of the next, or the first of a year that of the one before
    for date, file in ((20111228, 20120104), (20120104, 20111228)):
        rows, index.rows = index.rows, index.rows.copy()
        index.rows.loc[index.rows["date"] == date, "matched_glorys_date"] = file
        assert set(found(index)) == {"target files"}
        index.rows = rows


def test_tables_that_do_not_belong_together(tmp_path: Path) -> None:
    index = Index(tmp_path, 1, 7, method="block", block_degrees=90)
    rows, places, profiles = index.rows, index.places, index.profiles

    def refused(match: str, **tables: pd.DataFrame) -> None:
        index.rows, index.places, index.profiles = rows, places, profiles
        vars(index).update(tables)
        index.write()
        with pytest.raises(OutputError, match=match):
            prove(index.root)

    def changed(table: pd.DataFrame, column: str, value: Any) -> pd.DataFrame:
        return table.assign(**{column: [value, *table[column].iloc[1:]]})

    refused(r"has rows of patch 1, which patches.parquet has not", rows=changed(rows, "patch_id", 1))
    refused("has 'training' as a phase: it is one of train, val, test", rows=changed(rows, "phase", "training"))
    refused("patches.parquet has 'sea' as a phase", places=changed(places, "phase", "sea"))
    other = "val" if rows["phase"].iloc[0] == "test" else "test"
    refused(f"row of patch 0 at 20111214 that is {other}, and the patch is", rows=changed(rows, "phase", other))
    refused("has 2 rows of a patch and date that another row is of", rows=pd.concat([rows, rows.iloc[[3, 3]]]))
    refused("has no patches, or one of them twice", places=pd.concat([places, places.iloc[[0]]]))
    refused(r"has no profile that is in a row, and [\d,]+ rows say", profiles=profiles.assign(grid_row=-1))
    refused("daily.parquet has no rows: there is nothing to prove", rows=rows.iloc[:0])
    refused(
        r"profiles.parquet has no argo_profile_date in 1 of its rows: make the tables again",
        profiles=changed(profiles, "argo_profile_date", None),
    )
    refused(r"profiles.parquet has no grid_row in 1 of its rows", profiles=changed(profiles, "grid_row", None))
    refused(
        r"profiles.parquet has a number in argo_profile_date that is no date \(day is out of range",
        profiles=changed(profiles, "argo_profile_date", 20120230),
    )


def test_tables_that_are_not_those_of_the_manifest(tmp_path: Path) -> None:
    index = Index(tmp_path, 1, 7, method="block", block_degrees=90)
    assert found(index) == {}
    root = index.root
    manifest = read_manifest(root, "patches")
    for path, about in manifest["files"].items():
        data = root.read(path)
        root.write(path, data[:-1] + bytes([data[-1] ^ 1]))  # as long as it was
        with pytest.raises(OutputError, match=rf"{path} is not the table that the manifest describes: see `ocean"):
            prove(root)
        root.write(path, data)
        assert len(data) == about["bytes"]
    for counts, match in (
        ({"profiles": 7}, "has 576 profiles, and its manifest says 7"),
        ({"rows": {"train": 1}}, r"rows, and its manifest says 1 train, 0 val, 0 test, 0 guard: make"),
    ):
        with pytest.raises(OutputError, match=match):
            prove(root, manifest | {"counts": manifest["counts"] | counts})
    root.remove("daily.parquet")
    with pytest.raises(OutputError, match=r"has no daily.parquet: make the tables with `oceanrecon patches index`"):
        prove(root)


def test_an_index_that_is_only_to_be_read_is_proven(tmp_path: Path, command: Callable[..., Ran]) -> None:
    index = Index(tmp_path, 1, 7, method="block", block_degrees=90)
    index.write()
    (tmp_path / "out/proof.json").mkdir()  # not even root may write a file there
    code, out, err = command("patches", "prove", index.root.url)
    assert code == 0 and "no profile is on two sides" in out
    assert "note: proof.json is not written: cannot write" in " ".join(err.split())
    code, _, err = command("patches", "prove", index.root.url, "--set", "rows.days=1")
    assert code == 1 and "is a folder: give the YAML file of the settings instead" in err
    (tmp_path / "patches.yaml").write_text("output: elsewhere\nexport: nowhere\n")
    config = tmp_path / "patches.yaml"
    code, out, err = command("patches", "prove", config, "--set", f"output={index.root.url}")
    assert code == 0 and "no profile is on two sides" in out, err


def test_a_server_that_cannot_give_a_part_of_a_file_is_one_clear_error(tmp_path: Path) -> None:
    index = Index(tmp_path, 1, 7, method="block", block_degrees=90)
    rng = np.random.default_rng(0)
    index.rows["argo_file_path"] = [rng.bytes(1000).hex() for _ in range(len(index.rows))]  # more than the last 64 KiB
    index.write()
    handler = partial(_Quiet, directory=str(tmp_path / "out"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(OutputError, match="the server knows no ranges of bytes"):
            prove(Root(url))
        with pytest.raises(OutputError, match=r"daily.parquet cannot be read"):
            read_index(url).rows()
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def copyfile(self, *files: Any) -> None:
        """The reader hangs up once it sees that it is not given the part that it asked for."""
        with suppress(OSError):
            super().copyfile(*files)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""
