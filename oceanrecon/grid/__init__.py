"""Where and when: the target grid, the axes of source files, target times and windows."""

from oceanrecon.grid.axis import Axis
from oceanrecon.grid.patches import PatchGrid
from oceanrecon.grid.raster import RasterGrid
from oceanrecon.grid.times import nearest_date, parse_date, stepped_dates, window_days

__all__ = ["Axis", "PatchGrid", "RasterGrid", "nearest_date", "parse_date", "stepped_dates", "window_days"]
