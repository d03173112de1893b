"""How a page comes about: its pictures are drawn one by one, and written beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from matplotlib.figure import Figure

from oceanrecon.plots.maps import png_bytes
from oceanrecon.plots.page import Picture
from oceanrecon.stores.files import Root

PAGE = "index.html"
#: Caption and drawing by name, in the order of the page.
Drawings = Mapping[str, tuple[str, Callable[[], Figure]]]
#: Hears how many pictures are drawn, how many there are, and the last.
OnDone = Callable[[int, int, str], None]


def drawn(drawings: Drawings, on_done: OnDone | None = None) -> dict[str, Picture]:
    """The pictures, by name."""
    pictures: dict[str, Picture] = {}
    for name, (caption, draw) in drawings.items():
        pictures[name] = Picture(f"{name}.png", caption, png_bytes(draw()))
        if on_done is not None:
            on_done(len(pictures), len(drawings), name)
    return pictures


def write_page(root: Root, pictures: Iterable[Picture], page: str) -> str:
    """Write pictures and then the page, which needs no other file; its path.

    Raises:
        OutputError: nothing can be written there.
    """
    for picture in pictures:
        root.write(picture.name, picture.png)
    root.write(PAGE, page.encode())
    root.clear_staging()
    return root.url_of(PAGE)
