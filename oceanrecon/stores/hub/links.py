"""Puts files into a package: hard links where possible, copies elsewhere, checksums of all; removes nothing.

A file that is to change gets its new content under a new name, which then takes the old one: whoever else holds a hard
link to the old content keeps it. The stores that are linked here are rewritten in the same way.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from oceanrecon.errors import OutputError
from oceanrecon.stores.files import STAGING, Root
from oceanrecon.stores.hub.facts import CHECKSUMS, GENERATED

FileMode = Literal["hardlink", "copy"]
IGNORE = ".gitignore"
#: First line of that file: marks a folder as a package, also one whose making was killed; no one else's begins so.
_MARK_LINE = b"# This folder is a dataset package written by oceanrecon.\n"
#: What a hub and git keep in a folder; never touched.
_TOLERATED = (STAGING, ".git", ".gitattributes", ".cache")
#: The file systems are different, know no hard links, forbid them for files of others, or the file has too many.
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
_PIECE = 1 << 20
_VERIFY = "run `oceanrecon verify` on its store first"


@dataclass(frozen=True)
class Placed:
    """A file of a package; ``path`` is relative to the package."""

    path: str
    bytes: int
    sha256: str
    #: shares its bytes on the disk with its source
    linked: bool = False


def tree(source: Root, folder: str, target: str) -> dict[str, str]:
    """Every file of ``source`` below ``folder``, keyed by its path in the package below ``target``.

    Raises:
        OutputError: there are none.
    """
    paths = source.list(folder)
    if not paths:
        raise OutputError(f"{source.url_of(folder)} has no files: nothing to package")
    return {f"{target}/{path.removeprefix(f'{folder}/')}": path for path in paths}


def claim(package: Root, files: Collection[str], trees: Iterable[str]) -> None:
    """Take a folder for a package and mark it as an unfinished one; nothing that a user may have put there is touched.

    Args:
        package: an empty or missing folder, or an earlier package. What git and the hub keep there may be there.
        files: paths of the data to come; those of texts and tables are known.
        trees: folders that hold nothing but these files, such as a zarr store.

    Raises:
        OutputError: it holds files of someone else, files that the package would no longer have, or texts and tables
            that were changed by hand.
    """
    there = [path for path in package.list() if path.split("/")[0] not in _TOLERATED]
    if not package.exists(IGNORE) or not package.read(IGNORE).startswith(_MARK_LINE):
        if there:
            raise OutputError(
                f"{package.url} has {there[0]} in it and is no package: choose another folder, or an empty one"
            )
        package.write(IGNORE, _MARK_LINE + f".cache/\n{STAGING}/\n".encode())
    inside, wanted = tuple(f"{folder}/" for folder in trees), {*files, *GENERATED}
    made = read_checksums(package) if package.exists(CHECKSUMS) else {}
    strays = [path for path in there if path not in wanted and (path.startswith(inside) or path in made)]
    if strays:
        raise OutputError(
            f"{package.url} has {len(strays)} file(s) that this package would not have, such as {strays[0]}: "
            "nothing is ever removed, so move them away, or choose another folder"
        )
    for path in there if made else []:
        if path in wanted and not path.startswith(inside) and _sha256(package, path) != made.get(path):
            raise OutputError(
                f"{package.url_of(path)} is not as the package was made: move it away, so that it is not overwritten, "
                "or choose another folder"
            )
    # Written last: a package without it is unfinished, and all that it should have is ours.
    package.remove(CHECKSUMS)
    package.clear_staging()


def place(
    source: Root,
    files: Mapping[str, str],
    package: Root,
    *,
    mode: FileMode = "hardlink",
    known: Mapping[str, tuple[int, str]] | None = None,
) -> Iterator[Placed]:
    """Put files into a package, one by one, in the order of their paths there.

    A file that is there already, the same one or one with the same bytes, stays. Where a hard link cannot be made
    (another disk, a URL), the file is copied.

    Args:
        source: where the files are.
        files: path in the package -> path in ``source``, as :func:`tree` gives them.
        package: where they go.
        mode: ``copy`` makes files that share nothing with their source.
        known: path in ``source`` -> bytes and sha256, where receipts tell them: every file is checked against them.

    Raises:
        OutputError: a file is missing, is not what its receipt says, or cannot be written.
    """
    touched: set[Path] = set()
    for path, rel in sorted(files.items()):
        size = source.size(rel)
        if size is None:
            raise OutputError(f"cannot package {source.url_of(rel)}: it does not exist")
        stated, sha256 = (known or {}).get(rel, (size, None))
        if stated != size:
            raise OutputError(f"{source.url_of(rel)} has {size:,} bytes and its receipt says {stated:,}: {_VERIFY}")
        if mode == "hardlink":
            found = _sha256(source, rel)
            if sha256 not in (None, found):
                raise OutputError(
                    f"{source.url_of(rel)} has the checksum {found}, its receipt says {sha256}: {_VERIFY}"
                )
            if _link(source, rel, package, path, touched):
                yield Placed(path, size, found, linked=True)
                continue
        yield Placed(path, size, _copy(source, rel, package, path, size, sha256))
    for folder in touched:
        _sync(folder)


def put(package: Root, files: Mapping[str, bytes]) -> list[Placed]:
    """Write files that are made for the package: path -> content."""
    for path, data in files.items():
        package.write(path, data)
    return [Placed(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in files.items()]


def read_checksums(package: Root) -> dict[str, str]:
    """Path -> sha256, as ``checksums.txt`` has them."""
    lines = package.read(CHECKSUMS).decode(errors="replace").splitlines()
    return {path: sha256 for sha256, _, path in (line.partition("  ") for line in lines)}


def write_checksums(package: Root, placed: Iterable[Placed]) -> None:
    """Write ``checksums.txt``, the last file of a package; ``sha256sum -c checksums.txt`` checks it."""
    lines = sorted((file.path, file.sha256) for file in placed)
    package.write(CHECKSUMS, "".join(f"{sha256}  {path}\n" for path, sha256 in lines).encode())
    package.clear_staging()


@contextmanager
def staged(package: Root, path: str) -> Iterator[Path]:
    """A local file to write ``path`` into: it gets its name when it is complete, or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    url, folder = package.url_of(path), package.local_path
    with _told(f"write {url}"), ExitStack() as stack:
        if folder is None:
            temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()), "file")
        else:
            temporary = Path(package.url_of(STAGING), uuid.uuid4().hex)
            temporary.parent.mkdir(parents=True, exist_ok=True)
            stack.callback(temporary.unlink, missing_ok=True)
        yield temporary
        if folder is None:
            package.upload(str(temporary), path)
            return
        _sync(temporary)
        Path(url).parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, url)
        _sync(Path(url).parent)


def file_sha256(file: BinaryIO) -> str:
    """The checksum of an open file, read in pieces."""
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


def _link(source: Root, rel: str, package: Root, path: str, touched: set[Path]) -> bool:
    """Make ``path`` a hard link; ``False`` where that is impossible."""
    if source.local_path is None or package.local_path is None:
        return False
    if _same_file(source, rel, package, path):
        return True
    target = Path(package.url_of(path))
    temporary = Path(package.url_of(STAGING), uuid.uuid4().hex)
    with _told(f"link {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.parent.mkdir(exist_ok=True)
        try:
            # A link to a symbolic link would point nowhere on another machine.
            os.link(os.path.realpath(source.url_of(rel)), temporary)
        except OSError as error:
            if error.errno in _NO_LINK:
                return False
            raise
        os.replace(temporary, target)
    touched.add(target.parent)
    return True


def _same_file(source: Root, rel: str, package: Root, path: str) -> bool:
    if source.local_path is None or package.local_path is None:
        return False
    target = Path(package.url_of(path))
    return target.exists() and not target.is_symlink() and target.samefile(source.url_of(rel))


def _copy(source: Root, rel: str, package: Root, path: str, size: int, expected: str | None) -> str:
    """Make ``path`` a file of its own with the bytes of the source, unless it is one already; its checksum."""
    if package.size(path) == size and not _same_file(source, rel, package, path):
        there = _sha256(package, path)
        if there == (expected or _sha256(source, rel)):
            return there
    with staged(package, path) as temporary:
        with source.open(rel) as original, open(temporary, "wb") as copy:
            shutil.copyfileobj(original, copy, _PIECE)
        with open(temporary, "rb") as copied:
            sha256 = file_sha256(copied)
        if expected not in (None, sha256):
            raise OutputError(f"{source.url_of(rel)} has the checksum {sha256}, its receipt says {expected}: {_VERIFY}")
    return sha256


def _sha256(root: Root, rel: str) -> str:
    with _told(f"read {root.url_of(rel)}"), root.open(rel) as file:
        return file_sha256(file)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except Exception as error:  # remote drivers raise classes of their own
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise OutputError(
            f"cannot {what}: {reason}; make room or choose another folder for the package, then run it again"
        ) from error
