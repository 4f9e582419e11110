"""The project's own small data set: 60 drawings of clothes in the layout and with the labels of Fashion-MNIST."""

from __future__ import annotations

import random
import struct
import zlib

from helpers.core.paths import SETUP

#: made by make_pictures.py, which lies beside them
PICTURES = SETUP / "pachyderm-setup" / "pictures"
#: Fashion-MNIST's labels, by number
LABELS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
SIZE = 28


def folder(label):
    """The folder of a class: 0_T-shirt_top, 9_Ankle_boot."""
    return "{}_{}".format(label, LABELS[label].replace("/", "_").replace(" ", "_"))


def files():
    """{path: PNG file} in order, path like 7_Sneaker/3.png."""
    return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in sorted(PICTURES.glob("*/*.png"))}


def images():
    """[(path, label, rows)] in order: rows of 28 grey values each, 0 is the background."""
    return [(path, int(path.partition("_")[0]), pixels(content)) for path, content in files().items()]


def one_more(seed=None):
    """(path, PNG file) of a sneaker that files() does not have, another one each time unless a seed is given."""
    rnd = random.Random(seed)
    sneaker = pixels((PICTURES / folder(7) / "0.png").read_bytes())
    return f"{folder(7)}/new.png", png([[v and max(1, v - rnd.randrange(16)) for v in row] for row in sneaker])


def outline(rows):
    """The outline of a picture: how much each pixel differs from its neighbours to the right and below."""
    right = [row[1:] + row[-1:] for row in rows]
    below = rows[1:] + rows[-1:]
    return [[min(255, abs(a - b) + abs(a - c)) for a, b, c in zip(*lines)] for lines in zip(rows, right, below)]


def png(rows):
    """A grey PNG file, stored and not compressed: what a zlib would make of it differs from version to version."""
    raw = b"".join(b"\0" + bytes(row) for row in rows)
    stored = (
        b"\x78\x01\x01" + struct.pack("<HH", len(raw), len(raw) ^ 0xFFFF) + raw + struct.pack(">I", zlib.adler32(raw))
    )
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)),
        (b"IDAT", stored),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def pixels(content):
    """The rows of a grey PNG file of 8 bits without filters, as png() writes it; compressed or not."""
    data, at, width = b"", 8, 0
    while at < len(content):
        length, name = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + 8 + length]
        width = struct.unpack(">I", body[:4])[0] if name == b"IHDR" else width
        data += body if name == b"IDAT" else b""
        at += length + 12
    raw = zlib.decompress(data)
    return [list(raw[n + 1 : n + 1 + width]) for n in range(0, len(raw), width + 1)]
