"""The page about a patch index: its numbers and pictures, in one HTML file that needs no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from oceanrecon.pipeline.patches.figures import GUARD, INVALID, SHARES, PatchFigures, spread
from oceanrecon.plots.page import Picture, document, figure, flag, percent, table, tiles
from oceanrecon.samples.index import SIDES

_NO_ROWS = "The index has no rows."


@dataclass(frozen=True)
class Section:
    """A picture on the page: its heading, what one sees, and what is said where there is nothing to show."""

    heading: str
    caption: str
    nothing: str = ""


#: By file name without ``.png``, in the order of the page; then the examples.
SECTIONS: Mapping[str, Section] = {
    "split": Section(
        "Split",
        "The area of each side, and a mark in each patch: its outline where patches do not overlap, else a dot in its "
        "centre. Land is brown, ocean without a patch is pale. A patch across the dateline is at both ends of the map",
        "No patch is on a side.",
    ),
    "support": Section(
        "Support", "Rows by how many accepted profiles they have, as shares of each side, so that sides of different "
        "size can be compared", _NO_ROWS,
    ),
    "valid": Section(
        "Valid fraction",
        "Bars: the share of a patch that is ocean in the land mask. Line: the share that has a value of the target at "
        "its first level, read from the export; it differs where coast and sea ice do. Right: the same by depth, where "
        "the sea floor takes its part",
        "No patch is on a side.",
    ),
    "land": Section("Land", "Patches by how much land they have. Those beyond the limit are kept for a region's sake"),
    "overlap": Section(
        "Overlap", "In how many patches a pixel is; patches that are left out do not count. Thin lines: patches are "
        "spread evenly, some a pixel closer than others", "No patch is on a side.",
    ),
    "profiles": Section(
        "Profiles by patch",
        "Mean number of accepted profiles of the rows of a patch, drawn around its centre where patches overlap; a "
        "profile then counts in each patch that it is in. Pale: no row",
        _NO_ROWS,
    ),
    "times": Section("When", "Rows by date and side, and the mean number of accepted profiles of a row", _NO_ROWS),
}  # fmt: skip
#: Examples by name.
EXAMPLES: Mapping[str, Section] = {
    "dateline": Section(
        "Example: across the dateline", "A patch that crosses 180° (dotted): it is one field without a seam"
    ),
    "profiles": Section(
        "Example: most profiles",
        "The patch with the most accepted profiles at this date, the one across the dateline left aside",
    ),
    "coast": Section("Example: most land", "The patch with the most land, likewise"),
    "typical": Section("Example: typical", "A patch with a middling number of profiles"),
}
_DOTS = (
    "Above the surface fields, below the target. Dots are pixels with a profile, in the colour of what it measured at "
    "that depth; crosses have no value there. Sea without a value, such as below the sea floor, is pale."
)


def render_patches(
    figures: PatchFigures, pictures: Mapping[str, Picture], examples: Mapping[str, Picture], notes: Sequence[str]
) -> str:
    """The page, as HTML that refers to nothing outside itself; pictures by name."""
    links = "".join(f'<a href="#{name}">{escape(section.heading.lower())}</a>' for name, section in SECTIONS.items())
    body = [
        "<h1>Patches</h1>",
        f"<p><code>{escape(figures.index)}</code></p>",
        f'<nav>{links}<a href="#examples">examples</a></nav>',
        _tiles(figures),
    ]
    if notes:
        body.append("<h2>Notes</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>")
    more = {"split": _sides(figures), "support": _support(figures), "land": _land(figures)}
    for name, section in SECTIONS.items():
        body.append(f'<h2 id="{name}">{escape(section.heading)}</h2>')
        body.append(f"<p>{escape(section.caption)}.</p>" if name in pictures else f"<p>{escape(section.nothing)}</p>")
        if name in pictures:
            body.append(figure(pictures[name]))
        body.append(more.get(name, ""))
    body.append(f'<h2 id="examples">Examples</h2><p>{escape(_DOTS if examples else "None: see the notes.")}</p>')
    for name, picture in examples.items():
        section = EXAMPLES[name]
        body += [f"<h2>{escape(section.heading)}</h2><p>{escape(section.caption)}.</p>", figure(picture)]
    return document("Patches", body)


def _tiles(figures: PatchFigures) -> str:
    patches, rows, grid = figures.patches, figures.all_rows, figures.patches.grid
    mean, most = figures.overlap_spread
    used = int(figures.used.sum())
    sides: dict[str, int] = {side: int(figures.members[side].sum()) for side in SIDES}
    row_sides: dict[str, int] = {side: figures.support[side].rows for side in SIDES}
    entries = [
        ("patches", f"{used:,}", "" if figures.by_date else _listed(sides)),
        ("rows", f"{rows.rows:,}", _listed(row_sides)),
        (
            "dates",
            f"{len(figures.dates):,} {figures.frequency}",
            f"{figures.dates[0]} to {figures.dates[-1]}" if figures.dates else "none",
        ),
        (
            "tiling",
            f"{patches.tile} pixels, {patches.tile * grid.dx:g}°",
            f"{patches.stride} pixels apart, {'across' if patches.periodic else 'not across'} the dateline",
        ),
        (
            "profiles per row",
            f"{rows.mean:.1f}" if rows.rows else "none",
            f"{_window(figures)}; {_empty(figures)}",
        ),
        ("ocean covered", percent(figures.coverage["all"]), "of its area, by patches that are used"),
        ("patches on a pixel", f"{mean:.1f}", f"{most} at most, of pixels that are in one"),
        ("split", "by date" if figures.by_date else f"by {figures.method}", _shared(figures)),
    ]
    if figures.shared.any() and not figures.by_date:
        entries[-1] = ("split", flag(f"by {figures.method}", True), _shared(figures))
    return tiles(entries)


def _window(figures: PatchFigures) -> str:
    return "on its day" if figures.days == 1 else f"within the {figures.days} days around its date"


def _empty(figures: PatchFigures) -> str:
    return f"{figures.all_rows.empty:,} rows without one" if figures.keep_empty else "rows without one left out"


def _shared(figures: PatchFigures) -> str:
    if figures.by_date:
        return "each place is on every side"
    shared = percent(figures.coverage["shared"])
    return f"{shared} of the ocean is on two sides" if figures.shared.any() else "no pixel is on two sides"


def _sides(figures: PatchFigures) -> str:
    head = ("side", "patches", "of the ocean", "rows", "of those used", "without profiles", "profiles of all rows")
    whole = max(figures.all_rows.rows, 1)
    lines = [
        (
            _CALLED.get(phase, phase),
            f"{number:,}",
            percent(figures.coverage[phase]) if phase in figures.coverage else "",
            f"{one.rows:,}",
            percent(one.rows / whole) if phase in SIDES else "",
            f"{one.empty:,}",
            f"{one.profiles:,}",
        )
        for phase, number, one in figures.sides
    ]
    return table(head, lines, text=1)


_CALLED = {GUARD: "guard: left out between the sides", INVALID: "invalid: too much land"}


def _support(figures: PatchFigures) -> str:
    head = ("accepted profiles per row", "rows", "mean", *(f"{share} %" for share in SHARES), "maximum")
    lines = []
    for phase, one in (*figures.support.items(), ("train, val and test", figures.all_rows)):
        if one.rows:
            told = one.summary()["profiles_per_row"]
            lines.append(
                (
                    phase,
                    f"{one.rows:,}",
                    f"{one.mean:.2f}",
                    *(f"{told[f'p{share}']:,}" for share in SHARES),
                    f"{told['maximum']:,}",
                )
            )
    return table(head, lines, text=1) if lines else ""


def _land(figures: PatchFigures) -> str:
    head = ("of the patches that are used", "mean", "minimum", *(f"{share} %" for share in SHARES), "maximum")
    values = {
        "land": figures.table["land_fraction"].to_numpy()[figures.used],
        "invalid": figures.table["invalid_fraction"].to_numpy()[figures.used],
    }
    if figures.valid is not None:
        values[f"value of {figures.valid.variable} at its first level"] = figures.valid.shares[:, 0]
    lines = [
        (name, *("" if number is None else percent(number) for number in spread(some).values()))
        for name, some in values.items()
    ]
    forced = _listed(figures.forced)
    return table(head, lines, text=1) + (f"<p>Kept for a region: {escape(forced)}.</p>" if figures.forced else "")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
