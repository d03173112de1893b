"""The page about a profile store: its numbers and pictures, in one HTML file that needs no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from oceanrecon.pipeline.profiles.figures import SHALLOW, SHARES, ProfileFigures
from oceanrecon.pipeline.profiles.schema import STATUS
from oceanrecon.plots.page import Picture, document, figure, flag, table, tiles
from oceanrecon.plots.profiles_figures import CHECKS

_EMPTY = "The store has no profiles."


@dataclass(frozen=True)
class Section:
    """A picture on the page: its heading, what it shows, and what is said where there is nothing to show."""

    heading: str
    caption: str
    nothing: str


#: By file name without ``.png``, in the order of the page.
SECTIONS: Mapping[str, Section] = {
    "map": Section("Where", "Map of the profiles: a dot each while they are few, else how many are in a cell", _EMPTY),
    "times": Section("When", "Profiles by date and source", _EMPTY),
    "levels": Section("How deep", "Profiles with a value, by depth", _EMPTY),
    "funnel": Section(
        "What became of the profiles", "Profiles left after each check, by source", "No profile was read."
    ),
    "temperature_salinity": Section(
        "Temperature and salinity",
        "Potential temperature against practical salinity: values per cell, and lines of potential density "
        "(σ₀ by TEOS-10, as of sea water of reference composition)",
        "No profile has a potential temperature and a salinity at the same level.",
    ),
    "differences": Section(
        "Reanalysis minus profile",
        "Reanalysis minus profile by depth: the median and percentiles of the differences, and how many there are",
        "No profile has a value where the store has one of the reanalysis.",
    ),
}
_NO_REANALYSIS = "The store has no reanalysis beside its profiles: enrich them with GLORYS to compare the two."


def render_profiles(figures: ProfileFigures, pictures: Mapping[str, Picture]) -> str:
    """The page, as HTML that refers to nothing outside itself; ``pictures`` by the names of ``SECTIONS``."""
    links = "".join(f'<a href="#{name}">{escape(section.heading.lower())}</a>' for name, section in SECTIONS.items())
    body = [
        "<h1>Ocean profiles</h1>",
        f"<p><code>{escape(figures.store)}</code></p>",
        f"<nav>{links}</nav>",
        _tiles(figures),
    ]
    more = {"funnel": _rejected(figures), "differences": _compared(figures)}
    for name, section in SECTIONS.items():
        body.append(f'<h2 id="{name}">{escape(section.heading)}</h2>')
        if name in pictures:
            body += [f"<p>{escape(section.caption)}.</p>", figure(pictures[name])]
        else:
            missing = name == "differences" and not figures.differences
            body.append(f"<p>{escape(_NO_REANALYSIS if missing else section.nothing)}</p>")
        body.append(more.get(name, ""))
    body += [_matches(figures), _modes(figures), _problems(figures), _levels(figures)]
    return document("Ocean profiles", body)


def _tiles(figures: ProfileFigures) -> str:
    read = sum(figures.funnel()[0][1].values())
    rejected = read - figures.profiles
    failures = len(figures.failures)
    entries = [
        ("profiles", f"{figures.profiles:,}", _listed(figures.sources)),
        ("dates", figures.span, f"{len(figures.days):,} days with profiles"),
        ("area", *figures.area),
        ("platforms", f"{figures.platforms_in_all:,}", _listed(figures.platforms)),
        ("temperature", *figures.reach("temp")),
        ("salinity", *figures.reach("psal")),
        ("quality", str(figures.settings.get("quality", "")), f"sampling {figures.settings.get('sampling', '')}"),
        ("left out", f"{rejected:,}", f"{_percent(rejected, read)} of {read:,} that were read"),
        ("failures", flag(f"{failures:,}", failures > 0), "see below" if failures else "none"),
    ]
    return tiles(entries)


def _rejected(figures: ProfileFigures) -> str:
    stages = figures.funnel()
    sources = list(stages[0][1])
    rows = [
        (
            CHECKS.get(name, name.replace("_", " ")),
            name,
            *(f"{counts[source]:,}" for source in sources),
            f"{sum(counts.values()):,}",
            f"{sum(before.values()) - sum(counts.values()):,}",
        )
        for (name, counts), (_, before) in zip(stages, [stages[0], *stages], strict=False)
    ]
    head = ("check", "reason", *(name or "source not recorded" for name in sources), "left", "rejected")
    return table(head, rows, text=2)


def _compared(figures: ProfileFigures) -> str:
    if not figures.surface:
        return ""
    head = ("field minus profile", "units", "pairs", "mean", "rms", *(f"{share:g} %" for share in SHARES))
    rows = [
        (difference.name, difference.units, f"{difference.number[0]:,}", *difference.texts(0))
        for difference in figures.surface
    ]
    return (
        f"<p>At the shallowest level of a profile that has a value, where it is within the upper {SHALLOW:g} m "
        "(temperatures of the analysed surface are compared with in-situ ones, both in °C):</p>"
        + table(head, rows, text=2)
    )


def _matches(figures: ProfileFigures) -> str:
    if not figures.matches:
        return ""
    head = ("product", *(name.replace("_", " ") for name in STATUS))
    rows = [(product, *(f"{count:,}" for count in counts)) for product, counts in figures.matches.items()]
    return "<h2>Matches in time</h2><p>Profiles by how near in time the file of a product is.</p>" + table(
        head, rows, text=1
    )


def _modes(figures: ProfileFigures) -> str:
    if not figures.profiles:
        return ""
    modes = sorted({mode for counts in figures.modes.values() for mode in counts})
    names = {"D": "D delayed", "A": "A adjusted", "R": "R real time", "": "no data mode"}
    head = ("source", "profiles", "platforms", *(names.get(mode, mode) for mode in modes))
    rows = [
        (
            source,
            f"{figures.sources[source]:,}",
            f"{figures.platforms[source]:,}",
            *(f"{counts.get(mode, 0):,}" for mode in modes),
        )
        for source, counts in figures.modes.items()
    ]
    nameless = f"<p>{figures.nameless:,} profiles have no platform number.</p>" if figures.nameless else ""
    return "<h2>Sources</h2>" + table(head, rows, text=1) + nameless


def _levels(figures: ProfileFigures) -> str:
    differences = figures.differences
    head = ["depth, m", "temperature", "potential", "salinity"]
    for difference in differences:
        head += [f"{difference.field}: pairs", f"median, {difference.units}", f"{SHARES[0]:g} %", f"{SHARES[-1]:g} %"]
    rows = []
    for row, depth in enumerate(figures.depth):
        cells = [f"{depth:,.6g}", *(f"{figures.values[name][row]:,}" for name in ("temp", "potm", "psal"))]
        for difference in differences:
            *_, low, _, median, _, high = difference.texts(row)
            cells += [f"{difference.number[row]:,}", median, low, high]
        rows.append(cells)
    steps = " and ".join(f"{difference.step:g} {difference.units}" for difference in differences)
    rounded = f" Differences are rounded to {steps} before percentiles are taken." if differences else ""
    return (
        f'<h2 id="table">Levels</h2><p>Profiles with a value, and reanalysis minus profile.{rounded}</p>'
        + table(head, rows, text=0)
    )  # fmt: skip


def _problems(figures: ProfileFigures) -> str:
    parts = []
    if figures.notes:
        parts.append("<h2>Notes</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in figures.notes) + "</ul>")
    if figures.failures:
        rows = [tuple(failure[key] for key in ("kind", "name", "error", "message")) for failure in figures.failures]
        parts.append(
            "<h2>Failures</h2><p>A rerun with --resume tries them again.</p>"
            + table(("what", "which", "error", "message"), rows, text=4)
        )
    return "".join(parts)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _percent(part: int, whole: int) -> str:
    return f"{100.0 * part / whole:.1f} %" if whole else "none"
