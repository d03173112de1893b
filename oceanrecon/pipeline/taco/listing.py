"""What a TACO dataset is built of: files of an inventory, and where their content is."""

from __future__ import annotations

import datetime as dt
import io
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid.octants import octant
from oceanrecon.stores.files import Root
from oceanrecon.stores.taco import SLOTS, Extent, Member, box_of, day_of
from oceanrecon.stores.tile_inventory import INVENTORY

_PIECE = 1 << 20
#: What is read of an inventory.
_COLUMNS = (
    "relative_path", "data_source", "date_str", "region", "sensor", "variable", "_istac_spatial_wkb",
    "_istac_time_start", "_istac_time_end", "resolution_deg_lat", "resolution_km_lat", "n_obs", "valid", "size",
    "sha256",
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """Where the content of a member is: a file below a root, or a part of it."""

    root: Root
    path: str
    offset: int = 0
    #: of a part
    size: int | None = None

    def local(self) -> Path | None:
        """The file, where it is one of this machine and of this content alone."""
        return Path(self.root.url_of(self.path)) if self.size is None and self.root.local_path is not None else None

    def pieces(self) -> Iterator[bytes]:
        """All of it, piece by piece.

        Raises:
            OutputError: it cannot be read.
        """
        try:
            with self.root.open(self.path) as file:
                file.seek(self.offset)
                left = self.size
                while piece := file.read(_PIECE if left is None else min(_PIECE, left)):
                    yield piece
                    left = None if left is None else left - len(piece)
        except OSError as error:
            where = self.root.url_of(self.path)
            raise OutputError(f"cannot read {where}: {error.strerror or error}; the inventory has it") from error


def choose(
    url: str, sources: Collection[str] | None, start: dt.date | None, end: dt.date | None
) -> dict[Member, Origin]:
    """Files of an inventory that a dataset is to be built of, and where they are.

    Raises:
        ConfigError: there is none of what is asked for.
        OutputError: see ``read_inventory``.
    """
    found = read_inventory(url, sources, start, end)
    if not found:
        raise ConfigError(_nothing(url, sources, start, end))
    return found


def read_inventory(
    url: str, sources: Collection[str] | None = None, start: dt.date | None = None, end: dt.date | None = None
) -> dict[Member, Origin]:
    """The files of an inventory, and where they are.

    Raises:
        ConfigError: a source is none.
        OutputError: it is missing or damaged, or two of its rows are of one place.
    """
    unknown = sorted(set(sources or ()) - {slot.source for slot in SLOTS})
    if unknown:
        raise ConfigError(f"there is no source {unknown[0]!r}: give some of {', '.join(s.source for s in SLOTS)}")
    folder, _, name = Root(url).url.rpartition("/") if url.endswith(".parquet") else (url, "", INVENTORY)
    root = Root(folder)
    rows = _rows(root, name, sources, start, end)
    twice = [place for place, count in Counter(_place(row) for row in rows).items() if count > 1]
    if twice:
        raise OutputError(
            f"{url} has {len(twice)} places with more than one row, such as {' '.join(twice[0])}: "
            "`oceanrecon regions duplicates` lists them; remove the rows that are not wanted"
        )
    found = {}
    for row in rows:
        octant(row["region"])
        _check_date(url, row["date_str"])
        polygon = row["_istac_spatial_wkb"]  # null where nothing has a value
        times = row["_istac_time_start"], row["_istac_time_end"]
        extent = None if polygon is None else Extent(box_of(polygon), *times)
        member = Member(
            row["date_str"], row["region"], row["data_source"], True, extent, row["size"], row["sha256"],
            row["sensor"] or "", row["variable"] or "", row["resolution_deg_lat"], row["resolution_km_lat"],
            row["n_obs"] or 0, row["valid"] or 0,
        )  # fmt: skip
        found[member] = Origin(root, row["relative_path"])
    return found


def _rows(
    root: Root, name: str, sources: Collection[str] | None, start: dt.date | None, end: dt.date | None
) -> list[dict[str, Any]]:
    try:
        table = pq.read_table(io.BytesIO(root.read(name)))
        missing = [column for column in _COLUMNS if column not in table.column_names]
        if missing:
            raise OutputError(
                f"{root.url_of(name)} has no column {', '.join(missing)}: `oceanrecon regions format` writes them"
            )
        table = table.select([*_COLUMNS])
        known = pa.array([slot.source for slot in SLOTS if sources is None or slot.source in sources], pa.string())
        table = table.filter(pc.is_in(table["data_source"], known))
        if start is not None:
            table = table.filter(pc.greater_equal(table["date_str"], f"{start:%Y%m%d}"))
        if end is not None:
            table = table.filter(pc.less_equal(table["date_str"], f"{end:%Y%m%d}"))
    except pa.ArrowException as error:
        raise OutputError(f"{root.url_of(name)} is no inventory: {error}") from error
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _check_date(url: str, date: str) -> None:
    try:
        day_of(date)
    except ValueError:
        raise OutputError(f"{url} has the date {date!r}: dates are YYYYMMDD") from None


def _place(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["data_source"], row["date_str"], row["region"]


def _nothing(inventory: str, sources: Collection[str] | None, start: dt.date | None, end: dt.date | None) -> str:
    """That nothing is there of what is asked for, and what there is."""
    everything = read_inventory(inventory)
    if not everything:
        return f"{inventory} has no file of any source: run `oceanrecon regions format` first"
    of = f" of {', '.join(sorted(sources))}" if sources is not None else ""
    dates = sorted(member.date for member in everything)
    has = ", ".join(sorted({member.source for member in everything}))
    return (
        f"{inventory} has no file{of} from {start or 'its first day'} to {end or 'its last day'}: it has {has} from "
        f"{dates[0]} to {dates[-1]}"
    )
