"""The project's data set: what it holds, in Fashion-MNIST's layout, and that every machine draws the same."""

import hashlib
import struct
import subprocess
import sys
import zlib

from helpers.components.pachyderm import dataset


def decode(png):
    """The grey rows of a PNG file, by a reader of its own."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data, size = 8, b"", None
    while at < len(png):
        length, name = struct.unpack(">I4s", png[at : at + 8])
        body, (crc,) = png[at + 8 : at + 8 + length], struct.unpack(">I", png[at + 8 + length : at + 12 + length])
        assert crc == zlib.crc32(name + body)
        if name == b"IHDR":
            size = struct.unpack(">IIBBBBB", body)
            assert size[2:] == (8, 0, 0, 0, 0)
        data += body if name == b"IDAT" else b""
        at += 12 + length
    raw, width = zlib.decompress(data), size[0]
    lines = [raw[n : n + width + 1] for n in range(0, len(raw), width + 1)]
    assert len(lines) == size[1] and all(line[0] == 0 for line in lines)
    return [list(line[1:]) for line in lines]


def test_sixty_images_in_ten_classes():
    files = dataset.files()
    assert len(files) == 60 and len(set(files.values())) == 60
    assert [dataset.folder(n) for n in (0, 4, 9)] == ["0_T-shirt_top", "4_Coat", "9_Ankle_boot"]
    assert list(files)[:2] == ["0_T-shirt_top/0.png", "0_T-shirt_top/1.png"] and list(files)[-1] == "9_Ankle_boot/5.png"


def test_the_bytes_are_the_same_everywhere():
    all_bytes = b"".join(path.encode() + content for path, content in dataset.files().items())
    assert hashlib.sha256(all_bytes).hexdigest() == "c69a57802a6b0c3a961c82471c751d8f6bffd9449943648ccb739813031a359d"


def test_the_program_beside_them_still_makes_them_byte_for_byte(tmp_path):
    program = dataset.PICTURES.parent / "make_pictures.py"
    subprocess.run([sys.executable, "-B", str(program), str(tmp_path)], cwd=str(tmp_path), check=True)
    made = {f"{p.parent.name}/{p.name}": p.read_bytes() for p in sorted(tmp_path.rglob("*.png"))}
    assert made == dataset.files()


def test_each_is_a_png_of_28_by_28_with_a_drawing_on_black():
    for path, label, rows in dataset.images():
        assert path.startswith(f"{label}_") and decode(dataset.files()[path]) == decode(dataset.png(rows)) == rows
        assert len(rows) == 28 and {len(r) for r in rows} == {28}
        assert rows[0][0] == rows[27][27] == 0 and max(map(max, rows)) > 130, path
        assert 60 < sum(v > 40 for r in rows for v in r) < 600, path


def test_one_more_is_new():
    path, content = dataset.one_more()
    assert path == "7_Sneaker/new.png" and path not in dataset.files() and content not in dataset.files().values()
    rows = decode(content)
    assert len(rows) == 28 and {len(row) for row in rows} == {28}
    assert dataset.one_more()[1] != content and dataset.one_more(9) == dataset.one_more(9)


def test_an_outline_is_what_differs_from_right_and_below():
    assert dataset.outline([[0, 0, 9], [0, 200, 9], [0, 0, 0]]) == [[0, 209, 0], [200, 255, 9], [0, 0, 0]]


def test_pixels_reads_what_png_writes():
    _, content = dataset.one_more(9)
    assert dataset.pixels(content) == decode(content)
