"""Where a model came from: data, program, machine."""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import torch

from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import PATCHES, STATISTICS, dump_manifest, export_fingerprint, read_manifest
from oceanrecon.train_config import TrainSettings


def provenance(settings: TrainSettings) -> dict[str, Any]:
    """Fingerprints of what is learnt from, versions, and the revision of this program.

    Raises:
        OutputError: export, index or statistics are not there.
    """
    data = settings.data
    return {
        "export": data.export,
        "export_fingerprint": None if data.export is None else export_fingerprint(read_manifest(Root(data.export))),
        "index_fingerprint": digest(data.index, PATCHES),
        "statistics_fingerprint": digest(settings.scaling.statistics, STATISTICS),
        "oceanrecon": version("oceanrecon"),
        "git_revision": _revision(),
        "torch": str(torch.__version__),
        "lightning": str(lightning.__version__),
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "started_utc": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


#: What of it has to be the same where a training goes on.
SAME = ("export_fingerprint", "index_fingerprint", "statistics_fingerprint")


def differences(there: Any, here: Any, key: str = "") -> Iterator[str]:
    """What differs of two settings in their plain form, as ``training.seed: 0 there, 3 here``.

    Args:
        there: those of before.
        here: those of now.
        key: dotted, of both.
    """
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for name in dict.fromkeys([*there, *here]):
            yield from differences(there.get(name), here.get(name), f"{key}.{name}" if key else name)
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for number, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from differences(one, other, f"{key}.{number}")
    elif there != here:
        yield f"{key}: {there} there, {here} here"


def digest(url: str, kind: str) -> str:
    """sha256 of a manifest, which has the checksums of all else, without what each run has of its own."""
    manifest = read_manifest(Root(url), kind)
    own = {"created_utc", "timings", "output_dir", "parallelism", "resume"}
    return hashlib.sha256(dump_manifest({key: manifest[key] for key in manifest if key not in own})).hexdigest()


def _revision() -> str | None:
    """Of the clone that this program runs from; ``None`` where it was installed without one."""
    folder = Path(__file__).resolve().parents[3]
    if not (folder / "pyproject.toml").exists():  # else it could be that of another project around it
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
