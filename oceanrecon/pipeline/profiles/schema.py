"""Every variable of the enriched store: names, types and CF attributes; writers, readers and docs follow it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from oceanrecon.sources.product import Product, Sampled
from oceanrecon.sources.quality import POSITION_REASONS
from oceanrecon.stores.columns import Column

#: The store below its output.
ENRICHED = "enriched_argo_profiles.zarr"
#: Of the three measured variables: short name, what it is, units, standard name.
MEASURED = (
    ("temp", "In-situ temperature", "degC", "sea_water_temperature"),
    ("potm", "Potential temperature, reference pressure 0 dbar", "degC", "sea_water_potential_temperature"),
    ("psal", "Practical salinity", "PSU", "sea_water_practical_salinity"),
)
_LEVEL_FLAGS: dict[str, Any] = {
    "flag_values": [-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 99],
    "flag_meanings": "missing no_check good probably_good probably_bad bad changed unused_6 unused_7 estimated "
    "value_missing unknown_character",
}
#: Argo grades a whole profile by letters, kept as their ASCII codes.
_PROFILE_FLAGS: dict[str, Any] = {
    "flag_values": [*_LEVEL_FLAGS["flag_values"], *range(65, 71)],
    "flag_meanings": f"{_LEVEL_FLAGS['flag_meanings']} all_good good_75_to_100_percent good_50_to_75_percent "
    "good_25_to_50_percent good_below_25_percent none_good",
}
#: Of a match in time.
STATUS = ("exact_or_nearest", "before_first_or_after_last_file", "no_files", "nearest_file_too_far")


def enriched_columns(products: Iterable[Product]) -> tuple[Column, ...]:
    """The columns of a store whose profiles were sampled in ``products``, in the order in which people read them."""
    columns = [
        Column("profile", "int64", {"long_name": "row of the store"}),
        Column("profile_source_file", "string", {"long_name": "name of the file that the profile is from"}),
        Column("profile_idx", "int64", {"long_name": "row of the profile in that file"}),
        Column("source_kind", "string", {"long_name": "en4 or argo"}),
        Column("platform_number", "string", {"long_name": "WMO platform number", "standard_name": "platform_id"}),
        Column("cycle_number", "int32", {"long_name": "cycle of the float, -1 where the source has none"}, fill=-1),
        Column("direction", "string", {"long_name": "A ascending, D descending, empty where the source has none"}),
        Column("data_mode", "string", {"long_name": "R real time, A adjusted, D delayed, empty where there is none"}),
        Column("profile_date", "int64", {"long_name": "date as YYYYMMDD"}),
        Column(
            "profile_juld",
            "float64",
            {
                "standard_name": "time",
                "long_name": "time of the profile",
                # not as `units`, by which readers would turn the numbers into dates
                "unit_description": "days since 1950-01-01 00:00:00 UTC",
            },
        ),
        Column("latitude", "float64", {"standard_name": "latitude", "units": "degrees_north"}),
        Column("longitude", "float64", {"standard_name": "longitude", "units": "degrees_east", "comment": "-180..180"}),
        Column("argo_juld_qc", "int8", {"long_name": "flag of the date", **_LEVEL_FLAGS}, fill=-1),
        Column("argo_position_qc", "int8", {"long_name": "flag of the position", **_LEVEL_FLAGS}, fill=-1),
        Column(
            "position_rejected_reason",
            "int8",
            {
                "long_name": "what is known against the position",
                "flag_values": list(POSITION_REASONS.values()),
                "flag_meanings": " ".join(POSITION_REASONS),
            },
        ),
        Column("argo_profile_depth_qc", "int8", {"long_name": "flag of all depths", **_PROFILE_FLAGS}, fill=-1),
        Column(
            "argo_profile_potm_qc", "int8", {"long_name": "flag of the whole temperature profile", **_PROFILE_FLAGS},
            fill=-1,
        ),
        Column(
            "argo_profile_psal_qc", "int8", {"long_name": "flag of the whole salinity profile", **_PROFILE_FLAGS},
            fill=-1,
        ),
        Column("valid_observed_depth_count", "int64", {"long_name": "measured depths: finite and not negative"}),
    ]  # fmt: skip
    for name, what, units, standard_name in MEASURED:
        columns.append(
            Column(
                f"argo_{name}_on_glorys_depth",
                "float32",
                {"long_name": what, "units": units, "standard_name": standard_name},
                levels=True,
            )
        )
    for name, what, *_ in MEASURED:
        columns.append(
            Column(f"argo_{name}_valid_on_glorys_depth", "bool", {"long_name": f"{what}: has a value"}, levels=True)
        )
    for name, what in (("depth", "Depth"), *((name, what) for name, what, *_ in MEASURED)):
        attrs: Mapping[str, Any] = {"long_name": f"{what}: worst flag of the levels used", **_LEVEL_FLAGS}
        columns.append(Column(f"argo_{name}_qc_on_glorys_depth", "int8", attrs, levels=True, fill=-1))
    for product in products:
        columns += [sampled_column(product, variable) for variable in product.sampled]
        columns.append(
            Column(
                status_name(product),
                "int8",
                {
                    "long_name": f"how near in time the {product.name} file is",
                    "flag_values": list(range(len(STATUS))),
                    "flag_meanings": " ".join(STATUS),
                },
                fill=2,
            )
        )
    return tuple(columns)


def sampled_name(product: Product, variable: Sampled) -> str:
    """``glorys_thetao``."""
    return f"{product.name}_{variable.name}"


def status_name(product: Product) -> str:
    """``glorys_temporal_status``."""
    return f"{product.name}_temporal_status"


def sampled_column(product: Product, variable: Sampled) -> Column:
    """The column of a sampled variable."""
    attrs = {
        **({"standard_name": variable.standard_name} if variable.standard_name else {}),
        "long_name": variable.long_name,
        "units": variable.units,
        "source_product": product.name,
        "source_dataset": product.dataset,
        "source_variable": variable.name,
        "sampling": "nearest node" if variable.nearest else "bilinear, over the nodes that have a value",
    }
    return Column(sampled_name(product, variable), "float32", attrs, levels=variable.levels)
