"""The chunking benchmark as pictures and as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape

from matplotlib.figure import Figure

from oceanrecon.pipeline.chunking.recommend import RULE
from oceanrecon.pipeline.chunking.run import PAGE, PICTURES, ChunksResult
from oceanrecon.plots.chunking_figures import draw_compressors, draw_layouts, draw_sides
from oceanrecon.plots.chunking_tables import HEAD, measured_rows, place_title, places_of, recommended_rows
from oceanrecon.plots.maps import png_bytes
from oceanrecon.plots.page import Picture, document, figure, table, tiles
from oceanrecon.stores.files import Root

_CAPTIONS: Mapping[str, tuple[str, str]] = {
    "layouts": (
        "All layouts",
        "A row for each: what is stored, what writing costs, and the three reads at each place. On blue is what an "
        "export writes, on yellow what is recommended to somebody",
    ),
    "sides": (
        "The side of a chunk", "The three reads by the side of a chunk, everything else as an export writes it, which "
        "is on blue",
    ),
    "compressors": (
        "Compressors", "Bytes against the time to read a patch, in chunks as an export writes them, by our reader; in "
        "bold what it writes",
    ),
}  # fmt: skip


def draw_chunks(result: ChunksResult, on_done: Callable[[int, int, str], None] | None = None) -> str:
    """Draw a benchmark into its output; the path of its page.

    Args:
        result: of the benchmark.
        on_done: called with how many pictures are drawn, how many there are, and the last.

    Raises:
        OutputError: nothing can be written there.
    """
    measured = [one for one in result.results if one.done]
    drawings: Mapping[str, Callable[[], Figure | None]] = {
        "layouts": lambda: draw_layouts(measured, [one.case for one in result.recommendations]) if measured else None,
        "sides": lambda: draw_sides(measured) if measured else None,
        "compressors": lambda: draw_compressors(measured) if measured else None,
    }
    assert tuple(f"{name}.png" for name in drawings) == PICTURES
    root = Root(result.output)
    pictures = {}
    for number, (name, draw) in enumerate(drawings.items(), start=1):
        root.remove(f"{name}.png")  # of a run with other layouts
        drawn = draw()
        if drawn is not None:
            pictures[name] = Picture(f"{name}.png", _CAPTIONS[name][1], png_bytes(drawn))
            root.write(pictures[name].name, pictures[name].png)
        if on_done is not None:
            on_done(number, len(drawings), name)
    root.write(PAGE, _page(result, pictures).encode())
    root.clear_staging()
    return root.url_of(PAGE)


def _page(result: ChunksResult, pictures: Mapping[str, Picture]) -> str:
    dates, levels, height, width = result.shape
    failed = sum(not one.done for one in result.results)
    body = [
        "<h1>Chunks</h1>",
        f"<p><code>{escape(result.output)}</code></p>",
        tiles(
            [
                ("layouts", f"{len(result.results)}", f"{failed} failed, {len(result.skipped)} do not exist"),
                ("field", f"{height} x {width}", f"pixels, {levels} levels, {dates} dates"),
                ("places", f"{len(places_of(result))}", ", ".join(place.place for place in places_of(result))),
            ]
        ),
        f"<h2>Recommended</h2><p>{escape(RULE)}</p>",
        table(
            ("for", "values", "recommended", "in an export's formats", "what is shipped costs", "cheapest of all"),
            recommended_rows(result),
            text=6,
        ),
    ]
    for name, picture in pictures.items():
        heading, caption = _CAPTIONS[name]
        body += [f"<h2>{escape(heading)}</h2><p>{escape(caption)}.</p>", figure(picture)]
    for number, place in enumerate(places_of(result)):
        head = HEAD[place.near]
        body += [f"<h2>{escape(place_title(place))}</h2>", table(head, measured_rows(result, number), text=1)]
    body.append("<p>* what an export writes where nothing else is set.</p>")
    if result.skipped:
        rows = [(one.label, one.reason) for one in result.skipped]
        body += ["<h2>Left out</h2>", table(("layout", "why"), rows, text=2)]
    broken = [(one.case.label, one.message) for one in result.results if not one.done]
    if broken:
        body += ["<h2>Failed</h2>", table(("layout", "why"), broken, text=2)]
    return document("Chunks", body)
