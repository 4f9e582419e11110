"""What a hand changes of Determined in the story, how it is put back, and how regress names it."""

from helpers.components.determined.master import Determined
from helpers.core import notebooks
from helpers.core.chapter import Chapter


def _administers(yes):
    def change(host):
        n = notebooks.find("determined")
        ch = Chapter(n, n.check({"target": host.target.text, "mode": "verify"}))
        try:
            ch.host.connect()
            det = Determined(ch)
            det.ask("PATCH", "/users/operator", {"admin": yes}, det.token())
        finally:
            ch.close()
            ch.host.close()

    return change


DRIFTS = {"long": [(_administers(True), _administers(False), "- operator no yes", "+ operator yes yes")]}
