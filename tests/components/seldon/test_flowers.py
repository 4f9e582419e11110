"""The data set, the weights that lie beside it, and what they must answer."""

import json
import subprocess
import sys

import pytest

from helpers.components.seldon import flowers
from helpers.core.paths import REPO


def test_the_script_makes_the_files_that_lie_beside_it(tmp_path):
    script = flowers.FOLDER / "make_weights.py"
    subprocess.run([sys.executable, script, tmp_path], cwd=REPO, env={"PYTHONPATH": str(REPO)}, check=True)
    made = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    there = {file.name: file.read_bytes() for file in flowers.FOLDER.iterdir() if file.suffix in (".csv", ".json")}
    assert made == there and set(made) == {"flowers.csv", "1.json", "2.json"}


def test_a_sample_has_the_first_flowers_of_each_class():
    assert len(flowers.sample(30)) == 90
    assert flowers.sample(2) == [flower for n in range(3) for flower in flowers.sample(30)[30 * n : 30 * n + 2]]
    assert all(len(lengths) == 4 and min(lengths) > 0 for lengths in flowers.sample(30))


def test_version_2_knows_more_than_version_1():
    right = {}
    for version in flowers.VERSIONS:
        answers = flowers.probabilities(flowers.weights(version), flowers.sample(30))
        right[version] = sum(line.index(max(line)) == n // 30 for n, line in enumerate(answers))
    assert right[1] < right[2] and right[2] >= 85


def test_a_file_of_weights_says_what_it_is():
    for version in flowers.VERSIONS:
        weights = json.loads(flowers.weights_file(version).decode())
        assert weights == flowers.weights(version) and weights["version"] == str(version)
        assert len(weights["coef"]) == len(weights["classes"]) == 3 and len(weights["features"]) == 4


def test_probabilities_are_those_of_a_softmax():
    weights = {"coef": [[1, 0], [0, 1]], "intercept": [0, 1]}
    ((a, b),) = flowers.probabilities(weights, [[2, 1]])
    assert a == pytest.approx(0.5) and b == pytest.approx(0.5)
    for line in flowers.probabilities(flowers.weights(2), [[5.1, 3.5, 1.4, 0.2], [1e3, -1e3, 1e3, 1e3]]):
        assert abs(sum(line) - 1) < 1e-9 and all(0 <= p <= 1 for p in line)


def test_numbers_are_the_same_within_a_millionth():
    assert flowers.same([[0.1, 0.2]], [[0.1 + 1e-8, 0.2]])
    assert not flowers.same([[0.1]], [[0.11]])
    assert not flowers.same([[0.1]], [[0.1], [0.2]]) and not flowers.same([[0.1]], [[0.1, 0.2]])
