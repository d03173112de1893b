"""WMO platform numbers, as different data centres write them."""

from __future__ import annotations

import re

_LETTER = re.compile(r"^[A-Za-z](?=\d{5,7}$)")


def plain_platform(number: str) -> str:
    """The number without blanks, and without the letter that some data centres put before that of a float.

    ``Q6901929`` of EN4 is ``6901929``.
    """
    return _LETTER.sub("", number.strip())
