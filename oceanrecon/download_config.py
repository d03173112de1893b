"""The settings of a download: which sources, which days, where to, and how patiently."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence

from pydantic import Field, model_validator

from oceanrecon.config import Date, Settings

#: The FTP server of AVISO.
AVISO = "ftp-access.aviso.altimetry.fr"
#: Of addresses in which ``{date}`` or ``{year}`` is: no two give the same one.
_TRIAL_DAYS = (dt.date(2001, 1, 2), dt.date(2001, 1, 3), dt.date(2001, 2, 2), dt.date(2002, 1, 2))
#: A name and a password in an address.
_USER_IN_URL = re.compile(r"://[^/\s@]*@")


class DatasetSettings(Settings):
    """A dataset of Copernicus Marine."""

    id: str = Field(min_length=1, description="Its id; of along-track sea level with `{satellite}` in it.")
    version: str | None = Field(None, description="Its version, such as `202311`; default: the newest.")
    first: Date | None = Field(None, description="No day before this one is taken from it.")
    last: Date | None = Field(None, description="No day after this one is taken from it.")
    satellites: dict[str, str] = Field(
        default_factory=dict,
        description="How satellites are called in `id`, where that is not their usual name: `{s6a: s6a-lr}`.",
    )

    def covers(self, day: dt.date) -> bool:
        """Whether a day may be taken from it."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


class CopernicusSettings(Settings):
    """A source that comes from Copernicus Marine."""

    datasets: tuple[DatasetSettings, ...] | None = Field(
        None,
        min_length=1,
        description="Its datasets, the preferred one first: a day is taken from the first one that has it. Default: "
        "those of the table in docs/download.",
    )


class AltimeterSettings(CopernicusSettings):
    """Sea level along the tracks of altimeters, from Copernicus Marine."""

    satellites: tuple[str, ...] = Field(
        ("s3a", "s3b", "c2n", "alg", "j3n", "s6a", "h2b"), min_length=1, description="Satellites."
    )


class SwotSettings(Settings):
    """SWOT's sea level in swaths of 2 km pixels, from the FTP server of AVISO."""

    host: str = Field(AVISO, min_length=1, description="The server.")
    port: int = Field(21, ge=1, le=65535, description="Its port.")
    folder: str = Field(
        "/swot_products/l3_karin_nadir/l3_lr_ssh/v2_0_1/Basic", description="Folder that has those of the cycles."
    )
    unencrypted: bool = Field(
        False,
        description="Send name and password as plain text, where the server knows no TLS. Anyone between can read.",
    )


class En4Settings(Settings):
    """EN4's profiles, one archive a year, from the Met Office."""

    urls: tuple[str, ...] = Field(
        (
            "https://www.metoffice.gov.uk/hadobs/en4/data/en4-2-1/EN.4.2.2/EN.4.2.2.profiles.g10.{year}.zip",
            "https://www.metoffice.gov.uk/hadobs/en4/data/en4-2-1/EN.4.2.2.profiles.g10.{year}.zip",
        ),
        min_length=1,
        description="Addresses of an archive, with `{year}`: the first one that has it counts.",
    )

    def addresses(self, year: int) -> list[str]:
        """Where the archive of a year may be."""
        return [url.format(year=year) for url in self.urls]


class ArgoSettings(Settings):
    """Profiles of Argo floats, day by day, from a global data assembly centre."""

    url: str = Field(
        "https://data-argo.ifremer.fr/geo/{basin}/{date:%Y/%m/%Y%m%d}_prof.nc",
        description="Address of the profiles of a basin and a day, with `{basin}` and `{date}`.",
    )
    basins: tuple[str, ...] = Field(
        ("atlantic_ocean", "pacific_ocean", "indian_ocean"), min_length=1, description="Basins."
    )
    deepest: float | None = Field(100.0, gt=0, description="Largest pressure that is kept, dbar; `null`: all.")
    flags: tuple[int, ...] = Field(
        (1, 2, 5, 8), min_length=1, description="Argo quality flags of what is kept: of places, times and measurements."
    )

    def address(self, basin: str, date: dt.date) -> str:
        """Of the profiles of a basin and a day."""
        return self.url.format(basin=basin, date=date)


class SourcesSettings(Settings):
    """The sources to fetch: `{}` for their defaults; a source that is not named is left out."""

    glorys: CopernicusSettings | None = Field(None, description="GLORYS12 reanalysis, daily, 1/12 degree.")
    l4_ssh: CopernicusSettings | None = Field(None, description="DUACS sea level maps, daily, 1/8 degree.")
    l4_sst: CopernicusSettings | None = Field(None, description="OSTIA sea surface temperature, daily, 0.05 degree.")
    l4_sss: CopernicusSettings | None = Field(None, description="Sea surface salinity maps, daily, 1/8 degree.")
    l4_wind: CopernicusSettings | None = Field(None, description="Wind maps, hourly, 1/8 degree.")
    l3_sst: CopernicusSettings | None = Field(None, description="Sea surface temperature of satellites, daily.")
    l3_sss_smos: CopernicusSettings | None = Field(
        None, description="Salinity of SMOS, ascending and descending passes; `datasets` are all fetched."
    )
    l3_ssh: AltimeterSettings | None = Field(None, description="Sea level along the tracks of altimeters.")
    l3_swot: SwotSettings | None = Field(None, description="SWOT's swaths, level 3.")
    argo: ArgoSettings | None = Field(None, description="Profiles of Argo floats, made into one file of points a day.")
    en4: En4Settings | None = Field(None, description="EN4's profiles, which are unpacked into months.")

    @model_validator(mode="after")
    def _something(self) -> SourcesSettings:
        if not self.chosen:
            raise ValueError(
                f"no source is named: give at least one, such as `glorys: {{}}`, of {', '.join(self.known())}"
            )
        return self

    @classmethod
    def known(cls) -> tuple[str, ...]:
        """Names of all sources."""
        return tuple(cls.model_fields)

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names of the sources to fetch, in the order in which they are."""
        return tuple(name for name in self.known() if getattr(self, name) is not None)


class DownloadSettings(Settings):
    """A download: from the services that publish the sources into folders of raw files."""

    output: str = Field(
        min_length=1, description="Folder of this machine for the raw files, one folder per source in it."
    )
    start: Date = Field(description="First day.")
    end: Date = Field(description="Last day, included.")
    sources: SourcesSettings = Field(description="What to fetch.")
    batch_days: int = Field(
        7, ge=1, description="Days that are fetched of all sources before the following days, and reported together."
    )
    connections: int = Field(4, ge=1, le=32, description="Files that are fetched at the same time.")
    tries: int = Field(4, ge=1, le=20, description="How often a file is tried.")
    wait_seconds: float = Field(
        2.0,
        ge=0,
        le=600,
        description="Pause before the second try; each further pause is twice as long, up to a minute.",
    )
    timeout_seconds: float = Field(
        60.0,
        gt=0,
        description="A try ends after so long without an answer, or a byte; not with Copernicus Marine, whose own "
        "tool has its own limits.",
    )

    @model_validator(mode="after")
    def _possible(self) -> DownloadSettings:
        if self.end < self.start:
            raise ValueError(f"`end` {self.end} is before `start` {self.start}")
        if "://" in self.output and not self.output.startswith(("file://", "local://")):
            raise ValueError("`output` is a URL: files are continued and renamed, which takes a folder of this machine")
        sources = self.sources
        for url in sources.en4.urls if sources.en4 is not None else ():
            _check_template("sources.en4.urls", url, [{"year": day.year} for day in _TRIAL_DAYS[-2:]])
        if sources.argo is not None:
            basins = sources.argo.basins
            _check_unique("sources.argo.basins", basins)
            trials = [{"basin": basin, "date": day} for basin in basins for day in _TRIAL_DAYS]
            _check_template("sources.argo.url", sources.argo.url, trials)
        altimeter = sources.l3_ssh
        if altimeter is not None:
            _check_unique("sources.l3_ssh.satellites", altimeter.satellites)
            for dataset in altimeter.datasets or ():
                if "{satellite}" not in dataset.id:
                    raise ValueError(f"the dataset {dataset.id!r} of `sources.l3_ssh` has no `{{satellite}}` in its id")
        return self


def _check_unique(key: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"`{key}` has {', '.join(map(repr, twice))} more than once: name each one once")


def _check_template(key: str, url: str, trials: Sequence[Mapping[str, object]]) -> None:
    """Refuse an address that cannot be filled in, or is the same for two of the trials."""
    if _USER_IN_URL.search(url):
        raise ValueError(f"`{key}` has a name or password in it: settings are kept and shown, leave it out")
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"`{key}` has to start with https:// or http://")
    wanted = " and ".join(f"`{{{name}}}`" for name in trials[0])
    try:
        filled = [url.format(**trial) for trial in trials]
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ValueError(f"`{key}` is filled in with {wanted} only, which fails: {error!r}") from None
    if len(set(filled)) < len(filled):
        raise ValueError(f"`{key}` gives the same address for different {wanted}: {url!r} has to tell them apart")
