"""Keeps names and passwords out of everything that is said: logs, reports, errors."""

from __future__ import annotations

import base64
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
_USER_IN_URL = re.compile(r"(?<=://)[^/\s@'\"]*@")
_IN_QUERY = re.compile(
    r"(?i)\b((?:pass(?:word|wd)?|pwd|token|secret|authorization)\s*[=:]\s*)(?:Basic |Bearer )?[^\s&'\",;]+"
)


class Redactor:
    """Hides secrets in texts, in all the ways in which programs write them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Of some secrets; names and passwords in addresses are hidden whatever they are."""
        forms: set[str] = set()
        for secret in secrets:
            if secret:
                plain = secret.encode()
                forms |= {secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]}
                forms.add(base64.b64encode(plain).decode())
        # the longest first: one secret may be a part of another
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    @classmethod
    def of_this_user(cls) -> Redactor:
        """Knows what the environment and ``~/.netrc`` have."""
        secrets = [os.environ.get(name, "") for name in ENVIRONMENT]
        for _, login, password in netrc_entries().values():
            secrets += [login, password]
        return cls(secrets)

    def __call__(self, text: str) -> str:
        """The text without them."""
        for form in self._forms:
            text = text.replace(form, _HIDDEN)
        return _IN_QUERY.sub(rf"\1{_HIDDEN}", _USER_IN_URL.sub(f"{_HIDDEN}@", text))


def netrc_entries() -> dict[str, tuple[str, str, str]]:
    """Host -> host, name, password of the user's netrc file; none where there is no such file, or it is damaged."""
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        hosts = netrc.netrc(path).hosts
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return {}
    return {host: (host, login or "", password or "") for host, (login, _, password) in hosts.items()}
