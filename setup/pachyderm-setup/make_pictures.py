"""Makes pictures/: 60 drawings of clothes, with the labels of Fashion-MNIST, the same on every machine.

    .venv/bin/python setup/pachyderm-setup/make_pictures.py [FOLDER]

Chapter 07 reads the files; whoever changes this program runs it and commits what it makes.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from helpers.components.pachyderm.dataset import LABELS, PICTURES, SIZE, folder, png

EACH, SEED = 6, 2021


def main(target):
    """Write every class's pictures below the folder `target`."""
    for label in range(len(LABELS)):
        (target / folder(label)).mkdir(parents=True, exist_ok=True)
        for n in range(EACH):
            (target / folder(label) / f"{n}.png").write_bytes(png(drawn(label, n)))


# Shapes are outlines in a square of 28, y downwards. A symmetrical one is given by its right half, from the top,
# with x counted from the middle line. Plain arithmetic only, so that every machine draws the same.


def drawn(label, n):
    """The rows of picture n of a class."""
    rnd = random.Random(SEED * 1000 + label * 100 + n)

    def vary(low, high):  # random() alone is the same in every Python
        return low + (high - low) * rnd.random()

    parts = _CLASSES[label](vary)
    grey, lean, wide, high = vary(150, 235), vary(-0.05, 0.05), vary(0.92, 1.06), vary(0.94, 1.03)
    canvas = [[0.0] * SIZE for _ in range(SIZE)]
    for outline, shade in parts:
        _fill(
            canvas, [(14 + (x - 14) * wide + lean * (14 - y), 14 + (y - 14) * high) for x, y in outline], grey * shade
        )
    return [[max(0, min(255, int(v + (rnd.random() - 0.5) * 14 * (v > 8)))) for v in row] for row in canvas]


def _fill(canvas, outline, value, steps=4):
    """Paint an outline (even-odd) over the canvas with soft edges: exact along x, `steps` lines a pixel along y."""
    cover = [[0.0] * SIZE for _ in range(SIZE)]
    edges = list(zip(outline, outline[1:] + outline[:1], strict=True))
    for line in range(SIZE * steps):
        y = (line + 0.5) / steps
        xs = sorted(a + (y - b) * (c - a) / (d - b) for (a, b), (c, d) in edges if (b <= y) != (d <= y))
        for left, right in zip(xs[::2], xs[1::2], strict=True):
            for x in range(max(0, int(left)), min(SIZE, int(right) + 1)):
                cover[line // steps][x] += max(0.0, min(right, x + 1) - max(left, x)) / steps
    for y, row in enumerate(cover):
        for x, part in enumerate(row):
            canvas[y][x] += (value - canvas[y][x]) * part


def _both(*right):
    """A symmetrical outline from its right half."""
    return [(14 + x, y) for x, y in right] + [(14 - x, y) for x, y in reversed(right)]


def _curve(start, bend, end, steps=8):
    """Points of a quadratic curve."""
    ts = [n / steps for n in range(steps + 1)]
    return [
        tuple((1 - t) * (1 - t) * s + 2 * t * (1 - t) * b + t * t * e for s, b, e in zip(start, bend, end, strict=True))
        for t in ts
    ]


def _top(vary, sleeve, hem, neck, body=5.6):
    """A top: sleeve is the y at which it ends, hem that of the body."""
    out = 8.2 + (sleeve - 9) * 0.26
    return _both(
        (neck, 3),
        (6.4, 4.2),
        (out + 2.2, sleeve - 0.6),
        (out - 0.6, sleeve + 0.6),
        (body, 10),
        (body + vary(-0.3, 0.5), hem),
    )


def _tshirt(vary):
    return [(_top(vary, vary(9, 11), vary(23.5, 25), vary(2.4, 3)), 1), (_both((2.2, 3), (1.2, 4.6)), 0.25)]


def _trouser(vary):
    flare = vary(-0.6, 0.9)
    return [
        (_both((4.6, 2), (5.2, 9), (5.4 + flare, 26), (1.4, 26), (0.7, 10)), 1),
        (_both((4.6, 2), (4.7, 3.6)), 0.75),
    ]


def _pullover(vary):
    top = _top(vary, vary(20.5, 22.5), vary(22.5, 24), 3, 5.8)
    hem = max(y for _, y in top)
    return [(top, 1), (_both((3, 2.4), (2.4, 4.4)), 0.7), (_both((5.7, hem - 1.6), (5.8, hem)), 0.7)]


def _dress(vary):
    waist, hem = vary(11, 13), vary(5.5, 7.6)
    return [
        (_both((3.4, 2), (3.8, 6), (2.7, waist), (hem, 26)), 1),
        (_both((2, 2), (1, 5)), 0),
        (_both((2.7, waist - 0.5), (2.8, waist + 0.6)), 0.6),
    ]


def _coat(vary):
    top = _top(vary, vary(20, 22), vary(25.4, 26.4), 3.2, 5.6)
    hem = max(y for _, y in top)
    lapel = [(14, 9.5), (11, 2.8), (14, 5)], [(14, 9.5), (17, 2.8), (14, 5)]
    pockets = [[(x, y), (x + 2.6, y), (x + 2.6, y + 0.9), (x, y + 0.9)] for x in (9.6, 15.8) for y in (18,)]
    return (
        [(top, 1), (_both((0.35, 9), (0.35, hem)), 0.15)]
        + [(part, 0.6) for part in lapel]
        + [(p, 0.55) for p in pockets]
    )


def _sandal(vary):
    heel = vary(0, 3.4)
    sole = (
        [(3, 21 - heel)]
        + _curve((3, 21 - heel), (12, 21.4 - heel * 0.6), (25, 21.2))
        + [(25, 23)]
        + _curve((16, 23), (9, 23 - heel * 0.3), (5.2, 22.6 - heel))
        + [(4.8, 23), (3, 23)]
    )
    straps = [
        _curve((3.4, 20.6 - heel), (3.6, 15 - heel), (8.6, 14.8 - heel))
        + _curve((8.8, 16 - heel), (5, 16.4 - heel), (5, 20.8 - heel)),
        _curve((14, 20.6), (19.4, 13.4), (23.6, 20.8)) + _curve((22, 20.8), (19.2, 16), (15.8, 20.7)),
        [(8.2, 14.8 - heel), (9.2, 15.4 - heel), (17.4, 18.4), (16.4, 18.6)],
    ]
    return [(sole, 1)] + [(s, 0.8) for s in straps]


def _shirt(vary):
    top = _top(vary, vary(20, 22), vary(23.5, 25), 2.6, 5.4)
    hem = max(y for _, y in top)
    collar = [[(14, 5.6), (11.4, 2.6), (10.6, 4.6), (12.4, 6.4)], [(14, 5.6), (16.6, 2.6), (17.4, 4.6), (15.6, 6.4)]]
    buttons = [[(13.6, y), (14.4, y), (14.4, y + 0.9), (13.6, y + 0.9)] for y in (8, 11, 14, 17, 20)]
    stripes = (
        [[(x, 7.4), (x + 0.6, 7.4), (x + 0.6, hem - 0.2), (x, hem - 0.2)] for x in (9.6, 11.4, 16, 17.8)]
        if vary(0, 1) > 0.5
        else []
    )
    return [(top, 0.95)] + [(s, 0.7) for s in stripes] + [(c, 0.6) for c in collar] + [(b, 0.3) for b in buttons]


def _sneaker(vary):
    high = vary(-1, 0.8)
    upper = (
        [(2.6, 20.6)]
        + _curve((2.4, 14.6 + high), (4, 13 + high), (6, 15 + high))
        + _curve((6, 15 + high), (8, 16.4 + high), (11.4, 13.2 + high))
        + _curve((12, 13.2 + high), (17, 17.4), (22, 17.8))
        + _curve((22, 17.8), (25.4, 18.2), (25.6, 20.6))
    )
    laces = [
        [(x, y + high), (x + 1.6, y - 1 + high), (x + 2, y - 0.4 + high), (x + 0.4, y + 0.6 + high)]
        for x, y in ((11.2, 16), (13, 17), (14.8, 18))
    ]
    return [(upper, 0.8), ([(2.4, 20.4), (25.8, 20.4), (25.4, 23), (3, 23)], 1.08)] + [(lace, 0.35) for lace in laces]


def _bag(vary):
    top, side, handle = vary(11, 13), vary(9, 10.6), vary(4.4, 6)
    grip = _curve((14 - handle, top), (14 - handle, 2.4), (14, 2.6)) + _curve(
        (14, 2.6), (14 + handle, 2.4), (14 + handle, top)
    )
    hole = _curve((14 - handle + 1.3, top), (14 - handle + 1.3, 4), (14, 4.1)) + _curve(
        (14, 4.1), (14 + handle - 1.3, 4), (14 + handle - 1.3, top)
    )
    return [
        (grip, 0.75),
        (hole, 0),
        (_both((side - 0.8, top), (side, 24.4)), 1),
        (_both((side - 0.9, top + 2.6), (side - 0.8, top + 3.2)), 0.6),
        (_both((1.1, top + 2), (1.1, top + 4)), 0.4),
    ]


def _boot(vary):
    shaft, heel = vary(4, 8), vary(0.6, 2)
    upper = (
        [(5, shaft), (13, shaft)]
        + _curve((13.2, 12), (13.4, 16), (18, 17))
        + _curve((19, 17.2), (25, 18), (25.2, 22))
        + [(4.6, 22)]
        + _curve((4.6, 22), (5.8, 16), (5, 10))
    )
    return [
        (upper, 1),
        ([(4.6, 21.8), (25.4, 21.8), (25.4, 23.4), (11, 23.4), (10.6, 23.4 + heel), (4.6, 23.4 + heel)], 0.6),
        ([(5, shaft), (13, shaft), (13, shaft + 1.2), (5, shaft + 1.2)], 0.65),
    ]


_CLASSES = (_tshirt, _trouser, _pullover, _dress, _coat, _sandal, _shirt, _sneaker, _bag, _boot)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else PICTURES)
