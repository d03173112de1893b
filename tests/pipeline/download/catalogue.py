"""Stands in for the ``copernicusmarine`` package: the functions of it that we call, over files in memory."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

#: Dataset -> product, and how its files are called.
NAMES = {
    "cmems_mod_glo_phy_my_0.083deg_P1D-m": "mercatorglorys12v1_gl12_mean_{day}_R{day}.nc",
    "cmems_mod_glo_phy_myint_0.083deg_P1D-m": "mercatorglorys12v1_gl12_mean_{day}_R{day}.nc",
    "METOFFICE-GLO-SST-L4-REP-OBS-SST": "{day}120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB_REP-v02.0-fv02.0.nc",
    "METOFFICE-GLO-SST-L4-NRT-OBS-SST-V2": "{day}120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB-v02.0-fv02.0.nc",
    "cmems_obs-sl_glo_phy-ssh_my_s6a-lr-l3-duacs_PT1S": "dt_global_s6a_lr_phy_l3_1hz_{day}_20240205.nc",
    "cmems_obs-sl_glo_phy-ssh_nrt_s6a-hr-l3-duacs_PT1S": "nrt_global_s6a_hr_phy_l3_1hz_{day}_20240205.nc",
}


@dataclass
class Catalogue:
    """What the service has: dataset -> address -> content."""

    datasets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    signed_in: bool = True
    #: of the next downloads: how many files come before what error is raised
    faults: list[tuple[int, BaseException | None]] = field(default_factory=list)
    #: content that comes instead, once, by name of the file
    damage: dict[str, bytes] = field(default_factory=dict)
    #: arguments of each call of ``get``
    calls: list[dict[str, Any]] = field(default_factory=list)
    #: when files were put there that are not of February 2024, by name
    modified: dict[str, str] = field(default_factory=dict)

    def add(self, dataset: str, *days: dt.date, name: str = "", content: bytes = b"") -> None:
        """Give a dataset a file of each day."""
        for day in days:
            file = (name or NAMES[dataset]).format(day=f"{day:%Y%m%d}")
            url = f"s3://mdl-native-01/native/PRODUCT/{dataset}_202311/{day:%Y/%m}/{file}"
            self.datasets.setdefault(dataset, {})[url] = content or f"{dataset} {file}".encode() * 50

    @property
    def downloads(self) -> list[list[str]]:
        """Names of the files of each call that was to bring some."""
        return [[url.rpartition("/")[2] for url in call["wanted"]] for call in self.calls if "wanted" in call]

    def login(self, *, check_credentials_valid: bool) -> bool:
        assert check_credentials_valid
        return self.signed_in

    def get(
        self,
        *,
        dataset_id: str,
        dataset_version: str | None,
        disable_progress_bar: bool,
        regex: str | None = None,
        dry_run: bool = False,
        file_list: Path | None = None,
        output_directory: Path | None = None,
        overwrite: bool = False,
        max_concurrent_requests: int = 15,
    ) -> SimpleNamespace:
        assert disable_progress_bar
        call: dict[str, Any] = {"dataset": dataset_id, "version": dataset_version}
        self.calls.append(call)
        if dataset_id not in self.datasets:
            raise LookupError(f"Dataset not found: {dataset_id}")
        files = self.datasets[dataset_id]
        if dry_run:
            assert regex is not None
            found = [(url, content) for url, content in files.items() if re.search(regex, url)]
            return SimpleNamespace(files=[self._listed(url, content) for url, content in found])
        assert file_list is not None and output_directory is not None and overwrite and max_concurrent_requests > 0
        call["wanted"] = file_list.read_text().split()
        most, error = self.faults.pop(0) if self.faults else (len(call["wanted"]), None)
        for url in call["wanted"][:most]:
            path = output_directory / "/".join(url.split("/")[4:])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.damage.pop(path.name, files[url]))
        if error is not None:
            raise error
        return SimpleNamespace(files=[])

    def _listed(self, url: str, content: bytes) -> SimpleNamespace:
        return SimpleNamespace(
            s3_url=url,
            file_size=len(content) / 1024**2,
            etag=f'"{hashlib.md5(content).hexdigest()}"',
            last_modified_datetime=self.modified.get(url.rpartition("/")[2], "2024-02-05T00:00:00+00:00"),
        )
