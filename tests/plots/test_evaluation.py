"""Risk: a page that shows another number than was found, hides where a model is worse, or fails on little."""

from __future__ import annotations

import copy
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from oceanrecon.plots.evaluation import draw_evaluation
from oceanrecon.plots.evaluation_examples import draw_map, draw_profiles, draw_section
from oceanrecon.plots.evaluation_figures import draw_by_depth, draw_calibration, draw_spectra, has_spectra
from oceanrecon.plots.evaluation_page import render_evaluation
from oceanrecon.plots.maps import png_bytes
from tests.plots.evaluated import evaluated

Evaluation = tuple[dict[str, Any], dict[str, NDArray[Any]]]


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluated()


def row(page: str, *cells: str) -> str:
    """The first row of a table that begins with these cells, without its tags."""
    for found in re.findall(r"<tr>(.*?)</tr>", page):
        texts = re.findall(r"<td[^>]*>(.*?)</td>", found)
        if tuple(texts[: len(cells)]) == cells:
            return " ".join(texts)
    raise AssertionError(f"no row of {cells}")


def test_the_page_has_what_was_found(evaluation: Evaluation) -> None:
    numbers, _ = evaluation
    page = render_evaluation(numbers, {})
    pooled = numbers["scores"]["floats"]["diffusion"]["groups"]["all"]["all"]["temperature"]["pooled"]
    first = row(page, "diffusion", f"{pooled['count']:,}")
    for score in ("rmse", "crps", "spread_skill"):
        assert all(f"{pooled[score][which]:#.3g}" in first for which in ("value", "low", "high"))
    assert f"{100 * pooled['coverage']['90']['value']:.1f} %" in first
    levels = numbers["scores"]["floats"]["oi"]["groups"]["all"]["all"]["temperature"]["levels"]
    assert f"{levels['rmse']['value'][0]:#.3g}" in row(page, "0.5 m", f"{levels['count'][0]:,}")
    baltic = numbers["scores"]["floats"]["oi"]["groups"]["season"]["winter"]["temperature"]["pooled"]
    assert f"{baltic['rmse']['value']:#.3g}" in row(page, "season: winter", f"{baltic['units']}")
    assert "&lt;all&gt;" in page and "<all>" not in page and "runs/<small>" not in page


def test_the_page_needs_no_other_file_and_lies_beside_its_pictures(evaluation: Evaluation, tmp_path: Path) -> None:
    done: list[str] = []
    path = draw_evaluation(*evaluation, str(tmp_path), lambda number, total, name: done.append(name))
    page = Path(path).read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert page.count("<img") == len(done) == 9
    assert sorted(f"{name}.png" for name in done) == sorted(one.name for one in tmp_path.glob("*.png"))


def test_where_the_model_is_worse_it_says_so(evaluation: Evaluation) -> None:
    numbers, _ = copy.deepcopy(evaluation)
    assert 'class="bad"' not in row(render_evaluation(numbers, {}), "diffusion less climatology")
    numbers["differences"]["floats"]["climatology"]["temperature"]["pooled"]["rmse"] = {
        "value": 0.2,
        "low": 0.1,
        "high": 0.3,
    }
    assert 'class="bad"' in row(render_evaluation(numbers, {}), "diffusion less climatology")


def test_goals_and_checks_that_fail_are_in_colour(evaluation: Evaluation) -> None:
    page = render_evaluation(evaluation[0], {})
    assert '<span class="bad">missed</span>' in row(page, "CRPS at most 0.75 times the MAE")
    assert row(page, "no withheld float among the inputs").endswith("holds 0 of 1,200 input values")
    assert '<span class="bad">does not hold</span> no &lt;proof' in row(page, "the sides of the split share nothing")


def test_a_chart_shows_the_numbers(evaluation: Evaluation) -> None:
    numbers, _ = evaluation
    panels = draw_by_depth(numbers, "floats").axes
    for field, four in (("temperature", panels[:4]), ("salinity", panels[4:])):
        for panel, score in zip(four, ("rmse", "bias", "crps", "correlation"), strict=True):
            lines = {line.get_label(): line for line in panel.get_lines()}
            for model in numbers["models"]:
                wanted = numbers["scores"]["floats"][model]["groups"]["all"]["all"][field]["levels"][score]["value"]
                found = np.array([[np.nan if x is None else x for x in wanted], numbers["depth"]])
                np.testing.assert_array_equal(np.array(lines[model].get_data()), found)
        assert four[0].get_ylim()[0] > four[0].get_ylim()[1]  # the surface is above


def test_calibration_is_of_ensembles_alone(evaluation: Evaluation) -> None:
    figure = draw_calibration(evaluation[0], "target")
    labels = {line.get_label() for line in figure.axes[1].get_lines()}
    assert "diffusion" in labels and "oi" not in labels


@pytest.mark.parametrize("which", ["map", "section", "profiles"])
def test_examples_are_drawn(evaluation: Evaluation, which: str) -> None:
    numbers, arrays = evaluation
    examples = numbers["examples"]
    figure = {
        "map": lambda: draw_map(numbers, examples["maps"][0], arrays),
        "section": lambda: draw_section(numbers, examples["sections"][0], arrays),
        "profiles": lambda: draw_profiles(numbers, examples["profiles"], arrays),
    }[which]()
    image = np.asarray(Image.open(io.BytesIO(png_bytes(figure))).convert("RGB"))
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 100
    shown = [panel for panel in figure.axes if panel.get_visible() and panel.get_title()]
    assert len(shown) == {"map": 5, "section": 4, "profiles": 5}[which]
    if which == "map":
        assert [label.get_text() for label in shown[0].get_xticklabels()].count("180°") == 1
        limits = [panel.images[-1].get_clim() for panel in shown]
        assert limits[0] == limits[1] == limits[2]  # what is compared has the same colours
        assert limits[3][0] == -limits[3][1]


def test_little_was_scored(evaluation: Evaluation, tmp_path: Path) -> None:
    """No float on any date, no complete patch, one field, no example: a page all the same."""
    numbers, _ = copy.deepcopy(evaluation)
    del numbers["fields"]["salinity"]
    for scores in numbers["scores"]["floats"].values():
        scores["groups"] = {name: {} for name in scores["groups"]}
    numbers["differences"]["floats"] = {}
    for spectra in numbers["spectra"].values():
        spectra["fields"]["temperature"]["patches"] = [0] * len(numbers["depth"])
    numbers["examples"] = {"maps": [], "sections": [], "profiles": []}
    numbers["physics"] = {}
    page = Path(draw_evaluation(numbers, {}, str(tmp_path))).read_text()
    assert "Nothing was scored." in page and "No patch was ocean throughout" in page
    assert page.count("<img") == 2
    assert not has_spectra(numbers, "temperature")


def test_spectra_of_a_field(evaluation: Evaluation) -> None:
    figure = draw_spectra(evaluation[0], "salinity")
    upper = figure.axes[0]
    assert {"target", "diffusion: member", "diffusion: mean", "oi"} <= {line.get_label() for line in upper.get_lines()}
    assert upper.get_xlim()[0] > upper.get_xlim()[1]  # long waves at the left
