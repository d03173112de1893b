"""Files of web servers: what the server says of one, and its content, continued where it was cut."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oceanrecon.errors import OceanreconError
from oceanrecon.pipeline.download.attempts import CutError, Manner
from oceanrecon.pipeline.download.remote import Remote

_PIECE = 1 << 18
_AGENT = {"User-Agent": "oceanrecon"}
#: Answers of servers that do not say what they would send.
_NO_HEAD = (405, 501)
_GONE = (404, 410)


class ChangedError(OceanreconError):
    """A file is not the one any more that was listed."""


@dataclass(frozen=True)
class Stated:
    """What a server says of a file."""

    size: int | None
    version: str


def ask(url: str, manner: Manner) -> Stated | None:
    """What a server says of a file; ``None``: it has none.

    Raises:
        OSError: it does not answer, or with an error.
    """

    def head() -> Stated | None:
        request = urllib.request.Request(url, method="HEAD", headers=_AGENT)
        try:
            with urllib.request.urlopen(request, timeout=manner.timeout) as answer:
                return Stated(_number(answer.headers.get("Content-Length")), _version(answer.headers))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _NO_HEAD:
                return Stated(None, "")
            if error.code in _GONE:
                return None
            raise

    return manner.retried(head)


def fetch(remote: Remote, part: Path, manner: Manner) -> None:
    """One try to bring the content of a file into ``part``, of which what is there already is kept.

    Raises:
        CutError: the connection ended early.
        ChangedError: the server has another content by now.
        OSError: it does not answer, or with an error.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    # of what content a part is, only a version tells
    have = part.stat().st_size if part.exists() and remote.version else 0
    if have and have == remote.size:
        return
    headers = dict(_AGENT)
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": remote.version}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(remote.url, headers=headers), timeout=manner.timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the part is longer than the file
            part.unlink()
            raise CutError("the part that was there is no part of it") from error
        raise
    with answer:
        if answer.status == 206 and _version(answer.headers) not in ("", remote.version):
            part.unlink()
            raise CutError("the part that was there is of another content")
        start, whole = _span(answer, have)
        if remote.size is not None and whole is not None and whole != remote.size:
            raise ChangedError("the source replaced it after it was listed: run the same command again")
        with open(part, "rb+" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            came = start + _copied(answer, file, manner)
    if whole is not None and came != whole:
        raise CutError(f"the connection ended after {came:,} of {whole:,} bytes")


def _copied(answer: Any, file: Any, manner: Manner) -> int:
    came = 0
    while True:
        manner.check()
        try:
            # what is there: to wait for a whole piece would keep a run that is stopped
            piece = answer.read1(_PIECE)
        except http.client.IncompleteRead as error:
            file.write(error.partial)
            raise CutError("the connection ended early") from error
        if not piece:
            return came
        file.write(piece)
        came += len(piece)


def _span(answer: Any, have: int) -> tuple[int, int | None]:
    """Where in the file an answer begins, and how long the file is."""
    if answer.status != 206:
        return 0, _number(answer.headers.get("Content-Length"))
    stated = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if stated is None or int(stated[1]) != have:
        raise CutError(f"the server answered with the range {answer.headers.get('Content-Range')!r} instead of {have}-")
    return have, None if stated[2] == "*" else int(stated[2])


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _version(headers: Any) -> str:
    """What may be given to a server as the content that a part is of."""
    etag = str(headers.get("ETag", ""))
    return etag if etag and not etag.startswith("W/") else str(headers.get("Last-Modified", ""))
