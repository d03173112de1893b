"""What commands write, by the file that marks it; and how each is checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oceanrecon.errors import OutputError
from oceanrecon.pipeline.patches.output import SETTINGS as PATCHES
from oceanrecon.pipeline.patches.verify import verify_index, verify_samples
from oceanrecon.pipeline.profiles.recipe import SETTINGS as PROFILES
from oceanrecon.pipeline.profiles.verify import verify_package, verify_profiles
from oceanrecon.pipeline.recipe import SETTINGS as EXPORT
from oceanrecon.pipeline.statistics.plan import GUARD as STATISTICS
from oceanrecon.pipeline.statistics.verify import verify_statistics
from oceanrecon.pipeline.verify import Verification, verify
from oceanrecon.samples.written import SETTINGS as SAMPLES
from oceanrecon.stores.files import Root
from oceanrecon.stores.hub.facts import CHECKSUMS, CROISSANT, PROFILES_TABLE


@dataclass(frozen=True)
class Output:
    """A kind of output."""

    #: such as ``export``
    title: str
    #: name of the file that only it has
    marker: str
    check: Callable[..., Verification]
    #: of ``deep``, ``discard_bad`` and ``on_done``, those that ``check`` takes
    options: frozenset[str]
    #: what its files are parts of, where they are counted by these
    unit: str = "files"


OUTPUTS = (
    Output("package", CHECKSUMS, verify_package, frozenset({"on_done"})),
    Output("profile store", PROFILES, verify_profiles, frozenset({"deep", "discard_bad", "on_done"}), "months"),
    Output("export", EXPORT, verify, frozenset({"deep", "discard_bad", "on_done"}), "blocks"),
    Output("patch index", PATCHES, verify_index, frozenset({"discard_bad", "on_done"})),
    Output("set of written samples", SAMPLES, verify_samples, frozenset({"discard_bad"}), "blocks"),
    Output("statistics", STATISTICS.name, verify_statistics, frozenset({"discard_bad"}), "steps"),
)


def output_of(url: str) -> Output:
    """What kind of output a folder is.

    Raises:
        OutputError: there is no such folder, or it is none of these.
    """
    root = Root(url)
    if root.local_path is not None and not root.local_path.is_dir():
        raise OutputError(f"there is no folder {root.url}: correct the path")
    for output in OUTPUTS:
        if root.exists(output.marker):
            return output
    if root.exists(CROISSANT) or root.exists(PROFILES_TABLE):
        raise OutputError(
            f"{root.url} is a package that is not finished: run `oceanrecon profiles package CONFIG` again"
        )
    known = ", ".join(f"no {output.title} (it has no {output.marker})" for output in OUTPUTS)
    raise OutputError(f"{root.url} is {known}: give the output of one of these")
