"""Risk: a map that is wrong at the dateline, a seam in a sample, a colour of the wrong side, a blank page."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

import oceanrecon
from oceanrecon.grid import PatchGrid
from oceanrecon.pipeline.patches.examples import Example, find_examples
from oceanrecon.pipeline.patches.figures import PatchFigures
from oceanrecon.pipeline.patches.stats import patch_figures
from oceanrecon.plots.colours import MISSING, SEVERAL
from oceanrecon.plots.colours import PHASES as COLOURS
from oceanrecon.plots.maps import png_bytes
from oceanrecon.plots.patches import draw_patches
from oceanrecon.plots.patches_figures import classes, draw_support, draw_times, in_classes
from oceanrecon.plots.patches_map import _ALPHA, draw_overlap, draw_profiles_per_patch, draw_split
from oceanrecon.plots.patches_samples import draw_example
from oceanrecon.samples.rows import every_row
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import export_grid, read_manifest
from oceanrecon.stores.mask import read_land_mask
from tests.archives import DEPTH, copied, truth
from tests.pipeline.patches.small_index import PHASES, ROWS, make, spatial_table, write_index
from tests.pipeline.profiles.tiny import enrich, write_sources
from tests.pipeline.profiles.tiny import settings as profile_settings

DATES = (20120222, 20120229, 20120307)


@pytest.fixture(scope="module")
def index(exported: Path, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the export of the tiny archive with profiles: tiles of 20 pixels (60 degrees), 10 apart, round the globe."""
    top = tmp_path_factory.mktemp("stats")
    sources = write_sources(top / "sources", profiles=200)
    export = copied(exported, top / "export")
    assert enrich(profile_settings(sources, top / "profiles", depth=list(DEPTH)), client).complete
    gridded = profile_settings(sources, top / "profiles", depth=list(DEPTH), grid={"export": str(export)})
    assert oceanrecon.grid_profiles(gridded, client=client).complete
    manifest = read_manifest(Root(str(export)))
    patches = PatchGrid(export_grid(manifest), 20, 10, "even", periodic=True)
    land = read_land_mask(str(export / manifest["grid"]["source"]))
    share = patches.means(land)
    phases = {int(patch): "train" for patch in patches.ids[share <= 0.3]}
    rows = every_row(patches, DATES, share <= 0.3)
    numbers = np.random.default_rng(2).poisson(3.0, len(rows))
    told = [(int(p), int(d), "train", int(n)) for p, d, n in zip(rows.patch_id, rows.date, numbers, strict=True)]
    return write_index(top / "index", patches, spatial_table(patches, phases, land), told, export=str(export))


@pytest.fixture(scope="module")
def figures(index: Path) -> PatchFigures:
    return patch_figures(str(index))


@pytest.fixture(scope="module")
def examples(figures: PatchFigures) -> dict[str, Example]:
    found, why = find_examples(figures)
    assert not why
    return {example.name: example for example in found}


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> PatchFigures:
    return patch_figures(str(make(tmp_path_factory.mktemp("hand") / "index")))


def pixels(figure: Figure) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(png_bytes(figure))).convert("RGB"), dtype=np.float64) / 255.0


def colour_at(figure: Figure, picture: NDArray[np.float64], longitude: float, latitude: float) -> NDArray[np.float64]:
    x, y = figure.axes[0].transData.transform((longitude, latitude))
    found: NDArray[np.float64] = picture[picture.shape[0] - 1 - int(y), int(x)]
    return found


def painted(colour: str, below: str) -> NDArray[np.float64]:
    return _ALPHA * np.array(to_rgb(colour)) + (1 - _ALPHA) * np.array(to_rgb(below))


def test_sides_are_where_they_are_and_a_patch_across_the_dateline_at_both_ends(by_hand: PatchFigures) -> None:
    figure = draw_split(by_hand)
    picture = pixels(figure)
    sea = {
        "train": [(172.0, 22.0), (-172.0, 50.0), (-130.0, 40.0)],  # patch 11 east and west of 180, patch 0
        "val": [(-55.0, 50.0)],  # patch 4, its ocean half
        "test": [(-110.0, -50.0)],
        "guard": [(-110.0, 20.0)],  # below the first row of 26 it would be test
    }
    for phase, places in sea.items():
        for longitude, latitude in places:
            found = colour_at(figure, picture, longitude, latitude)
            assert found == pytest.approx(painted(COLOURS[phase], MISSING), abs=0.02), (phase, longitude, latitude)
    assert colour_at(figure, picture, 100.0, -50.0) == pytest.approx(to_rgb(MISSING), abs=0.02)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "train: 2 patches, 15 % of the ocean" in labels and "too much land: 1 patch" in labels
    assert not any("two sides" in label for label in labels)


def test_pixels_on_two_sides_are_seen(tmp_path: Path) -> None:
    leaking = patch_figures(str(make(tmp_path / "index", PHASES | {0: "val"})))
    figure = draw_split(leaking)
    # patch 11 is train and 0 is val: column 0 is in both
    assert colour_at(figure, pixels(figure), -172.0, 50.0) == pytest.approx(painted(SEVERAL, MISSING), abs=0.02)
    assert any("on two sides or more: 5.0 %" in text.get_text() for text in figure.legends[0].get_texts())


def test_overlap_and_profiles_are_drawn_in_their_places(by_hand: PatchFigures) -> None:
    image: Any = draw_overlap(by_hand).axes[0].images[-1]
    shown = np.ma.filled(image.get_array(), 0)
    np.testing.assert_array_equal(shown, by_hand.overlap)
    assert image.get_extent() == [-180.0, 180.0, -60.0, 60.0]
    cells: Any = draw_profiles_per_patch(by_hand).axes[0].collections[-1]
    means = dict(
        zip(
            (tuple(path.vertices[:4].mean(axis=0)) for path in cells.get_paths()),
            np.ma.filled(cells.get_array(), 0.0),
            strict=True,
        )
    )
    # around their centres: 0, 4, 26, 14, and 11 at both ends
    places = {(-150.0, 30.0): 2.5, (-30.0, 30.0): 3.0, (-90.0, -30.0): 1.0, (-90.0, 0.0): 4.0}
    assert means == places | {(-180.0, 30.0): 1.0, (180.0, 30.0): 1.0}


def test_bars_of_support_are_shares_of_each_side(by_hand: PatchFigures) -> None:
    groups: Any = draw_support(by_hand).axes[0].containers
    heights = {group.get_label().split(":")[0]: [bar.get_height() for bar in group] for group in groups}
    assert heights == {
        "train": [0.2, 0.6, 0, 0, 0, 0.2], "val": [0, 0, 0, 1.0, 0, 0], "test": [0.5, 0, 0.5, 0, 0, 0],
    }  # fmt: skip
    edges, names = classes(100)
    assert names == ["0", "1", "2-3", "4-7", "8-15", "16-31", "32-63", "64-127"]
    assert in_classes(by_hand.support["train"], edges).tolist() == [1, 3, 0, 1, 0, 0, 0, 0]


def test_rows_by_date_stack_to_all_rows(by_hand: PatchFigures) -> None:
    upper, lower = draw_times(by_hand).axes
    groups: Any = upper.containers
    assert sum(bar.get_height() for group in groups for bar in group) == len(ROWS)
    (train,) = (line for line in lower.lines if line.get_color() == COLOURS["train"])
    assert np.asarray(train.get_ydata()).tolist() == [0.5, 3.0, 1.0]


def test_a_sample_across_the_dateline_has_no_seam_and_the_values_of_the_ocean(examples: dict[str, Example]) -> None:
    example = examples["dateline"]
    seam = int(np.flatnonzero(example.longitude == 180.0)[0])
    assert 4 < seam < 16 and np.diff(example.longitude) == pytest.approx(3.0)
    longitude = 0.5 * (example.longitude[1:] + example.longitude[:-1])
    latitude = 0.5 * (example.latitude[1:] + example.latitude[:-1])
    for shown in (*example.surface, *example.target):
        steps = np.nanmean(np.abs(np.diff(shown.values, axis=1)), axis=0)
        beside = steps[[seam - 2, seam]]
        assert steps[seam - 1] == pytest.approx(beside.mean(), abs=shown.step), shown.channel.variable
    top = example.target[0]
    expected = 273.15 + truth("thetao", example.date, latitude, (longitude + 180) % 360 - 180)
    both = np.isfinite(top.values)
    assert both.mean() > 0.9
    # nodes of 5 degrees on cells of 3: what bilinear interpolation of the shortest wave (72 degrees) leaves, and a code
    assert np.abs(top.values - expected)[both].max() < 0.2 + top.step


def test_the_picture_of_it_goes_on_through_180(examples: dict[str, Example]) -> None:
    figure = draw_example(examples["dateline"])
    panel = figure.axes[0]
    west, east = panel.get_xlim()
    assert west < 180 < east and east - west == pytest.approx(60.0)
    figure.canvas.draw()
    labels = [label.get_text() for label in panel.get_xticklabels()]
    assert (
        "180°" in labels and any(label.endswith("E") for label in labels) and any(label[-1] == "W" for label in labels)
    )
    # the columns of the picture beside 180 differ as much as others do
    picture = pixels(figure)
    box = panel.get_window_extent()
    rows = slice(picture.shape[0] - int(box.y1) + 3, picture.shape[0] - int(box.y0) - 3)
    centres = [0.5 * (a + b) for a, b in pairwise(examples["dateline"].longitude)]
    columns = [int(panel.transData.transform((x, 0.0))[0]) for x in centres]
    steps = np.abs(np.diff(picture[rows, columns], axis=1)).mean(axis=(0, 2))
    at = int(np.searchsorted(centres, 180.0)) - 1
    assert 0 < steps[at] <= 2.0 * np.median(steps)


def test_profiles_are_dots_on_their_pixels(examples: dict[str, Example]) -> None:
    example = examples["profiles"]
    panel = draw_example(example).axes[len(example.surface)]
    dots = [tuple(point) for path in panel.collections for point in np.asarray(path.get_offsets()) if len(point) == 2]
    rows, columns = example.points
    for row, column in zip(rows, columns, strict=True):
        place = (example.longitude[column] + 1.5, example.latitude[row] - 1.5)
        assert any(np.allclose(place, dot) for dot in dots), place


def test_the_page_stands_alone_and_has_every_picture(
    figures: PatchFigures, examples: dict[str, Example], tmp_path: Path
) -> None:
    told: list[tuple[int, int, str]] = []
    page = draw_patches(figures, list(examples.values()), ["a <note>"], str(tmp_path), lambda *done: told.append(done))
    html = Path(page).read_text(encoding="utf-8")
    names = ["split", "support", "valid", "land", "overlap", "profiles", "times"]
    assert [name for *_, name in told] == [*names, *(f"example_{name}" for name in examples)]
    assert told[-1][0] == told[-1][1]
    assert next(iter(examples)) == "dateline" and len(examples) >= 3
    pictures = {f"{name}.png" for name in names} | {f"example_{name}.png" for name in examples}
    assert {path.name for path in tmp_path.iterdir()} == {"index.html", "stats.json", *pictures}
    assert not re.search(r"https?:|<script|<link rel=.stylesheet|src=\"(?!data:)|@import", html)
    embedded = {base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', html)}
    assert embedded == {path.read_bytes() for path in tmp_path.glob("*.png")}
    for png in embedded:
        picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.float64) / 255.0
        assert picture.shape[1] == 1320 and 300 < picture.shape[0] < 1300 and picture.std() > 0.05
    for text in ("a &lt;note&gt;", "prefers-color-scheme: dark", f"{figures.all_rows.rows:,}", "across the dateline"):
        assert text in html, text
    for anchor in re.findall(r'href="#([^"]+)"', html):
        assert f'id="{anchor}"' in html
    numbers = json.loads((tmp_path / "stats.json").read_text())
    assert numbers["valid_fraction"]["variable"] == "thetao" and numbers["valid_fraction"]["date"] == "2012-02-29"
    assert numbers["notes"] == ["a <note>"]


def test_valid_shares_are_those_of_the_mask(figures: PatchFigures) -> None:
    valid = figures.valid
    assert valid is not None and valid.shares.shape == (valid.patch_id.size, len(DEPTH))
    # the mask of the tiny archive is made of the same field
    assert valid.shares[:, 0] == pytest.approx(valid.ocean, abs=0.001)
    # deeper there is less of it: north of 60 N the last level has none
    north = figures.table.set_index("patch_id").loc[valid.patch_id, "lat1"].to_numpy() > 80
    assert (valid.shares[north, -1] < valid.shares[north, 0]).all()


def test_what_there_is_nothing_for_is_said_in_its_place(tmp_path: Path) -> None:
    found = patch_figures(str(make(tmp_path / "index", rows=[])))
    html = Path(draw_patches(found, [], found.notes, str(tmp_path / "drawn"))).read_text(encoding="utf-8")
    assert html.count("The index has no rows.") == 3 and "without an export" in html
    assert {path.stem for path in (tmp_path / "drawn").glob("*.png")} == {"split", "valid", "land", "overlap"}


def test_the_command_says_where_the_page_is(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    index = make(tmp_path / "index")
    code, out, err = command("patches", "stats", index, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["page"] == str(index / "stats" / "index.html") and Path(told["page"]).exists()
    assert told["patches"]["across_the_dateline"] == 1
    code, out, _ = command("patches", "stats", index / "patches.yaml", "--output", tmp_path / "elsewhere")
    assert code == 0 and f"open {tmp_path}/elsewhere/index.html in a browser" in out and "a <note>" in out
