"""What is wrong with a file only beside the others of its product: another grid, other depths, a duplicate."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

import pandas as pd

from oceanrecon.grid.axis import Axis
from oceanrecon.sources.registry import product

_OFF_GRID = "off-grid: "
_OTHER_DEPTH = "depth axis differs: "
_LACKS = "missing variable: "
_DUPLICATE = "duplicate of "


def forget_comparisons(inventory: pd.DataFrame) -> pd.DataFrame:
    """The inventory without the problems that ``compare`` finds."""
    compared = inventory["problem"].str.startswith((_OFF_GRID, _OTHER_DEPTH, _DUPLICATE)) | (
        inventory["problem"].str.startswith(_LACKS) & (inventory["grid_hash"] != "")
    )
    return inventory.assign(problem=inventory["problem"].mask(compared, ""))


def compare(inventory: pd.DataFrame) -> pd.DataFrame:
    """The inventory with the problems that show only between files, found among the rows without one.

    The grid, the depths and the variables that most rows of a product have are the product's; of several rows for
    one date the latest revision is kept, then the last name.
    """
    problems: dict[Hashable, str] = {}
    for name, rows in inventory[inventory["problem"] == ""].groupby("product", sort=True):
        named = str(name)
        for step in (_off_grid, _other_depth, _lacks, _duplicates):
            found = step(named, rows)
            problems |= found
            rows = rows.drop(index=list(found))
    if not problems:
        return inventory
    changed = inventory.copy()
    changed.loc[list(problems), "problem"] = list(problems.values())
    return changed


def describe_grid(latitude: str, longitude: str) -> str:
    """A grid for people, from the two JSON columns."""
    rows, columns = (Axis(**json.loads(text)) for text in (latitude, longitude))
    return (
        f"{rows.size} x {columns.size} of {abs(rows.step):.5g} x {abs(columns.step):.5g} deg, "
        f"{rows.values[0]:.6g}..{rows.values[-1]:.6g}N {columns.values[0]:.6g}..{columns.values[-1]:.6g}E"
    )


def _most(rows: pd.DataFrame, column: str) -> str:
    """The commonest value; of equally common ones the first."""
    counts = rows[column].value_counts(sort=False)
    return str(counts.idxmax())


def _off_grid(name: str, rows: pd.DataFrame) -> dict[Hashable, str]:
    usual = _most(rows, "grid_hash")
    on_grid = rows[rows["grid_hash"] == usual]
    described = describe_grid(on_grid["latitude"].iloc[0], on_grid["longitude"].iloc[0])
    return {
        row.Index: (
            f"{_OFF_GRID}{describe_grid(str(row.latitude), str(row.longitude))}; "
            f"{len(on_grid)} of {len(rows)} of {name} have {described}: "
            "export them apart, by giving the files of the product"
        )
        for row in rows[rows["grid_hash"] != usual].itertuples()
    }


def _other_depth(name: str, rows: pd.DataFrame) -> dict[Hashable, str]:
    usual = _most(rows, "depth_hash")
    levels = json.loads(rows[rows["depth_hash"] == usual]["depth"].iloc[0])

    def text(depth: list[float]) -> str:
        return f"{len(depth)} levels {depth[0]:g}..{depth[-1]:g} m" if depth else "none"

    return {
        row.Index: (
            f"{_OTHER_DEPTH}{text(json.loads(str(row.depth)))}; most of {name} have {text(levels)}: "
            "export them apart, by giving the files of the product"
        )
        for row in rows[rows["depth_hash"] != usual].itertuples()
    }


def _lacks(name: str, rows: pd.DataFrame) -> dict[Hashable, str]:
    """Rows without a variable that at least half of the product's rows have."""
    held = rows["variables"].map(lambda text: frozenset(json.loads(text)))
    problems: dict[Hashable, str] = {}
    for variable in product(name).variables:
        has = held.map(lambda names, wanted=variable.name: wanted in names)
        if 2 * int(has.sum()) >= len(rows):
            for index in rows.index[~has.astype(bool)]:
                problems[index] = f"{_LACKS}{variable.name}, which {int(has.sum())} of {len(rows)} of {name} have"
    return problems


def _duplicates(name: str, rows: pd.DataFrame) -> dict[Hashable, str]:
    problems: dict[Hashable, str] = {}
    for _, same in rows[rows["date"].duplicated(keep=False)].groupby("date", sort=True):
        ranked = sorted((_rank(row), index) for index, row in same.iterrows())
        revision, _, kept, negative_index = ranked[-1][0]
        for rank, index in ranked[:-1]:
            if rank[2] == kept:
                why = f" (time {-negative_index}): the first time of a day is taken"
            elif rank[0] == revision:
                why = ": same revision, the later name wins"
            else:
                why = ": the later revision wins"
            problems[index] = f"{_DUPLICATE}{kept}{why}"
    return problems


def _rank(row: pd.Series[Any]) -> tuple[pd.Timestamp, str, str, int]:
    """Revision, file name, path and time index (negative); of the rows of one date the last in this order is taken."""
    revision = pd.Timestamp(0) if pd.isna(row["revision"]) else row["revision"]
    path = str(row["path"])
    return revision, path.rsplit("/", 1)[-1], path, -int(row["time_index"])
