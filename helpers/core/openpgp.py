"""OpenPGP keys: the fingerprint of a public key, without gpg, which neither end need have. After RFC 4880."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Iterator

_PUBLIC_KEY = 6  # the packet's tag


def fingerprints(key: bytes) -> list[str]:
    """The fingerprints of the primary keys in a key file, armored or not: 40 hexadecimal digits each.

    ValueError when it holds no key of version 4, or is no key file.
    """
    found = [_fingerprint(body) for tag, body in _packets(_bytes(key)) if tag == _PUBLIC_KEY]
    if not found:
        raise ValueError("there is no public key in it")
    return found


def _bytes(key: bytes) -> bytes:
    """Without the armor. Of several armored blocks all."""
    blocks = re.findall(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----(.*?)-----END", key, re.S)
    if not blocks:
        return key
    return b"".join(base64.b64decode(_body(block)) for block in blocks)


def _body(block: bytes) -> bytes:
    """Behind the headers' blank line, before the checksum."""
    text = block.replace(b"\r", b"").partition(b"\n\n")[2]
    return re.split(rb"\n=", text)[0]


def _fingerprint(body: bytes) -> str:
    if body[:1] != b"\x04":
        raise ValueError("a key of another version than 4")
    return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper()


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, body) of each packet."""
    at = 0
    while at < len(data):
        head = data[at]
        if not head & 0x80:
            raise ValueError("it is no OpenPGP key")
        tag, at, size = (_new if head & 0x40 else _old)(data, at)
        if size < 0 or at + size > len(data):
            raise ValueError("it is cut off")
        yield tag, data[at : at + size]
        at += size


def _old(data: bytes, at: int) -> tuple[int, int, int]:
    """(tag, where the body begins, its length) of a packet with the old kind of head."""
    width = 1 << (data[at] & 3)
    if width == 8:
        raise ValueError("a packet without a length")
    return (data[at] >> 2) & 15, at + 1 + width, int.from_bytes(data[at + 1 : at + 1 + width], "big")


def _new(data: bytes, at: int) -> tuple[int, int, int]:
    """The same with the new kind of head."""
    tag, first = data[at] & 63, data[at + 1] if at + 1 < len(data) else 0
    if first < 192:
        return tag, at + 2, first
    if first < 224:
        return tag, at + 3, ((first - 192) << 8) + int.from_bytes(data[at + 2 : at + 3], "big") + 192
    if first == 255:
        return tag, at + 6, int.from_bytes(data[at + 2 : at + 6], "big")
    raise ValueError("a packet in parts")
