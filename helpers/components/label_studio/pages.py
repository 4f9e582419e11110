"""Label Studio's pages in a browser: a person logs in, sees the board and a task with its picture."""

from __future__ import annotations

import struct

from helpers.components.label_studio import browser


class Board:
    """What a person sees of a helpers.components.label_studio.project.LabelStudio, from this machine, through SSH."""

    TITLE = "a browser shows a task with its picture"

    def __init__(self, ch, ls):
        self.ch, self.ls = ch, ls

    def prove(self, source):
        """Check it and show two screenshots; left out, with the reason, where no browser can be driven."""
        if not self.ch.proving:
            return
        why = browser.lacks()
        if why:
            self.ch.skip(self.TITLE, why)
            return
        shots = []
        self.ch.check(self.TITLE, lambda: self._look(source, shots), entry="ls-browser")
        for png, title in shots:
            browser.show_screenshot(png, title)

    def _look(self, source, shots):
        key = self.ls.keys(source)[0]
        task, size = self.ls.task(key), _size(self.ls.read(source, key))
        with self.ls.http() as client, browser.Browser(self.ch.host.name) as b:
            base = str(client.base_url).rstrip("/")
            b.driver.get(base + "/user/login/")
            b.fill({"email": self.ls.admin, "password": self.ls.password.reveal()})
            b.wait("the page after the login", lambda: "/user/login" not in b.driver.current_url)
            board = f"{base}/projects/{self.ls.id}/data"
            b.driver.get(board)
            b.wait("the board's pictures", lambda: len([i for i in b.images() if not size or i[:2] == size]) > 4)
            shots.append((b.screenshot(), "The board: each picture of the repository is a task."))
            b.driver.get("{}?task={}".format(board, task["id"]))
            # In the board's column it is small, in the task it is large.
            found = b.wait(
                "the task's picture", lambda: [i for i in b.images() if i[2] > 150 and (not size or i[:2] == size)]
            )
            shots.append((b.screenshot(), "A task: the picture from Pachyderm, and what can be said about it."))
        return "{} of {} x {} pixels, shown {} wide".format(key, *found[0])


def _size(content):
    """(width, height) of a PNG file; None for other files."""
    return struct.unpack(">II", content[16:24]) if content[:8] == b"\x89PNG\r\n\x1a\n" else None
