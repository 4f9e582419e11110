# The code of chapter 07's pipeline "outline": it draws the outline of each picture. REPOSITORY stands for the name of
# the repository. What follows these comments is in the pipeline's spec, blank line and all: to change it there is to run
# the pipeline on everything again.

import os, struct, zlib

def read(path):                                  # a grey PNG file, 28 pixels wide
    raw, at, data = open(path, "rb").read(), 8, b""
    while at < len(raw):
        size, kind = struct.unpack(">I4s", raw[at:at + 8])
        data += raw[at + 8:at + 8 + size] if kind == b"IDAT" else b""
        at += size + 12
    data = zlib.decompress(data)
    return [list(data[n + 1:n + 29]) for n in range(0, len(data), 29)]

def write(path, rows):
    body = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in ((b"IHDR", struct.pack(">IIBBBBB", 28, len(rows), 8, 0, 0, 0, 0)), (b"IDAT", body), (b"IEND", b"")):
            f.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))

for folder, _, names in os.walk("/pfs/REPOSITORY"):
    for name in names:
        rows, out = read(os.path.join(folder, name)), "/pfs/out/" + os.path.basename(folder)
        below, right = rows[1:] + rows[-1:], [row[1:] + row[-1:] for row in rows]
        os.makedirs(out, exist_ok=True)
        write(os.path.join(out, name), [[min(255, abs(a - b) + abs(a - c)) for a, b, c in zip(*three)] for three in zip(rows, right, below)])
