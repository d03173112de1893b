"""The columns of the table of rows and of the table of profiles."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

_NUMBER, _DATE, _TEXT, _DEGREES = pa.int64(), pa.int32(), pa.string(), pa.float64()
#: Running numbers, which the parts do not have yet.
ROW_NUMBER, PROFILE_NUMBER = "export_index", "argo_row_id"
ROW_COLUMNS: dict[str, pa.DataType] = {
    "patch_id": _NUMBER,
    "date": _DATE,
    "lat_center": _DEGREES,
    "lon_center": _DEGREES,
    "lat0": _DEGREES,
    "lat1": _DEGREES,
    "lon0": _DEGREES,
    "lon1": _DEGREES,
    "invalid_fraction": _DEGREES,
    "invalid_percentage": _DEGREES,
    "phase": _TEXT,
    "ostia_file_path": _TEXT,
    "matched_glorys_date": _DATE,
    "matched_glorys_file_path": _TEXT,
    "matched_glorys_abs_day_delta": _DATE,
    "argo_valid": pa.int8(),
    "argo_profile_count": pa.int32(),
    "argo_month_key": _DATE,
    "argo_file_path": _TEXT,
}
PROFILE_COLUMNS: dict[str, pa.DataType] = {
    "argo_month_key": _DATE,
    "argo_profile_date": _DATE,
    "profile_idx": pa.int32(),
    "argo_file_path": _TEXT,
    "platform_number": _TEXT,
    "latitude": _DEGREES,
    "longitude": _DEGREES,
    "grid_row": pa.int32(),
    "grid_col": pa.int32(),
    "matched_ostia_date": _DATE,
    "matched_ostia_file_path": _TEXT,
    "matched_glorys_date": _DATE,
    "matched_glorys_file_path": _TEXT,
    "matched_glorys_abs_day_delta": _DATE,
}


def typed(frame: pd.DataFrame, columns: dict[str, pa.DataType]) -> pa.Table:
    """The columns of a frame in their order and with their types; what is missing is null."""
    return pa.Table.from_pandas(frame, pa.schema(columns.items()), preserve_index=False).replace_schema_metadata(None)


def numbered(columns: dict[str, pa.DataType], name: str) -> pa.Schema:
    """Of a whole table: the running number ``name`` comes first."""
    return pa.schema([(name, _NUMBER), *columns.items()])
