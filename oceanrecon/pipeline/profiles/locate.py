"""Finds the enriched store behind what a user names: the store, the output of an enrichment, or a package."""

from __future__ import annotations

from oceanrecon.errors import OutputError
from oceanrecon.pipeline.profiles.schema import ENRICHED
from oceanrecon.stores.files import Root

#: Where a package has the store.
PACKAGED = "data/argo_glors_ostia_ssh.zarr"


def find_store(url: str) -> tuple[Root, str]:
    """The folder that holds the store, and the name of the store in it.

    Raises:
        OutputError: there is none.
    """
    root = Root(url)
    if root.local_path is not None and not root.local_path.exists():
        raise OutputError(f"there is no {root.url}: correct the path")
    for prefix in (ENRICHED, PACKAGED):
        if root.exists(f"{prefix}/zarr.json"):
            return root, prefix
    parent, _, name = root.url.rpartition("/")
    if parent and root.exists("zarr.json"):
        return Root(parent), name
    raise OutputError(
        f"{root.url} has no profile store: give the output of `oceanrecon profiles enrich`, the "
        f"{ENRICHED} in it, or a package; an enrichment that was interrupted has to be resumed first"
    )
