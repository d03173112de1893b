"""The sources of daily files there are, by the name that they have in inventories."""

from __future__ import annotations

from oceanrecon.sources.daily import alongtrack, argo_points, products, smos, swot, wind
from oceanrecon.sources.daily.source import DailySource

_ALL = (
    products.GLORYS, products.L4_SSH, products.L4_SST, products.L4_SSS, wind.SOURCE, products.L3_SST, smos.ASCENDING,
    smos.DESCENDING, alongtrack.SOURCE, swot.SOURCE, argo_points.SOURCE,
)  # fmt: skip
#: Every source, in the order in which they are listed to people.
DAILY: dict[str, DailySource] = {source.key: source for source in _ALL}
