"""A chapter's run behind its form: what is drawn, in which order."""

import threading
import time

from serving import until

from helpers.command.work import Work
from helpers.core import notebooks


def test_nothing_runs_once_its_end_is_said_and_the_end_is_drawn_last():
    drawn, wrong, drawing, under_way = [], [], threading.Semaphore(1), threading.Event()

    class CutOff(Work):
        def _chapter(self):
            self.rows[next(iter(self.rows))] = ("running", "")
            under_way.wait(60)  # it ends while it is drawn
            return "verify: interrupted"

    class Rows(dict):
        def __setitem__(self, row, state):
            if "interrupted" in work.said:
                wrong.append("its end is said before its rows are")
            super().__setitem__(row, state)

    def changed():
        if not drawing.acquire(timeout=0):
            wrong.append("two draw at once")
        said, states = work.said, {state for state, _ in work.rows.values()}
        if "running" in states:
            under_way.set()
        time.sleep(0.3)
        drawn.append((said, states))
        drawing.release()

    work = CutOff(notebooks.find("minio"), {}, "verify", "", changed)
    work.rows = Rows(work.rows)
    work.start()
    until("its end", lambda: drawn and drawn[-1][0] == "verify: interrupted" and not work.busy)
    assert wrong == [] and drawn[-1][1] == {"waiting"} and ("verify", {"running", "waiting"}) in drawn
