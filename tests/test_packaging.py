"""Risks of the package as a whole: heavy imports, unexplained or unpinned dependencies, names that lead nowhere."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import oceanrecon

ROOT = Path(__file__).parents[1]


def _direct_dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        requirements += extra
    names = (re.match(r"[A-Za-z0-9_.-]+", requirement) for requirement in requirements)
    return {name.group() for name in names if name}


def test_every_direct_dependency_has_its_reason_in_the_docs() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    terms = re.findall(r"^(.+)\n: ", page, flags=re.MULTILINE)
    explained = {name for term in terms for name in term.split(", ")}

    assert explained == _direct_dependencies()


def test_every_direct_dependency_is_pinned_to_one_version() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]

    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+]+", pin) for pin in pins)
    pinned = {pin.split("==")[0].lower() for pin in pins}
    assert {name.lower() for name in _direct_dependencies()} <= pinned


def test_importing_the_package_or_a_reader_loads_no_cluster_and_no_coastline() -> None:
    code = """
import sys, oceanrecon, oceanrecon.grid, oceanrecon.transform.regrid, oceanrecon.sources.block
heavy = {"dask", "distributed", "rioxarray", "matplotlib", "global_land_mask", "torch"} & set(sys.modules)
sys.exit(f"loaded: {sorted(heavy)}" if heavy else 0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr


def test_a_name_that_does_not_exist_says_which_do() -> None:
    with pytest.raises(AttributeError, match="open_archive"):
        oceanrecon.open_archiv  # noqa: B018
