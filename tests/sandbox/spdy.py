"""The server's side of SPDY/3.1, as far as Kubernetes' exec needs it: streams of the client's, no flow control."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import threading
import zlib
from typing import Any, BinaryIO

# What both sides' compression begins with: SPDY Protocol, draft 3.1, 2.6.10.1. Each name has its length in front.
_NAMES = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match
if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range
referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get
status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin"""
_WORDS = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative "
    "Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 "
    "Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec "
    "00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8"
    "charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(struct.pack(">I", len(name)) + name.replace("_", " ").encode() for name in _NAMES.split())
    + _WORDS.encode()
)
SYN_STREAM, SYN_REPLY, RST_STREAM, FIN = 1, 2, 3, 1


class Streams:
    """The streams of a connection. opened: {streamType: id}."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO):
        self.reader, self.writer, self.lock = reader, writer, threading.Lock()
        self.deflate = zlib.compressobj(zdict=DICTIONARY)
        self.inflate = zlib.decompressobj(zdict=DICTIONARY)
        self.opened: dict[str, int] = {}

    def frame(self) -> tuple[int, int, bytes] | None:
        """(kind, flags, content), with kind 0 for data, whose stream is in front; None at the end."""
        head = self.reader.read(8)
        if len(head) < 8:
            return None
        first, rest = struct.unpack(">II", head)
        content = self.reader.read(rest & 0xFFFFFF)
        if first & 0x80000000:
            return first & 0xFFFF, rest >> 24, content
        return 0, rest >> 24, struct.pack(">I", first) + content

    def open(self, wanted: set[str]) -> None:
        """Take the client's streams until these are there."""
        while set(self.opened) != wanted:
            frame = self.frame()
            assert frame is not None, "the client has gone"
            if frame[0] == SYN_STREAM:
                self._opened(frame[2])

    def _opened(self, content: bytes) -> None:
        stream = struct.unpack(">I", content[:4])[0]
        self.opened[headers(self.inflate.decompress(content[10:]))["streamtype"]] = stream
        none = self.deflate.compress(struct.pack(">I", 0)) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self._control(SYN_REPLY, struct.pack(">I", stream) + none)

    def _control(self, kind: int, content: bytes, flags: int = 0) -> None:
        with self.lock:
            self.writer.write(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(content)) + content)
            self.writer.flush()

    def send(self, kind: str, content: bytes, end: bool = False) -> None:
        with self.lock:
            self.writer.write(struct.pack(">II", self.opened[kind], (FIN if end else 0) << 24 | len(content)) + content)
            self.writer.flush()

    def received(self, kind: str) -> Any:
        """What the client sends on a stream, piece by piece, until it ends that stream or goes."""
        while frame := self.frame():
            about, flags, content = frame
            if about == 0 and struct.unpack(">I", content[:4])[0] == self.opened[kind]:
                yield content[4:]
                if flags & FIN:
                    return

    def serve(self, process: subprocess.Popen[bytes]) -> int:
        """A process behind the streams stdin, stdout and stderr; its exit code. A client that goes ends it."""
        copies = [threading.Thread(target=self._copy, args=(getattr(process, k), k)) for k in ("stdout", "stderr")]
        for copy in copies:
            copy.start()
        threading.Thread(target=self._feed, args=(process,), daemon=True).start()
        for copy in copies:
            copy.join()
        return process.wait()

    def _copy(self, source: Any, kind: str) -> None:
        with contextlib.suppress(OSError):  # the client does not want to know any more
            while piece := source.read1(65536):
                self.send(kind, piece)
            self.send(kind, b"", end=True)

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        try:
            for piece in self.received("stdin"):
                process.stdin.write(piece)
                process.stdin.flush()
            process.stdin.close()
        except OSError:
            pass  # it has ended without reading all


def headers(block: bytes) -> dict[str, str]:
    """{name: value} of a block of names and values."""
    found, at = {}, 4

    def text() -> str:
        nonlocal at
        size = struct.unpack(">I", block[at : at + 4])[0]
        at += 4 + size
        return block[at - size : at].decode()

    for _ in range(struct.unpack(">I", block[:4])[0]):
        name = text()
        found[name] = text()
    return found
