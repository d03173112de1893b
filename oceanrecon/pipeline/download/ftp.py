"""Files of an FTP server: encrypted unless the settings say otherwise, listed by folder, continued where it was cut."""

from __future__ import annotations

import ftplib
import os
import re
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from oceanrecon.download_config import AVISO, SwotSettings
from oceanrecon.errors import ConfigError, InsecureWarning
from oceanrecon.pipeline.download.attempts import CutError, Manner
from oceanrecon.pipeline.download.redact import netrc_entries
from oceanrecon.pipeline.download.remote import Remote

_PIECE = 1 << 18
#: A line of LIST as Unix servers write it: type, size, name.
_UNIX = re.compile(r"([-dl])\S{9}\S*\s+\d+\s+\S+\s+\S+\s+(\d+)\s+\w{3}\s+\d+\s+[\d:]+\s+(.+)")
#: Answers of a server that does not know a command.
_UNKNOWN = ("500", "501", "502", "504")


@dataclass(frozen=True)
class Entry:
    """What is in a folder of the server."""

    name: str
    is_folder: bool
    size: int | None
    #: time of modification; empty: the server does not say it exactly
    modified: str


class _Encrypted(ftplib.FTP_TLS):
    """Continues the session of the commands where data are sent, which many servers insist on."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[Any, int | None]:
        # the parent would begin another session
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        control: Any = self.sock
        return self.context.wrap_socket(connection, server_hostname=self.host, session=control.session), size


class Server:
    """Connections to an FTP server, used by one thread each, and used again."""

    def __init__(self, settings: SwotSettings, manner: Manner) -> None:
        """Of a server; nothing is asked yet."""
        self._settings, self._manner = settings, manner
        self._free: SimpleQueue[ftplib.FTP] = SimpleQueue()
        if settings.unencrypted:
            warnings.warn(
                f"the password of {settings.host} is sent as plain text: leave out `sources.l3_swot.unencrypted` where "
                "the server knows TLS",
                InsecureWarning,
                stacklevel=2,
            )

    def close(self) -> None:
        """Leave the server."""
        with suppress(Empty):
            while True:
                self._free.get_nowait().close()

    def entries(self, folder: str) -> list[Entry]:
        """What is in a folder, by name.

        Raises:
            OSError: it cannot be listed.
            ConfigError: there are no credentials, or the server takes them unencrypted only.
        """

        def listed() -> list[Entry]:
            with self._connection() as ftp:
                try:
                    return sorted(_of_facts(ftp, folder), key=lambda entry: entry.name)
                except ftplib.error_perm as error:
                    if not str(error).startswith(_UNKNOWN):
                        raise
                lines: list[str] = []
                ftp.retrlines(f"LIST {folder}", lines.append)
                return sorted(_of_lines(lines), key=lambda entry: entry.name)

        return self._manner.retried(listed)

    def modified(self, path: str) -> str:
        """Time of modification of a file, empty where the server does not say it.

        Raises:
            OSError: it does not answer.
        """

        def asked() -> str:
            with self._connection() as ftp:
                try:
                    return ftp.voidcmd(f"MDTM {path}").partition(" ")[2].strip()
                except ftplib.error_perm:
                    return ""

        return self._manner.retried(asked)

    def fetch(self, remote: Remote, part: Path) -> None:
        """One try to bring the content of a file into ``part``, of which what is there already is kept.

        Raises:
            CutError: the connection ended early.
            OSError: it cannot be fetched.
        """
        part.parent.mkdir(parents=True, exist_ok=True)
        # of what content a part is, only a version tells
        have = part.stat().st_size if part.exists() and remote.size is not None and remote.version else 0
        if have and have == remote.size:
            return
        with self._connection() as ftp, open(part, "rb+" if have else "wb") as file:
            file.seek(have)

            def keep(piece: bytes) -> None:
                self._manner.check()
                file.write(piece)

            ftp.voidcmd("TYPE I")
            ftp.retrbinary(f"RETR {remote.url}", keep, _PIECE, rest=have or None)
            came = file.tell()
        if remote.size is not None and came < remote.size:
            raise CutError(f"the connection ended after {came:,} of {remote.size:,} bytes")

    @contextmanager
    def _connection(self) -> Iterator[ftplib.FTP]:
        try:
            ftp = self._free_one() or self._connect()
        except EOFError as error:
            raise CutError("the server closed the connection while it was made") from error
        try:
            yield ftp
        except ftplib.error_perm:  # it answered: the connection is sound
            self._free.put(ftp)
            raise
        except EOFError as error:
            ftp.close()
            raise CutError("the server closed the connection") from error
        except BaseException:
            ftp.close()
            raise
        self._free.put(ftp)

    def _free_one(self) -> ftplib.FTP | None:
        """A connection that is used again; those that the server closed meanwhile are forgotten."""
        while True:
            try:
                ftp = self._free.get_nowait()
            except Empty:
                return None
            try:
                ftp.voidcmd("NOOP")
            except ftplib.all_errors:
                ftp.close()
            else:
                return ftp

    def _connect(self) -> ftplib.FTP:
        settings, timeout = self._settings, self._manner.timeout
        name, password = credentials(settings.host)
        if settings.unencrypted:
            ftp = ftplib.FTP(timeout=timeout)
            ftp.connect(settings.host, settings.port)
        else:
            encrypted = _Encrypted(timeout=timeout, context=ssl.create_default_context())
            ftp = encrypted
            ftp.connect(settings.host, settings.port)
            try:
                encrypted.auth()
            except ftplib.error_perm:
                ftp.close()
                raise ConfigError(
                    f"{settings.host} knows no TLS: the password would be sent as plain text, which only "
                    "`sources.l3_swot.unencrypted: true` allows"
                ) from None
        try:
            ftp.login(name, password)
            if isinstance(ftp, _Encrypted):
                ftp.prot_p()
        except ftplib.error_perm as error:
            ftp.close()
            raise ConfigError(
                f"{settings.host} refuses the credentials ({error}): correct {_places(settings.host)}"
            ) from None
        except BaseException:
            ftp.close()
            raise
        return ftp


def credentials(host: str) -> tuple[str, str]:
    """Name and password: of the environment, which has those of AVISO, or of the netrc file.

    Raises:
        ConfigError: there are none; says where they belong.
    """
    if host == AVISO:
        name, password = os.environ.get("AVISO_USERNAME", ""), os.environ.get("AVISO_PASSWORD", "")
        if name and password:
            return name, password
    _, name, password = netrc_entries().get(host, ("", "", ""))
    if not name or not password:
        raise ConfigError(
            f"no credentials for {host}: set {_places(host)}, as `machine {host} login NAME password PASSWORD` "
            "(mode 600)"
        )
    return name, password


def _places(host: str) -> str:
    """Where the credentials of a server belong."""
    line = f"the line of machine {host} in ~/.netrc"
    return f"AVISO_USERNAME and AVISO_PASSWORD, or {line}" if host == AVISO else line


def _of_facts(ftp: ftplib.FTP, folder: str) -> Iterator[Entry]:
    for name, facts in ftp.mlsd(folder, ["type", "size", "modify"]):
        kind = facts.get("type", "").lower()
        if kind in ("dir", "file"):
            size = facts.get("size", "")
            yield Entry(
                name.rpartition("/")[2], kind == "dir", int(size) if size.isdigit() else None, facts.get("modify", "")
            )


def _of_lines(lines: list[str]) -> Iterator[Entry]:
    for line in lines:
        found = _UNIX.fullmatch(line)
        if found is None or found[3] in (".", ".."):
            continue
        name = found[3].partition(" -> ")[0] if found[1] == "l" else found[3]
        # a link may be one to a folder; how a time is written changes with its age, so that it tells no versions apart
        yield Entry(name, found[1] in "dl", int(found[2]), "")
