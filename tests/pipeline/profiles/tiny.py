"""A tiny source of profiles, EN4 months and Argo floats, and what tests do with the store made of it."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from distributed import Client, LocalCluster

import oceanrecon
from oceanrecon.config import dump_settings, parse_settings
from oceanrecon.pipeline.profiles.enrich import EnrichResult
from oceanrecon.pipeline.profiles.grid import GridResult
from oceanrecon.pipeline.profiles.schema import ENRICHED
from oceanrecon.profile_config import ProfilesSettings
from oceanrecon.stores.columns import ColumnLayout
from tests.archives import DEPTH, PRODUCTS, files_of
from tests.profile_files import write_argo, write_en4

EPOCH = dt.date(1950, 1, 1)
#: Around the three weeks of the tiny archive: before them, in them, in and after them, and after them.
MONTHS = ("2012-01", "2012-02", "2012-03", "2012-04")
FLOAT = "6901929"
SLOTS = 14
#: Of a manifest, what two runs over the same input may differ in.
OF_THE_RUN = ("created_utc", "output_dir", "parallelism", "resume")


def en4_name(month: str) -> str:
    return f"EN.4.2.2.f.profiles.g10.{month.replace('-', '')}.nc"


def write_month(folder: Path, month: str, profiles: int = 10, *, seed: int = 0, warmer: float = 0.0) -> Path:
    """A month of EN4 with profiles all over the globe, flags of all kinds, and one position that EN4 rejects."""
    first = dt.date.fromisoformat(f"{month}-01")
    random = np.random.default_rng([seed, first.toordinal()])
    days = calendar.monthrange(first.year, first.month)[1]
    depth = np.sort(random.uniform(0, 620, (profiles, SLOTS)), axis=1)
    depth[:, 0] = random.uniform(0, 5, profiles)
    depth[random.random(depth.shape) < 0.1] = np.nan
    temp = 20 - depth / 40 + random.normal(0, 0.5, depth.shape) + warmer
    psal = 34 + depth / 500 + random.normal(0, 0.1, depth.shape)
    psal[random.random(depth.shape) < 0.15] = np.nan
    flags = ["".join(random.choice(list("1112 40"), SLOTS)) for _ in range(4 * profiles)]
    return write_en4(
        folder / "en4" / en4_name(month),
        profiles,
        depth=depth, temp=temp, potm=temp - 0.02, psal=psal,
        depth_qc=["1" * SLOTS] * profiles, temp_qc=flags[:profiles], potm_qc=flags[profiles : 2 * profiles],
        psal_qc=flags[2 * profiles : 3 * profiles],
        juld=(first - EPOCH).days + random.uniform(0, days, profiles),
        latitude=random.uniform(-89, 89, profiles), longitude=random.uniform(-180, 360, profiles),
        platform=[f"S{number:05d}" for number in range(profiles)],
        position_qc="1" * (profiles - 1) + "4",
        profile_potm_qc="4" + "1" * (profiles - 1),
        file_format="NETCDF3_CLASSIC" if first.month % 2 else "NETCDF4",
    )  # fmt: skip


def write_float(folder: Path, months: Sequence[str] = MONTHS, platform: str = FLOAT) -> Path:
    """A float that comes up on the 3rd, 13th and 23rd of each month, the last time twice, in real and delayed mode."""
    when = [dt.date.fromisoformat(f"{month}-{day:02d}") for month in months for day in (3, 13, 23)]
    juld = np.array([(date - EPOCH).days + 0.4 for date in when])
    cycle = np.arange(1, juld.size + 1)
    own: dict[str, Any] = {
        "pressure": (5.0, 50.0, 100.0, 300.0, 600.0),
        "temp": (18.0, 16.0, 12.0, 9.0, 5.0),
        "psal": (35.0, 35.1, 35.2, 35.3, 35.4),
    }  # fmt: skip
    write_argo(
        folder / "argo" / f"{platform}_prof.nc", juld.size, juld=juld, cycle=cycle, platform=platform,
        latitude=np.linspace(-40, 40, juld.size), longitude=np.linspace(150, 210, juld.size), data_mode="R", **own,
    )  # fmt: skip
    return write_argo(
        folder / "argo" / f"D{platform}_{cycle[-1]:03d}.nc", 1, juld=juld[-1], cycle=int(cycle[-1]), platform=platform,
        latitude=40.0, longitude=-150.0, data_mode="D", **own,
    )  # fmt: skip


def write_sources(folder: Path, months: Sequence[str] = MONTHS, profiles: int = 10) -> Path:
    """EN4 months and a float."""
    for month in months:
        write_month(folder, month, profiles)
    write_float(folder, months)
    return folder


def settings(
    folder: Path | str,
    output: Path | str,
    archive: Path | str | None = None,
    products: Sequence[str] = PRODUCTS,
    archive_inventory: str | None = None,
    **more: Any,
) -> ProfilesSettings:
    """Settings of a store of what ``write_sources`` wrote; ``more`` are top-level settings, ``None`` removes one."""
    data: dict[str, Any] = {
        "en4": {"root": f"{folder}/en4"},
        "argo": {"root": f"{folder}/argo"},
        "output": str(output),
        "cluster": {"workers": 2, "dashboard": "127.0.0.1:0"},  # tests run side by side
    }
    if archive is None:
        data["depth"] = list(DEPTH)
    else:
        data["archive"] = {"root": str(archive), "products": dict.fromkeys(products)}
        if archive_inventory is not None:
            data["archive"]["inventory"] = archive_inventory
    data |= more
    return parse_settings(ProfilesSettings, {key: value for key, value in data.items() if value is not None}, "test")


def enrich(chosen: ProfilesSettings, client: Client, *, how: str = "", **more: Any) -> EnrichResult:
    """Enrich on a client; ``how`` is empty, ``resume`` or ``overwrite``."""
    return oceanrecon.enrich_profiles(
        chosen, client=client, resume=how == "resume", overwrite=how == "overwrite", **more
    )


@contextmanager
def threads(number: int) -> Iterator[Client]:
    """That many workers in this process: they start at once, and share its memory."""
    with (
        LocalCluster(
            n_workers=number, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def config_of(chosen: ProfilesSettings, folder: Path) -> Path:
    """The settings as a YAML file."""
    path = folder / "profiles-config.yaml"
    path.write_text(dump_settings(chosen))
    return path


def data_of(output: Path) -> dict[str, bytes]:
    """Content of the store and of the parts."""
    return files_of(output, ENRICHED, "months")


def manifest_of(output: Path) -> dict[str, Any]:
    """The manifest without what is of the run."""
    content: dict[str, Any] = yaml.safe_load((output / "manifest.yaml").read_text())
    return {key: value for key, value in content.items() if key not in OF_THE_RUN}


def shards_of(patched: pytest.MonkeyPatch, chunk: int, shard: int) -> None:
    """Let stores have so many rows in a chunk and in a shard."""
    *first, _, _ = ColumnLayout.__init__.__defaults__ or ()
    patched.setattr(ColumnLayout.__init__, "__defaults__", (*first, chunk, shard))
    assert ColumnLayout((), ()).shard_rows == shard


def grid(chosen: Any, client: Client, *, how: str = "") -> GridResult:
    """Put the profiles of a store on the grid of an export."""
    return oceanrecon.grid_profiles(chosen, client=client, resume=how == "resume", overwrite=how == "overwrite")


def days(date: int) -> int:
    """Since 1950-01-01, of YYYYMMDD."""
    return (dt.datetime.strptime(str(date), "%Y%m%d").date() - EPOCH).days
