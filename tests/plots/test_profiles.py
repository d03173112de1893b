"""Risk: a picture of profiles that is upside down, mirrored or of the wrong sign, or a page that needs the network."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import io
import re
from pathlib import Path
from typing import Any

import gsw
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from oceanrecon.errors import OutputError
from oceanrecon.pipeline.profiles.figures import ProfileFigures, Rejected
from oceanrecon.pipeline.profiles.inspect import inspect_profiles
from oceanrecon.plots.charts import by_time
from oceanrecon.plots.colours import LAND, SOURCES
from oceanrecon.plots.maps import png_bytes
from oceanrecon.plots.profiles import default_folder, draw_profiles
from oceanrecon.plots.profiles_figures import (
    CHECKS,
    draw_diagram,
    draw_differences,
    draw_funnel,
    draw_levels,
    draw_times,
)
from oceanrecon.plots.profiles_map import Window, draw_places, window_around
from oceanrecon.sources.identity import REASONS
from tests.pipeline.profiles.stored import random_values, write_store


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> ProfileFigures:
    folder = tmp_path_factory.mktemp("drawn")
    counts = {"accepted": 400, "position_flag": 30, "duplicate_cycle": 20, "outside_dates": 10}
    write_store(folder, random_values(400), counts=counts, profile_sources={"argo": "", "en4": ""})
    return inspect_profiles(str(folder))


def pixels(png: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.float64) / 255.0


def where(picture: NDArray[np.float64], colour: str) -> NDArray[np.intp]:
    """Rows and columns of the pixels of a colour."""
    return np.argwhere(np.abs(picture - to_rgb(colour)).max(axis=-1) < 0.02)


def placed(tmp_path: Path, latitude: list[float], longitude: list[float], kinds: list[str]) -> ProfileFigures:
    values = random_values(len(kinds)) | {"latitude": latitude, "longitude": longitude, "source_kind": kinds}
    return inspect_profiles(str(write_store(tmp_path, values)))


def test_the_map_is_north_up_and_goes_on_through_the_dateline(tmp_path: Path) -> None:
    # a float north-west at 175 E, EN4 south-east at 175 W
    picture = pixels(png_bytes(draw_places(placed(tmp_path, [10.0, -10.0], [175.0, -175.0], ["argo", "en4"]))))
    north_west, south_east = (where(picture, SOURCES[kind]) for kind in ("argo", "en4"))
    north_west = north_west[north_west[:, 0] < picture.shape[0] * 0.6]  # the legend is at the lower left
    south_east = south_east[south_east[:, 1] > picture.shape[1] * 0.5]
    assert min(len(north_west), len(south_east)) > 20
    down, right = np.median(south_east, axis=0) - np.median(north_west, axis=0)
    # twenty degrees of latitude are twice as long as ten of longitude
    assert down / right == pytest.approx(2.0, rel=0.05)


def test_the_coast_is_where_it_is(tmp_path: Path) -> None:
    figure = draw_places(placed(tmp_path, [-60.0, 60.0], [-170.0, 170.0], ["en4", "en4"]))
    wide = draw_places(placed(tmp_path / "wide", [-60.0, 60.0], [-100.0, 100.0], ["en4", "en4"]))
    png = png_bytes(wide)
    picture, panel = pixels(png), wide.axes[0]
    for longitude, latitude, land in ((20, 22, True), (135, -25, True), (-30, 0, False), (-60, -10, True)):
        x, y = panel.transData.transform((longitude, latitude))
        colour = picture[picture.shape[0] - 1 - int(y), int(x)]
        assert (np.abs(colour - to_rgb(LAND)).max() < 0.02) == land, (longitude, latitude)
    assert figure.axes[0].get_xlim()[1] > 180  # 20 degrees of the Pacific, not the globe


def test_a_box_is_shown_with_a_margin_and_a_large_one_as_the_globe() -> None:
    assert window_around((-60.0, 10.0, -20.0, 40.0)) == Window(-64.0, 6.0, -16.0, 44.0)
    assert window_around((170.0, -5.0, -170.0, 5.0)) == Window(167.0, -8.0, 193.0, 8.0)
    assert window_around((0.0, 88.0, 10.0, 89.0)).north == 90.0
    assert window_around((-179.0, -70.0, 179.0, 80.0)) == Window(-180.0, -90.0, 180.0, 90.0)
    assert Window(167.0, -8.0, 193.0, 8.0).turned(np.array([-175.0, 175.0, 167.0])).tolist() == [185.0, 175.0, 167.0]


def test_many_profiles_are_drawn_as_cells_that_keep_their_place(figures: ProfileFigures) -> None:
    cells = np.zeros((180, 360), np.int64)
    cells[90 + 40, 180 - 30] = 500  # 40 N, 30 W
    many = dataclasses.replace(figures, places=None, cells=cells, profiles=500, box=(-40.0, 30.0, -20.0, 50.0))
    figure = draw_places(many)
    mesh: Any = figure.axes[0].collections[-1]
    counts = np.ma.filled(mesh.get_array(), 0)
    row, column = np.argwhere(counts == 500)[0]
    edges = mesh.get_coordinates()
    assert counts.sum() == 500 and edges[row, column].tolist() == [-30.0, 40.0]


def test_days_months_and_years_have_no_gaps() -> None:
    leap = (dt.date(2012, 2, 28), dt.date(2012, 3, 2))
    starts, step, counts = by_time(leap, {"en4": np.array([3, 4])})
    assert (step, [start.day for start in starts], counts["en4"].tolist()) == ("day", [28, 29, 1, 2], [3, 0, 0, 4])
    starts, step, counts = by_time((dt.date(2011, 11, 30), dt.date(2012, 1, 31), dt.date(2012, 8, 1)),
                                   {"en4": np.array([1, 2, 3])})  # fmt: skip
    assert step == "month" and [start.month for start in starts] == [11, 12, *range(1, 9)]
    assert counts["en4"].tolist() == [1, 0, 2, 0, 0, 0, 0, 0, 0, 3]
    starts, step, counts = by_time((dt.date(1950, 5, 5), dt.date(2024, 12, 31)), {"en4": np.array([1, 2])})
    assert (step, len(starts), counts["en4"][[0, -1]].tolist()) == ("year", 75, [1, 2])


def test_bars_stack_to_all_profiles_and_one_day_is_enough(figures: ProfileFigures, tmp_path: Path) -> None:
    (panel,) = draw_times(figures).axes
    groups: Any = panel.containers
    heights = [sum(bar.get_height() for bar in group) for group in groups]
    assert heights == list(figures.sources.values())
    assert 3 <= len(panel.get_xticks()) <= 10
    assert len(png_bytes(draw_times(placed(tmp_path, [0.0], [0.0], ["argo"])))) > 3000


def test_depth_goes_down_and_counts_are_those_of_the_levels(figures: ProfileFigures) -> None:
    (panel,) = draw_levels(figures).axes
    bottom, top = panel.get_ylim()
    assert top == 0.0 and bottom > figures.depth[-1]
    by_label = {line.get_label(): line for line in panel.lines}
    assert by_label["salinity"].get_xdata() == pytest.approx(figures.values["psal"])
    assert by_label["salinity"].get_ydata() == pytest.approx(figures.depth)
    assert by_label["potential temperature"].get_xdata() == pytest.approx(figures.values["potm"])


def test_the_reanalysis_is_right_of_zero_where_it_is_warmer(tmp_path: Path) -> None:
    values = random_values(200)
    values["glorys_thetao"] = values["argo_potm_on_glorys_depth"] + np.float32(0.75)
    figure = draw_differences(inspect_profiles(str(write_store(tmp_path, values))))
    panel = figure.axes[0]
    (median,) = (line for line in panel.lines if line.get_label() == "median")
    assert np.asarray(median.get_xdata()) == pytest.approx(0.75, abs=0.002)
    bottom, top = panel.get_ylim()
    assert bottom > top == 0.0 and panel.get_xlabel() == "K"
    assert panel.get_title() == "glorys_thetao - argo_potm"
    low, high = panel.get_xlim()
    assert low == -high and high > 0.75


def test_the_funnel_goes_down_in_the_order_of_the_checks(figures: ProfileFigures) -> None:
    assert list(CHECKS) == [*REASONS, "outside_dates"]
    (panel,) = draw_funnel(figures).axes
    assert [label.get_text() for label in panel.get_yticklabels()] == list(CHECKS.values())
    bottom, top = panel.get_ylim()
    assert bottom > top
    shown = [text.get_text() for text in panel.texts]
    assert shown[0] == "460" and shown[4] == "430  (-30)" and shown[7] == "410  (-20)" and shown[9] == "400  (-10)"


def test_temperature_and_salinity_are_in_their_cells_and_lines_are_of_density(tmp_path: Path) -> None:
    values = random_values(300)
    for name, value in (("potm", 10.04), ("psal", 35.01)):
        values[f"argo_{name}_on_glorys_depth"] = np.full((300, 4), value, np.float32)
    values["argo_potm_on_glorys_depth"][:3] = (2.04, 3.04, 4.04, 5.04)
    values["argo_psal_on_glorys_depth"][:3] = (33.01, 33.51, 34.01, 34.51)
    figures = inspect_profiles(str(write_store(tmp_path, values)))
    panel = draw_diagram(figures).axes[0]
    drawn: Any = panel.collections
    mesh, lines = drawn[:2]
    counts = np.ma.filled(mesh.get_array(), 0)
    edges = mesh.get_coordinates()
    row, column = np.unravel_index(counts.argmax(), counts.shape)
    (west, south), (east, north) = edges[row, column], edges[row + 1, column + 1]
    assert counts.max() == 297 * 4 and counts.sum() == 300 * 4
    assert west <= 35.01 <= east and south <= 10.04 <= north
    absolute = gsw.SR_from_SP(35.0)
    assert gsw.sigma0(absolute, gsw.CT_from_pt(absolute, 10.0)) == pytest.approx(26.95, abs=0.01)
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        for salinity, temperature in path.vertices[:: max(len(path.vertices) // 5, 1)]:
            reference = gsw.SR_from_SP(salinity)
            assert gsw.sigma0(reference, gsw.CT_from_pt(reference, temperature)) == pytest.approx(level, abs=0.02)


def test_the_page_stands_alone_and_has_every_picture(figures: ProfileFigures, tmp_path: Path) -> None:
    failure = {"kind": "months", "name": "2012-02", "error": "SourceError", "message": "no <file> & no date"}
    told: list[tuple[int, int, str]] = []
    troubled = dataclasses.replace(figures, failures=(failure,), notes=("a <note>",))
    page = draw_profiles(troubled, tmp_path, lambda *done: told.append(done))
    html = page.read_text(encoding="utf-8")
    names = ["map", "times", "levels", "funnel", "temperature_salinity", "differences"]
    assert [name for *_, name in told] == names and told[-1][:2] == (6, 6)
    assert {path.name for path in tmp_path.iterdir()} == {"index.html", *(f"{name}.png" for name in names)}
    assert not re.search(r"https?:|<script|<link rel=.stylesheet|src=\"(?!data:)|@import", html)
    embedded = {base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', html)}
    assert embedded == {path.read_bytes() for path in tmp_path.glob("*.png")}
    for png in embedded:
        picture = pixels(png)
        assert picture.shape[1] == 1320 and 300 < picture.shape[0] < 1200 and picture.std() > 0.05
    for text in ("400", "460 that were read", "source not recorded", "no &lt;file&gt; &amp; no date", "a &lt;note&gt;",
                 "glorys_thetao - argo_potm", "ostia_analysed_sst - argo_temp", "prefers-color-scheme: dark",
                 "nearest file too far", "0.002 K and 0.001 PSU"):  # fmt: skip
        assert text in html, text
    for anchor in re.findall(r'href="#([^"]+)"', html):
        assert f'id="{anchor}"' in html


def test_what_a_store_has_nothing_for_is_said_in_its_place(figures: ProfileFigures, tmp_path: Path) -> None:
    empty = inspect_profiles(str(write_store(tmp_path / "empty", random_values(0))))
    html = draw_profiles(empty, tmp_path / "drawn").read_text(encoding="utf-8")
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["index.html"]
    assert html.count("The store has no profiles.") == 3 and "No profile has a value where the store has one" in html
    assert "No profile was read." in html
    refused = dataclasses.replace(empty, rejected=(Rejected("date_flag", {"en4": 5}),))
    draw_profiles(refused, tmp_path / "refused")
    assert {path.name for path in (tmp_path / "refused").iterdir()} == {"index.html", "funnel.png"}
    alone = dataclasses.replace(figures, differences=(), surface=(), matches={})
    html = draw_profiles(alone, tmp_path / "alone").read_text(encoding="utf-8")
    assert (
        "enrich them with GLORYS to compare the two" in html and not (tmp_path / "alone" / "differences.png").exists()
    )


def test_pictures_go_where_the_store_was_made_and_never_into_a_package(
    figures: ProfileFigures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_folder(dataclasses.replace(figures, output="/data/profiles")) == Path("/data/profiles/inspect")
    for output in (None, "s3://bucket/profiles"):
        assert default_folder(dataclasses.replace(figures, output=output)) == tmp_path / "profiles-inspect"
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        draw_profiles(figures, tmp_path / "file")


def test_a_reason_of_a_later_version_is_shown_by_its_name(figures: ProfileFigures) -> None:
    later = dataclasses.replace(figures, rejected=(*figures.rejected, Rejected("too_salty", {"en4": 7})))
    (panel,) = draw_funnel(later).axes
    assert panel.get_yticklabels()[-1].get_text() == "too salty" and panel.texts[-1].get_text() == "400  (-7)"
