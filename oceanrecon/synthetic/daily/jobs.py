"""All daily files of a synthetic archive."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from oceanrecon.synthetic.config import ArchiveSynthesis, DailyName, DailySynthesis, ProductName
from oceanrecon.synthetic.daily.alongtrack import alongtrack_jobs
from oceanrecon.synthetic.daily.argo_points import argo_point_jobs
from oceanrecon.synthetic.daily.grids import product_jobs
from oceanrecon.synthetic.daily.smos import smos_jobs
from oceanrecon.synthetic.daily.sst import sst_jobs
from oceanrecon.synthetic.daily.swot import swot_jobs
from oceanrecon.synthetic.daily.winds import wind_jobs
from oceanrecon.synthetic.job import Job

#: What a folder has, and the cells per degree of the real product.
_PRODUCTS: dict[DailyName, tuple[ProductName, float]] = {
    "glorys": ("glorys", 12), "l4_ssh": ("sealevel", 8), "l4_sst": ("ostia", 20), "l4_sss": ("sss", 8),
}  # fmt: skip
_GRIDS: dict[DailyName, tuple[Callable[[int, dt.date, float], list[Job]], float]] = {
    "l4_wind": (wind_jobs, 8), "l3_sst": (sst_jobs, 10), "l3_sss_smos": (smos_jobs, 4),
}  # fmt: skip


def daily_jobs(config: ArchiveSynthesis) -> list[Job]:
    """The daily files that are asked for, day by day."""
    if config.daily is None:
        return []
    return [job for day in config.daily.dates for name in config.daily.sources for job in _jobs(config, name, day)]


def _jobs(config: ArchiveSynthesis, name: DailyName, day: dt.date) -> list[Job]:
    settings, seed = config.daily, config.seed
    assert isinstance(settings, DailySynthesis)  # there are jobs
    if name in _PRODUCTS:
        product, cells = _PRODUCTS[name]
        return product_jobs(seed, day, {product: settings.cells_per_degree or cells})
    if name in _GRIDS:
        make, cells = _GRIDS[name]
        return make(seed, day, settings.cells_per_degree or cells)
    if name == "l3_ssh":
        return alongtrack_jobs(seed, day, settings.satellites)
    if name == "l3_swot":
        return swot_jobs(seed, day, settings.swot_lines)
    return argo_point_jobs(seed, day, settings.floats)
