"""The archive that the benchmarks read, made once, and the settings of the exports they measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from isal import isal_zlib

from oceanrecon.config import ExportSettings, FormatSettings, GeoTiffSettings, ZarrSettings, load_settings
from oceanrecon.pipeline.plan import Plan, plan
from oceanrecon.synthetic.config import ArchiveSynthesis
from oceanrecon.synthetic.synthesize import synthesize
from oceanrecon.transform.encode import EncodingName

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

    def make_archive(self, config: Path, say: Callable[[str], None]) -> None:
        """Write the archive of ``config`` unless it is there."""
        done = self.archive / "complete"
        if done.exists():
            return
        overrides = [f"{product}.variables=[{names}]" for product, names in _VARIABLES.items()]
        if self.quick:
            overrides += [f"{product}.cells_per_degree={cells}" for product, cells in _QUICK.items()]
            overrides += ["glorys.levels=14"]
        settings = load_settings(ArchiveSynthesis, config, tuple(overrides))
        for path in synthesize(settings, self.archive, lambda number, total, path: say(f"{number}/{total} {path}")):
            if path.startswith("glorys/"):
                _roughen(self.archive / path)
        done.touch()

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


def _roughen(path: Path) -> None:
    """Add noise to the stored numbers of the variables with levels."""
    with h5py.File(path, "r+") as file:
        for name, amplitude in _ROUGHNESS.items():
            dataset = file[name]
            for number in range(dataset.id.get_num_chunks()):
                corner = dataset.id.get_chunk_info(number).chunk_offset
                planes = np.frombuffer(isal_zlib.decompress(dataset.id.read_direct_chunk(corner)[1]), np.uint8)
                stored = np.ascontiguousarray(planes.reshape(2, -1).T).view(dataset.dtype)[:, 0]
                noise = np.random.default_rng(number).integers(-amplitude, amplitude, stored.size, "i2")
                rough = np.where(stored == dataset.fillvalue, stored, stored + noise)
                planes = np.ascontiguousarray(rough.astype(dataset.dtype).view(np.uint8).reshape(-1, 2).T)
                dataset.id.write_direct_chunk(corner, isal_zlib.compress(planes, 1))
