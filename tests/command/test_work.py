"""A chapter's run behind its form: what is drawn, in which order."""

import threading
import time

from serving import until

from helpers.command.work import Work
from helpers.core import notebooks


def test_nothing_runs_once_its_end_is_said_and_the_end_is_drawn_last():
    drawn, drawing = [], threading.Semaphore(1)

    class CutOff(Work):
        def _chapter(self):
            self.rows[next(iter(self.rows))] = ("running", "")
            time.sleep(1.2)  # so that it is drawn meanwhile
            return "verify: interrupted"

    class Rows(dict):
        def __setitem__(self, row, state):
            assert "interrupted" not in work.said, "its end is said before its rows are"
            super().__setitem__(row, state)

    def changed():
        assert drawing.acquire(blocking=False), "two draw at once"
        said, states = work.said, {state for state, _ in work.rows.values()}
        time.sleep(0.3)
        drawn.append((said, states))
        drawing.release()

    work = CutOff(notebooks.find("minio"), {}, "verify", "", changed)
    work.rows = Rows(work.rows)
    work.start()
    until("its end", lambda: drawn and drawn[-1][0] == "verify: interrupted" and not work.busy)
    assert len(drawn) > 2 and drawn[-1][1] == {"waiting"} and ("verify", {"running", "waiting"}) in drawn
