"""HTTP from this machine: whom it trusts, and a client behind a SOCKS proxy for what only the host reaches."""

from __future__ import annotations

import ssl
from typing import Any

import httpx


def trusted() -> ssl.SSLContext:
    """Trusts the public authorities, and those of the system's store or of SSL_CERT_FILE: a company's own is there."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return not_strict(context)


def not_strict(context: ssl.SSLContext) -> ssl.SSLContext:
    """It, and it takes an authority whose certificate names no use of its key, as curl does: Python 3.13 would not."""
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def through(socks: int | None, **settings: Any) -> httpx.Client:
    """A client behind the SOCKS proxy at this local port; None: without a proxy. settings: httpx.Client's own."""
    address = None if socks is None else f"socks5://127.0.0.1:{socks}"
    try:
        return httpx.Client(proxy=address, trust_env=False, **settings)
    except TypeError:  # httpx before 0.26, on Python 3.7
        return httpx.Client(proxies=address, trust_env=False, **settings)  # pyright: ignore[reportCallIssue]


def in_url(address: str) -> str:
    """A host's name or address as a URL has it: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address
