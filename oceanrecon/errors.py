"""What can go wrong, as classes: each message says what is wrong, shows the value and names the remedy."""

from __future__ import annotations


class OceanreconError(Exception):
    """Base of every error this package raises on purpose; the command line prints it without a traceback."""


class ConfigError(OceanreconError):
    """A setting is unknown, missing or impossible; names the file, the key and the nearest valid key."""


class SourceError(OceanreconError):
    """A source file cannot be read, or does not hold what its product promises; names the file."""


class ArchiveError(OceanreconError):
    """An archive or its inventory does not hold what was asked for."""


class PlanError(OceanreconError):
    """The work would not fit (memory, disk, tasks) or has no targets."""


class OutputError(OceanreconError):
    """An output exists, is incompatible, cannot be written, or is damaged."""


class LeaseError(OutputError):
    """Another job is at work on an output, or has taken it over; names that job and what to do."""


class ClusterError(OceanreconError):
    """The Dask scheduler cannot be reached or lost its workers."""


class MissingExtraError(OceanreconError, ImportError):
    """An optional part is not installed; names the extra that brings it."""


def how_to_install(extra: str) -> str:
    """What brings an optional part: without the constraints, the newest versions of several may not fit together."""
    return f"in your clone of oceanrecon run pip install -c constraints.txt -e '.[{extra}]'"


class InsecureWarning(UserWarning):
    """Something is allowed that others could misuse; says what, and what closes it."""
