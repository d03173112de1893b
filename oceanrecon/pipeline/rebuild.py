"""From an export on disk back to what made it: its settings, its recipe and its blocks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import yaml

from oceanrecon.access.paths import joined
from oceanrecon.access.systems import state_of
from oceanrecon.config import ExportSettings, parse_settings
from oceanrecon.errors import OutputError, SourceError
from oceanrecon.grid import parse_date
from oceanrecon.pipeline.recipe import SETTINGS, Recipe
from oceanrecon.sources.block import Block, Source
from oceanrecon.sources.header import read_header
from oceanrecon.sources.registry import product as find_product
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import export_grid, read_manifest
from oceanrecon.stores.receipts import Receipt, SourceUsed


@dataclass(frozen=True, eq=False)
class Existing:
    """An export that is there."""

    root: Root
    settings: ExportSettings
    manifest: dict[str, Any]
    recipe: Recipe

    @property
    def archive_root(self) -> str:
        """Where its sources are (or were)."""
        return self.settings.archive.root

    def block(self, receipt: Receipt) -> Block:
        """The block behind a receipt, of its source files as they are today; opens the header of the first.

        Raises:
            SourceError: the source is not there any more.
        """
        product = find_product(receipt.product)
        sources = tuple(
            Source(
                path=source.path,
                date=parse_date(source.date),
                time_index=source.time_index,
                **self._today(source),
                revision=None if source.revision is None else parse_date(source.revision),
            )
            for source in receipt.sources
        )
        url = joined(self.archive_root, sources[0].path, SourceError)
        try:
            header = read_header(url, product, sources[0].bytes)
        except SourceError as error:
            raise SourceError(f"{url}: {error}") from error
        return Block(
            root=self.archive_root,
            product=product.name,
            variable=receipt.variable,
            date=parse_date(receipt.date),
            sources=sources,
            latitude=header.latitude,
            longitude=header.longitude,
            depth=header.depth if product.variable(receipt.variable).levels else (),
        )

    def _today(self, source: SourceUsed) -> dict[str, int]:
        url = joined(self.archive_root, source.path, SourceError)
        try:
            return asdict(state_of(url))
        except Exception:  # it is gone, or its server does not answer, which reading it will tell
            return {"bytes": source.bytes, "mtime_ns": source.mtime_ns}


def load_export(url: str) -> Existing:
    """An export at a folder or URL.

    Raises:
        OutputError: there is none, or it was never finished.
    """
    root = Root(url)
    if not root.exists(SETTINGS):
        raise OutputError(f"{root.url} is no export: it has no {SETTINGS}; make one with `oceanrecon export`")
    settings = parse_settings(ExportSettings, yaml.safe_load(root.read(SETTINGS)), root.url_of(SETTINGS))
    manifest = read_manifest(root)
    recipe = Recipe.from_settings(settings, export_grid(manifest), root.url)
    return Existing(root, settings, manifest, recipe)
