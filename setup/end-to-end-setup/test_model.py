"""What a push must pass before anything is trained: python3 -m unittest -v"""

import json
import unittest

import model
import train

BLANK = [[0] * model.SIZE for _ in range(model.SIZE)]


def square(low, high):
    """A picture with a bright square between two corners."""
    return [[200 if low <= x < high and low <= y < high else 0 for x in range(model.SIZE)] for y in range(model.SIZE)]


class ModelTest(unittest.TestCase):
    def test_a_blank_picture_has_no_outline(self):
        self.assertEqual(model.features(model.outline(BLANK)), [0.0] * 49 + [1.0])

    def test_probabilities_are_one_in_all_and_keep_the_order(self):
        found = model.softmax([1.0, 3.0, 2.0])
        self.assertAlmostEqual(sum(found), 1.0)
        self.assertTrue(found[1] > found[2] > found[0])

    def test_it_learns_two_pictures_apart(self):
        pictures = [square(2, 12), square(4, 26)]
        rows = [model.features(model.outline(picture)) for picture in pictures]
        with open("settings.json") as file:
            settings = json.load(file)
        weights = model.train(rows, [3, 8], settings["epochs"], settings["rate"])
        trained = {"weights": weights, "temperature": settings["temperature"]}
        found = [model.predict(trained, picture) for picture in pictures]
        self.assertEqual([each.index(max(each)) for each in found], [3, 8])


class LabelsTest(unittest.TestCase):
    def test_the_newer_of_two_annotations_counts(self):
        task = {"data": {"image": "s3://master.clothes/7_Sneaker/0.png"}}
        said = [
            {"id": n, "task": task, "result": [{"value": {"choices": [choice]}}]}
            for n, choice in ((5, "Sneaker"), (4, "Sandal"))
        ]
        self.assertEqual(train.labels(said), {"7_Sneaker/0.png": 7})


if __name__ == "__main__":
    unittest.main()
