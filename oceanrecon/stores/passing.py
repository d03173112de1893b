"""Which errors pass by themselves; see ``oceanrecon.access.passing``."""

from oceanrecon.access.passing import is_passing

__all__ = ["is_passing"]
