"""The separate package that learns: needs the extra ``train`` (``pip install 'oceanrecon[train]'``).

Each name is imported on first use: what reads samples needs no model.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from oceanrecon.errors import MissingExtraError, how_to_install

if TYPE_CHECKING:
    from oceanrecon.training.inference.reconstruct import reconstruct
    from oceanrecon.training.model.stored import load_model

__all__ = ["load_model", "reconstruct"]

_HOMES = {"load_model": "model.stored", "reconstruct": "inference.reconstruct"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: it has {', '.join(__all__)}")
    try:
        home = import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("lightning", "torch"):
            raise
        raise MissingExtraError(f"{name} needs {package}, which is not installed: {how_to_install('train')}") from error
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted(__all__)
