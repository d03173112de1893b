"""The programs that come with a package; ``@FOLDER@``, ``@STORE@`` and ``@START@`` are filled in."""

OPEN_WITH_XARRAY = '''"""Open the profiles and look at one of them: pip install xarray zarr."""

from pathlib import Path

import numpy as np
import xarray as xr

PACKAGE = Path(__file__).resolve().parents[1]

# chunks=None: values are read when they are used, and dask is not needed.
profiles = xr.open_zarr(PACKAGE / "@FOLDER@" / "@STORE@", chunks=None)
print(profiles)

levels = profiles["argo_potm_on_glorys_depth"].isel(profile=slice(1000)).notnull().sum("glorys_depth")
one = profiles.isel(profile=int(levels.argmax("profile"))).load()
print(
    f"\\nprofile {int(one.profile)} of {one.platform_number.item() or 'an unknown platform'}, "
    f"{int(one.profile_date)}, {float(one.latitude):.3f} N {float(one.longitude):.3f} E"
)
print("depth (m)  potential temperature (degC)  salinity")
for depth, temperature, salinity in zip(
    one.glorys_depth.values, one.argo_potm_on_glorys_depth.values, one.argo_psal_on_glorys_depth.values
):
    if np.isfinite(temperature):
        print(f"{depth:9.1f}  {temperature:28.3f}  {salinity:8.3f}")
'''

SUBSET_BY_REGION_TIME = '''"""Take the profiles of a region and period: the index table says which rows to read.

pip install pandas pyarrow xarray zarr, and netCDF4 for --output

    python subset_by_region_time.py --west -40 --east 0 --south 30 --north 60 --start 2012-01-01 --end 2012-02-01
"""

import argparse
import json
from pathlib import Path

import pandas as pd
import xarray as xr

PACKAGE = Path(__file__).resolve().parents[1]

parser = argparse.ArgumentParser(description="The profiles of a region and period.")
parser.add_argument("--west", type=float, default=-180, help="degrees east; larger than --east across the dateline")
parser.add_argument("--east", type=float, default=180)
parser.add_argument("--south", type=float, default=-90)
parser.add_argument("--north", type=float, default=90)
parser.add_argument("--start", type=pd.Timestamp, default=pd.Timestamp("@START@"), help="first day")
parser.add_argument("--end", type=pd.Timestamp, help="last day; default: 30 days after the first")
parser.add_argument("--output", type=Path, help="NetCDF file to write")
options = parser.parse_args()
end = options.end or options.start + pd.Timedelta(days=30)

columns = ["profile", "profile_date", "latitude", "longitude"]
days = [("profile_date", ">=", int(f"{options.start:%Y%m%d}")), ("profile_date", "<=", int(f"{end:%Y%m%d}"))]
index = pd.read_parquet(PACKAGE / "indices" / "profiles.parquet", columns=columns, filters=days)
longitude = (index.longitude + 180) % 360 - 180
if options.west <= options.east:
    within = longitude.between(options.west, options.east)
else:
    within = (longitude >= options.west) | (longitude <= options.east)
rows = index.profile[within & index.latitude.between(options.south, options.north)].to_numpy()
print(f"{len(rows)} profiles from {options.start:%Y-%m-%d} to {end:%Y-%m-%d}")

profiles = xr.open_zarr(PACKAGE / "@FOLDER@" / "@STORE@", chunks=None).isel(profile=rows)
if len(rows):
    salinity, temperature = profiles["argo_psal_on_glorys_depth"].load(), profiles["argo_potm_on_glorys_depth"].load()
    by_depth = {"potential temperature": temperature.mean("profile"), "salinity": salinity.mean("profile")}
    print(pd.DataFrame({name: mean.to_series() for name, mean in by_depth.items()}).round(3).to_string())
if options.output:
    text = {name: profiles[name].astype(object) for name in profiles if profiles[name].dtype.kind == "T"}
    subset = profiles.load().assign(text).drop_encoding()
    # NetCDF has no nested attributes.
    subset.attrs = {name: text if isinstance(text, str) else json.dumps(text) for name, text in subset.attrs.items()}
    subset.to_netcdf(options.output)
    print(f"wrote {options.output}")
'''
