"""The archives that the benchmarks read, made once, and the settings of the commands they measure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from isal import isal_zlib

from oceanrecon.config import ExportSettings, FormatSettings, GeoTiffSettings, ZarrSettings, load_settings
from oceanrecon.pipeline.plan import Plan, plan
from oceanrecon.profile_config import ProfilesSettings
from oceanrecon.synthetic.config import ArchiveSynthesis
from oceanrecon.synthetic.synthesize import synthesize
from oceanrecon.transform.encode import EncodingName

_CONFIG = Path(__file__).parents[1] / "configs" / "archive-full-date.yaml"

#: What an export can be asked to write.
FORMATS: dict[str, FormatSettings] = {
    "geotiff": FormatSettings(geotiff=GeoTiffSettings(), zarr=None),
    "zarr": FormatSettings(geotiff=None, zarr=ZarrSettings()),
    "both": FormatSettings(geotiff=GeoTiffSettings(), zarr=ZarrSettings()),
}
ENCODINGS: tuple[EncodingName, ...] = ("uint8", "uint16")
# What is exported; the other variables of the files would only take disk.
_VARIABLES = {"glorys": "thetao, so", "ostia": "analysed_sst", "sealevel": "adt", "sss": "sos, dos"}
# 2 degrees, 14 levels: every path is taken, and nothing takes long.
_QUICK = {"glorys": "0.5", "ostia": "0.5", "sealevel": "0.5", "sss": "0.5"}


# Units of the last digit. The synthetic ocean is smooth between its eddies: its files deflate to half of what real
# ones of this product do (0.29 GB per variable), and would be inflated in half the time.
_ROUGHNESS = {"thetao": 24, "so": 6}
# The velocities, too: a file with all variables has 1.1 GB.
_PROFILE_ROUGHNESS = _ROUGHNESS | {"uo": 12, "vo": 12}

#: The month of profiles: a reanalysis file a week, whose nearest cover it, and every daily file.
MONTH = (dt.date(2012, 3, 1), dt.date(2012, 3, 31))
#: Seven days whose nearest reanalysis file is one.
WEEK = (dt.date(2012, 3, 4), dt.date(2012, 3, 10))
_REANALYSIS = (dt.date(2012, 2, 29), dt.date(2012, 3, 28))
_CELLS = {"glorys": 12, "ostia": 20, "sealevel": 8, "sss": 8}
# As in the real files of profiles.
_PROFILES_PER_DAY, _SLOTS = 1290, 400


@dataclass(frozen=True)
class Scale:
    """How large the benchmark is, and where it keeps its files."""

    data: Path
    quick: bool

    @property
    def archive(self) -> Path:
        """One date of GLORYS and the week of surface files around it."""
        return self.data / "archive"

    @property
    def tiny(self) -> Scale:
        """What warms up the others."""
        return self if self.quick else Scale(self.data / "tiny", quick=True)

    @property
    def resolution(self) -> float:
        """Of the target grid, degrees."""
        return 2.0 if self.quick else 0.1

    def make_archive(self, say: Callable[[str], None]) -> None:
        """Write the archive of ``configs/archive-full-date.yaml`` unless it is there."""
        done = self.archive / "complete"
        if done.exists():
            return
        overrides = [f"{product}.variables=[{names}]" for product, names in _VARIABLES.items()]
        if self.quick:
            overrides += [f"{product}.cells_per_degree={cells}" for product, cells in _QUICK.items()]
            overrides += ["glorys.levels=14"]
        settings = load_settings(ArchiveSynthesis, _CONFIG, tuple(overrides))
        _synthesize(settings, self.archive, _ROUGHNESS, say)
        done.touch()

    def make_profiles(self, say: Callable[[str], None]) -> None:
        """Write a month of EN4 profiles, the same with three times as many, and all fields beside them."""
        done = self.data / "profiles" / "complete"
        if done.exists():
            return
        cells = _QUICK if self.quick else _CELLS
        start, end = MONTH
        products: dict[str, dict[str, object]] = {
            name: {"start": start, "end": end, "cells_per_degree": cells[name]} for name in _VARIABLES
        }
        products["glorys"] |= {"start": _REANALYSIS[0], "end": _REANALYSIS[1], "every_days": 7}
        if self.quick:
            products["glorys"]["levels"] = 14
        settings = ArchiveSynthesis.model_validate({"seed": 1, **products})
        _synthesize(settings, self.profile_archive, _PROFILE_ROUGHNESS, say)
        for times in (1, 3):
            # NetCDF-4 is the dearer of the two forms that the files have
            en4 = {"start": start, "end": end, "netcdf": "netcdf4"}
            en4 |= {"profiles_per_day": times * (20 if self.quick else _PROFILES_PER_DAY)}
            en4 |= {"levels": 40 if self.quick else _SLOTS}
            settings = ArchiveSynthesis.model_validate({"seed": 1, "en4": en4})
            _synthesize(settings, self.data / "profiles" / f"times-{times}", {}, say)
        done.touch()

    @property
    def profile_archive(self) -> Path:
        """The fields beside the profiles: all variables that are sampled."""
        return self.data / "profiles" / "archive"

    def profile_settings(self, dates: tuple[dt.date, dt.date], output: Path, times: int = 1) -> ProfilesSettings:
        """An enrichment of some dates; ``times``: how many times the usual number of profiles, 1 or 3."""
        profiles = self.data / "profiles"
        return ProfilesSettings.model_validate(
            {
                "en4": {"root": str(profiles / f"times-{times}")},
                "archive": {"root": str(self.profile_archive), "products": dict.fromkeys(_VARIABLES)},
                "output": str(output),
                "start": dates[0],
                "end": dates[1],
                "cluster": {"workers": 1},
            }
        )

    def settings(self, formats: str, encoding: EncodingName, output: Path) -> ExportSettings:
        """An export of the whole archive with ``formats``, one of ``FORMATS``."""
        return ExportSettings.model_validate(
            {
                "archive": {"root": str(self.archive), "products": dict.fromkeys(_VARIABLES)},
                "output": str(output),
                "grid": {"resolution": self.resolution},
                "encoding": encoding,
                "formats": FORMATS[formats].model_dump(),
                "cluster": {"workers": 1},
            }
        )

    def plan(self, formats: str, encoding: EncodingName) -> Plan:
        """The plan of that export."""
        return plan(self.settings(formats, encoding, self.data / "export"))


def _synthesize(
    settings: ArchiveSynthesis, output: Path, roughness: Mapping[str, int], say: Callable[[str], None]
) -> None:
    for path in synthesize(settings, output, lambda number, total, path: say(f"{number}/{total} {path}")):
        if path.startswith("glorys/"):
            _roughen(output / path, roughness)


def _roughen(path: Path, roughness: Mapping[str, int]) -> None:
    """Add noise to the stored numbers of some variables."""
    with h5py.File(path, "r+") as file:
        for name, amplitude in roughness.items():
            dataset = file[name]
            for number in range(dataset.id.get_num_chunks()):
                corner = dataset.id.get_chunk_info(number).chunk_offset
                planes = np.frombuffer(isal_zlib.decompress(dataset.id.read_direct_chunk(corner)[1]), np.uint8)
                stored = np.ascontiguousarray(planes.reshape(2, -1).T).view(dataset.dtype)[:, 0]
                noise = np.random.default_rng(number).integers(-amplitude, amplitude, stored.size, "i2")
                rough = np.where(stored == dataset.fillvalue, stored, stored + noise)
                planes = np.ascontiguousarray(rough.astype(dataset.dtype).view(np.uint8).reshape(-1, 2).T)
                dataset.id.write_direct_chunk(corner, isal_zlib.compress(planes, 1))
