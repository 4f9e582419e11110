"""HTTP to addresses that only the host reaches: a client behind a SOCKS proxy of this machine."""

from __future__ import annotations

from typing import Any

import httpx


def through(socks: int | None, **settings: Any) -> httpx.Client:
    """A client behind the SOCKS proxy at this local port; None: without a proxy. settings: httpx.Client's own."""
    address = None if socks is None else f"socks5://127.0.0.1:{socks}"
    try:
        return httpx.Client(proxy=address, trust_env=False, **settings)
    except TypeError:  # httpx before 0.26, on Python 3.7
        return httpx.Client(proxies=address, trust_env=False, **settings)  # pyright: ignore[reportCallIssue]
