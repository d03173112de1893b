"""The one place that speaks to the ``copernicusmarine`` package: its login, its lists of files, its downloads."""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oceanrecon.errors import ArchiveError, ConfigError, MissingExtraError, how_to_install

_MEGABYTE = 1024**2
_MD5 = re.compile(r"[0-9a-f]{32}")
#: Above any level: nothing that the package would print is looked at for passwords.
_SILENT = logging.CRITICAL + 1


@dataclass(frozen=True)
class CatalogueFile:
    """A file of a dataset."""

    #: ``s3://...``, by which the package finds it again
    url: str
    #: below the folder of the product: ``PRODUCT/DATASET_version/2023/03/name.nc``
    path: str
    size: int
    #: changes with the content
    version: str
    #: of the content, where the store says so
    md5: str | None
    #: time at which it was put there, as ISO text; empty: the store does not say
    modified: str


class Toolbox:
    """Datasets of Copernicus Marine."""

    def __init__(self) -> None:
        """Load the package.

        Raises:
            MissingExtraError: it is not installed.
        """
        try:
            with _quiet():
                self._package: Any = importlib.import_module("copernicusmarine")
        except ImportError as error:
            raise MissingExtraError(
                f"Copernicus Marine needs its package copernicusmarine ({error}): {how_to_install('download')}"
            ) from error

    def check_login(self) -> None:
        """Refuse where the package would ask for a name and a password in the middle of a run.

        Raises:
            ConfigError: there are no credentials, or they are not accepted.
        """
        with _quiet():
            accepted = self._package.login(check_credentials_valid=True)
        if not accepted:
            raise ConfigError(
                "Copernicus Marine has no credentials of yours, or does not accept them: run `copernicusmarine login` "
                "once, or set COPERNICUSMARINE_SERVICE_USERNAME and COPERNICUSMARINE_SERVICE_PASSWORD"
            )

    def files(self, dataset: str, version: str | None, pattern: str) -> list[CatalogueFile]:
        """Files of a dataset whose addresses have a match of ``pattern``, by address.

        Raises:
            ArchiveError: the package lists nothing, and does not say why.
            Exception: of the package, such as that there is no such dataset.
        """
        with _quiet():
            found = self._package.get(
                dataset_id=dataset, dataset_version=version, regex=pattern, dry_run=True, disable_progress_bar=True
            )
        if found is None:
            raise ArchiveError(f"copernicusmarine gave no list of the files of {dataset}: run `copernicusmarine login`")
        listed = []
        for file in found.files:
            etag, modified = str(file.etag).strip('"'), str(file.last_modified_datetime or "")
            listed.append(
                CatalogueFile(
                    file.s3_url,
                    "/".join(file.s3_url.split("/")[4:]),
                    # the package gives megabytes
                    round(file.file_size * _MEGABYTE),
                    etag or modified,
                    etag if _MD5.fullmatch(etag) else None,
                    modified,
                )
            )
        return sorted(listed, key=lambda one: one.url)

    def fetch(self, dataset: str, version: str | None, urls: Sequence[str], folder: Path, connections: int) -> None:
        """Bring files into ``folder``, each at its ``CatalogueFile.path``; files that are there are replaced.

        Raises:
            Exception: of the package; some of the files may be there nevertheless.
        """
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / "wanted.txt"
        wanted.write_text("".join(f"{url}\n" for url in urls), encoding="utf-8")
        with _quiet():
            self._package.get(
                dataset_id=dataset,
                dataset_version=version,
                file_list=wanted,
                output_directory=folder,
                overwrite=True,
                max_concurrent_requests=connections,
                disable_progress_bar=True,
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the package from saying things: its errors are raised, and said by us."""
    logger = logging.getLogger("copernicusmarine")
    before = logger.level
    logger.setLevel(_SILENT)
    try:
        yield
    finally:
        logger.setLevel(before)
