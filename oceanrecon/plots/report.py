"""One self-contained HTML page: the manifest's numbers and the pictures, which are part of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from rich.filesize import decimal as file_size

from oceanrecon.grid.times import parse_date
from oceanrecon.plots.facts import ExportFacts, export_facts
from oceanrecon.plots.fields import SeamCheck
from oceanrecon.plots.page import Picture, document, figure, flag, table, tiles


@dataclass(frozen=True)
class Chapter:
    """The pictures of one variable, and what its seams hold."""

    name: str
    title: str
    pictures: tuple[Picture, ...]
    seams: tuple[SeamCheck, ...]


def render_page(manifest: Mapping[str, Any], overview: Picture | None, chapters: Sequence[Chapter]) -> str:
    """The page, as HTML that refers to nothing outside itself."""
    facts = export_facts(manifest)
    links = "".join(f'<a href="#{escape(c.name)}">{escape(c.name)}</a>' for c in chapters)
    body = [
        "<h1>Ocean export</h1>",
        f"<p>made by {escape(str(manifest['created_by']))}, {escape(str(manifest['created_utc']))}</p>",
        f'<nav><a href="#numbers">numbers</a>{links}</nav>',
        _tiles(manifest, facts),
        figure(overview) if overview else "",
        '<h2 id="numbers">Numbers</h2>',
        _variables(facts),
        "<h2>Encoding</h2>",
        _encoding(manifest),
        _problems(manifest),
    ]
    for chapter in chapters:
        body.append(f'<h2 id="{escape(chapter.name)}">{escape(chapter.title)} <code>{escape(chapter.name)}</code></h2>')
        body.extend(figure(picture) for picture in chapter.pictures)
        body.append(_seams(chapter.seams))
    return document("Ocean export", body)


def _tiles(manifest: Mapping[str, Any], facts: ExportFacts) -> str:
    grid = manifest["grid"]
    start, end = (parse_date(manifest["requested_date_range"][key]) for key in ("start_date", "end_date"))
    levels = len(manifest["depth_axis_m"])
    valid = sum(variable.valid for variable in facts.variables)
    clipped = sum(variable.clipped_low + variable.clipped_high for variable in facts.variables)
    failures = len(manifest["failures"])
    span = f"{facts.targets[0]} to {facts.targets[-1]}" if facts.targets else "none"
    entries = [
        ("target dates", str(len(facts.targets)), span),
        ("requested", f"{start} to {end}", manifest["time"]["targets"]),
        ("grid", f"{grid['width']} x {grid['height']}", f"{grid['resolution']['x']:.6g}°, {grid['crs']}"),
        ("depth levels", str(levels), _depths(manifest["depth_axis_m"])),
        ("window", f"{manifest['surface_temporal_aggregation']['window_days']} days", manifest["time"]["window"]),
        ("encoding", manifest["encoding"], str(manifest["regridding"].get("method", ""))),
        ("files", f"{facts.files:,}", file_size(facts.bytes)),
        ("clipped values", f"{clipped:,}", _percent(clipped, valid)),
        (
            "failures",
            flag(str(failures), failures > 0),
            "a rerun with --resume tries them again" if failures else "none",
        ),
    ]
    return tiles(entries)


def _variables(facts: ExportFacts) -> str:
    head = ("variable", "product", "dates", "absent", "files", "bytes", "valid", "missing", "clipped low",
            "clipped high", "days used", "distance", "with warnings")  # fmt: skip
    rows = [
        (
            variable.variable,
            variable.product,
            f"{variable.dates:,}",
            flag(f"{variable.absent:,}", variable.absent > 0),
            f"{variable.files:,}",
            file_size(variable.bytes),
            f"{variable.valid:,}",
            f"{variable.missing:,}",
            f"{variable.clipped_low:,} ({_percent(variable.clipped_low, variable.valid)})",
            f"{variable.clipped_high:,} ({_percent(variable.clipped_high, variable.valid)})",
            "{} to {}".format(*variable.days_used) if len(set(variable.days_used)) == 2 else str(variable.days_used[0]),
            f"{variable.distance} d",
            flag(f"{variable.warned:,}", variable.warned > 0),
        )
        for variable in facts.variables
    ]
    return table(head, rows, text=2)


def _encoding(manifest: Mapping[str, Any]) -> str:
    head = ("quantity", "stored as", "minimum", "maximum", "units", "step", "largest error", "missing")
    rows = [
        (
            name,
            stretch["storage_dtype"],
            f"{stretch['minimum']:g}",
            f"{stretch['maximum']:g}",
            stretch["units"],
            f"{stretch['quantization_step']:.6g}",
            f"{stretch['max_abs_quantization_error']:.6g}",
            str(stretch["nodata"]),
        )
        for name, stretch in manifest["stretch"].items()
    ]
    return table(head, rows, text=2)


def _problems(manifest: Mapping[str, Any]) -> str:
    parts = []
    if manifest["products"]["left_out"]:
        rows = list(manifest["products"]["left_out"].items())
        parts.append("<h2>Products left out</h2>" + table(("product", "why"), rows, text=2))
    if manifest["failures"]:
        rows = [(f["variable"], f["date"], f["error"], f["message"]) for f in manifest["failures"]]
        parts.append("<h2>Failures</h2>" + table(("variable", "date", "error", "message"), rows, text=4))
    return "".join(parts)


def _seams(seams: Sequence[SeamCheck]) -> str:
    if not seams:
        return ""
    head = ("meridian", "valid: 2 west", "1 west", "1 east", "2 east", "step across / typical")
    rows = [
        (
            f"{seam.longitude:g}°",
            *(flag(f"{100 * share:.1f} %", seam.suspicious) for share in seam.valid_share),
            flag(f"{seam.step_ratio:.2f}", seam.suspicious),
        )
        for seam in seams
    ]
    return "<p>Columns beside the meridians where sources start or end:</p>" + table(head, rows, text=1)


def _depths(depth: Sequence[float]) -> str:
    return f"{depth[0]:.4g} to {depth[-1]:.6g} m" if depth else "surface only"


def _percent(part: int, whole: int) -> str:
    return f"{100.0 * part / whole:.3f} %" if whole else "none"
