"""HTTP from this machine: whom it trusts, and a client behind a SOCKS proxy for what only the host reaches."""

from __future__ import annotations

import ssl
from typing import Any

import httpx
import socksio


def trusted() -> ssl.SSLContext:
    """Trusts the public authorities, and those of the system's store or of SSL_CERT_FILE: a company's own is there."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return not_strict(context)


def not_strict(context: ssl.SSLContext) -> ssl.SSLContext:
    """It, and it takes an authority whose certificate names no use of its key, as curl does: Python 3.13 would not."""
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


class _BySocks(httpx.HTTPTransport):
    """What a SOCKS proxy does without a word is a lost connection: httpx has it as an error of another family."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return super().handle_request(request)
        except socksio.ProtocolError as e:  # it closed before its answer, or is none
            raise httpx.ConnectError(f"the way through the host's SSH: {e}", request=request) from e


def through(socks: int | None, verify: ssl.SSLContext | bool = True, **settings: Any) -> httpx.Client:
    """A client behind the SOCKS proxy at this local port; None: without a proxy. settings: httpx.Client's own."""
    if socks is None:
        return httpx.Client(verify=verify, trust_env=False, **settings)
    proxy = httpx.Proxy(f"socks5://127.0.0.1:{socks}")
    return httpx.Client(transport=_BySocks(verify=verify, trust_env=False, proxy=proxy), trust_env=False, **settings)


def in_url(address: str) -> str:
    """A host's name or address as a URL has it: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address
