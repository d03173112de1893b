"""Whose web pages may read a dashboard."""

from __future__ import annotations

import socket
from typing import Any

import dask

from oceanrecon.service.clusters.security import beyond_loopback

_ORIGINS = "distributed.scheduler.dashboard.bokeh-application.allow_websocket_origin"


def settled(address: str) -> str:
    """``HOST:PORT`` of a dashboard, with a port that is free now in place of 0."""
    host, _, port = address.rpartition(":")
    if port != "0":
        return address
    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError:  # whoever listens there says what is wrong
            return address
        return f"{host}:{probe.getsockname()[1]}"


def origins(address: str) -> dict[str, Any]:
    """Dask's setting of whose web pages may read a dashboard at ``HOST:PORT``: its own.

    Dask's default is every page, so that any site that a user has open would read what the dashboard shows: a
    browser does not keep a page from connecting to its own machine. What is set in dask's configuration, such as the
    name of a proxy, is allowed too. Where the dashboard is open to others in any case, nothing is changed.
    """
    host, _, port = address.rpartition(":")
    if beyond_loopback(host):
        return {}
    stated = [name for name in dask.config.get(_ORIGINS) if name != "*"]
    own = [f"{name}:{port}" for name in (host, "127.0.0.1", "localhost") if ":" not in name]
    return {_ORIGINS: list(dict.fromkeys([*own, *stated]))}
