"""Keeps names and passwords out of everything that is said: logs, reports, errors."""

from __future__ import annotations

import base64
import configparser
import json
import netrc
import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, quote_plus

#: Environment variables with credentials of the services.
ENVIRONMENT = (
    "AVISO_USERNAME",
    "AVISO_PASSWORD",
    "COPERNICUSMARINE_SERVICE_USERNAME",
    "COPERNICUSMARINE_SERVICE_PASSWORD",
)
_HIDDEN = "***"
#: To the last @: a password may have one.
_USER_IN_URL = re.compile(r"(?<=://)[^/\s]*@")
#: As in addresses, settings, JSON and Python: the word may be the end of another, and both it and the value in quotes.
_NAMED = re.compile(
    r"(?i)((?:(?<![a-z])pass|password|passwd|pwd|token|secret|authorization|x-cop-user)\\?[\"']?\s*[=:]\s*)"
    r"(?:\\[\"'].*?\\[\"']|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[\"']?(?:Basic |Bearer )?[^\s&'\",;]+)"
)


class Redactor:
    """Hides secrets in texts, in all the ways in which programs write them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Of some secrets; names and passwords in addresses are hidden whatever they are."""
        forms: set[str] = set()
        for secret in secrets:
            if secret:
                plain = secret.encode()
                forms |= {
                    secret,
                    quote(secret, safe=""),
                    quote_plus(secret),
                    repr(secret)[1:-1],
                    json.dumps(secret)[1:-1],
                }
                forms.add(base64.b64encode(plain).decode())
        # the longest first: one secret may be a part of another
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    @classmethod
    def of_this_user(cls) -> Redactor:
        """Knows what the environment, ``~/.netrc`` and the stored login of Copernicus Marine have."""
        secrets = [os.environ.get(name, "") for name in ENVIRONMENT] + _stored_login()
        for _, login, password in netrc_entries().values():
            secrets += [login, password]
        return cls(secrets)

    def __call__(self, text: str) -> str:
        """The text without them."""
        for form in self._forms:
            text = text.replace(form, _HIDDEN)
        return _NAMED.sub(rf"\1{_HIDDEN}", _USER_IN_URL.sub(f"{_HIDDEN}@", text))


def netrc_entries() -> dict[str, tuple[str, str, str]]:
    """Host -> host, name, password of the user's netrc file; none where there is no such file, or it is damaged."""
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        hosts = netrc.netrc(path).hosts
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return {}
    return {host: (host, login or "", password or "") for host, (login, _, password) in hosts.items()}


def _stored_login() -> list[str]:
    """Name and password that ``copernicusmarine login`` stored; none where there is no such file, or it is damaged."""
    folder = Path(os.environ.get("COPERNICUSMARINE_CREDENTIALS_DIRECTORY") or Path.home())
    parser = configparser.RawConfigParser()
    try:
        content = (folder / ".copernicusmarine" / ".copernicusmarine-credentials").read_bytes()
        parser.read_string(base64.standard_b64decode(content).decode("utf-8"))
    except (OSError, ValueError, configparser.Error):
        return []
    return [value for section in parser.sections() for _, value in parser.items(section)]
