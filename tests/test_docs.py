"""Risks of the documentation: what nobody explained, code that does not run, tables that are no longer true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client
from pydantic import BaseModel, Field
from sphinx.errors import ExtensionError

import oceanrecon
from docs._ext.generated import column_table, flag_list, flags_text, settings_text
from oceanrecon.config import load_settings, parse_settings
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.profile_config import ProfilesSettings
from oceanrecon.sources.identity import REASONS
from oceanrecon.statistics_config import StatisticsSettings
from oceanrecon.stores.columns import Column
from oceanrecon.transform.depth import align
from tests.archives import PRODUCTS, copied
from tests.profile_files import write_argo, write_en4

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Pages with programs.
PAGES = ("getting-started.md", "profiles.md", "patches.md", "samples.md", "statistics.md")


class _Grid(BaseModel):
    resolution: float = Field(default=0.1, gt=0, description="Cell size, degrees.")


class _Config(BaseModel):
    grids: dict[str, _Grid] = Field(description="Grids by name.")


class _Unexplained(BaseModel):
    grid: _Grid


def test_a_setting_without_a_description_fails_the_build() -> None:
    with pytest.raises(ExtensionError, match=r"setting 'grid' .*_Unexplained\) has no description"):
        settings_text(_Unexplained)


def test_nested_settings_are_listed_under_their_full_key_with_type_limit_and_default() -> None:
    entry = "`grids.<name>.resolution`\n: Cell size, degrees.\n\n  *number, above 0 · default: `0.1`*\n"

    assert settings_text(_Config).endswith(entry)


def test_a_variable_without_a_meaning_fails_the_build() -> None:
    with pytest.raises(ExtensionError, match="variable 'depth' has neither"):
        column_table([Column("depth", "float32", {"units": "m"})])


def test_flags_are_told_once_for_all_variables_that_have_them() -> None:
    attrs = {"flag_values": [-1, 4], "flag_meanings": "missing really_bad"}
    columns = [Column(name, "int8", attrs) for name in "ab"] + [Column("c", "int8", {})]

    assert flag_list(columns) == ["`a`, `b`", ": -1 missing, 4 really bad", ""]


@pytest.mark.parametrize(
    ("flags", "text"),
    [([1, 2, -1], "1, 2, blank"), ([-1, 0, 1, 2, 3, 5, 6, 7, 8, 9], "all but 4"), ([*range(-128, 128)], "any")],
)
def test_accepted_flags_are_told_shortly(flags: list[int], text: str) -> None:
    accepted = np.zeros(256, dtype=np.bool_)
    accepted[np.array(flags)] = True

    assert flags_text(accepted) == text


def _table(page: str, head: str) -> list[list[str]]:
    """Rows of the table of a page whose head begins so."""
    lines = (DOCS / page).read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {head} |")) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_page_has_every_reason_of_rejection_in_the_order_of_the_checks() -> None:
    assert [row[0].strip("`") for row in _table("profiles.md", "reason")] == list(REASONS[1:])


def test_the_example_of_alignment_is_what_the_code_does() -> None:
    rows = _table("profiles.md", "target, m")
    depth, values = np.array([[5, 5, 100, 300]], np.float32), np.array([[20, 22, 15, 10]], np.float32)
    flags, good = np.array([[1, 2, 1, 1]], np.int8), np.ones(256, dtype=np.bool_)
    target = np.array([float(row[0]) for row in rows])
    found, _ = align(depth, np.ones_like(flags), [values], [flags], good, [np.array([True])], target)

    told = [np.nan if row[1] == "missing" else float(row[1]) for row in rows]
    np.testing.assert_allclose(found.values[0], told, atol=5e-4)
    assert found.flags[0].tolist() == [int(row[2]) for row in rows]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*profiles.yaml")), ids=lambda path: path.stem)
def test_settings_that_users_start_from_are_valid(path: Path) -> None:
    assert load_settings(ProfilesSettings, path).package is not None


def test_the_page_has_every_training_that_users_start_from() -> None:
    told = [name for row in _table("training.md", "file | what it trains") for name in re.findall("`(.*?)`", row[0])]
    assert sorted(told) == sorted(path.name for path in (ROOT / "configs" / "train").glob("*.yaml"))


@pytest.fixture(scope="module")
def demo(archive: Path, exported: Path, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny ``demo`` in it: the archive, its export, profiles of both sources, patches and samples."""
    folder = tmp_path_factory.mktemp("docs")
    copied(archive, folder / "demo" / "archive")
    copied(exported, folder / "demo" / "export")
    sources = folder / "demo" / "archive"
    first = 22704.0  # 2012-02-29
    latitude, longitude = [12.0, 12.1, 45.0], [-40.0, -40.1, -60.0]
    for month, day in (("201202", first), ("201203", first + 6)):
        path = sources / "en4" / f"EN.4.2.2.f.profiles.g10.{month}.nc"
        write_en4(path, 3, juld=day + 0.5, latitude=latitude, longitude=longitude)
    write_argo(sources / "argo" / "6901929_prof.nc", juld=first + 8.5, latitude=30.0, longitude=-50.0)
    data: dict[str, Any] = {
        "en4": {"root": str(sources / "en4")},
        "argo": {"root": str(sources / "argo")},
        "archive": {"root": str(sources), "products": dict.fromkeys(PRODUCTS)},
        "output": str(folder / "demo" / "profiles"),
        "grid": {"export": str(folder / "demo" / "export")},
    }
    settings = parse_settings(ProfilesSettings, data, "test")
    assert oceanrecon.enrich_profiles(settings, client=client).profiles == 7
    assert oceanrecon.grid_profiles(settings, client=client).profiles == 7
    patches = {
        "export": data["grid"]["export"],
        "output": str(folder / "demo" / "patches"),
        "tiling": {"tile": 10},
        "split": {"val": 0, "test": 0},
        "write": {"output": str(folder / "demo" / "samples")},
    }
    chosen = parse_settings(PatchesSettings, patches, "test")
    found = oceanrecon.index_patches(chosen, client=client)
    assert (found.complete, found.profiles) == (True, 7)
    assert oceanrecon.write_samples(chosen, client=client).complete
    fitted = {
        "export": data["grid"]["export"],
        "index": patches["output"],
        "output": str(folder / "demo" / "statistics"),
    }
    assert oceanrecon.fit_statistics(parse_settings(StatisticsSettings, fitted, "test"), client=client).complete
    return folder


@pytest.mark.parametrize(
    ("head", "name"), [("spatial column", "patches"), ("row column", "weekly"), ("profile column", "profiles")]
)
def test_the_page_has_every_column_of_the_patch_tables(head: str, name: str, demo: Path) -> None:
    columns = (demo / f"demo/patches/{name}.csv").read_text().partition("\n")[0].split(",")
    assert [row[0].strip("`") for row in _table("patches.md", head)] == columns


def _programs(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("page", "number"),
    [(page, number) for page in PAGES for number in range(len(_programs(page)))],
)
def test_the_programs_on_a_page_run(page: str, number: int, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand, beside a demo; what they would do as a script on a cluster of its own is only compiled."""
    import matplotlib

    matplotlib.use("Agg")
    monkeypatch.chdir(demo)
    program = _programs(page)[number]

    exec(compile(program, f"{page}:{number}", "exec"), {"__name__": "a_page"})
