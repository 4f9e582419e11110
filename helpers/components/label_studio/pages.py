"""Label Studio's pages in a browser: a person logs in, sees the board and a task with its picture."""

from __future__ import annotations

import struct

from helpers.components.label_studio import browser


class Pages:
    """What a person sees of a Project, from this machine, through SSH."""

    TITLE = "a browser shows a task with its picture"

    def __init__(self, project):
        self.project, self.ls, self.ch = project, project.ls, project.ls.ch

    def prove(self):
        """Check it and show two screenshots; left out, with the reason, where no browser can be driven."""
        if not self.ch.proving:
            return
        why = browser.why_none()
        if why:
            self.ch.skip(self.TITLE, why)
            return
        shots = []
        self.ch.check(self.TITLE, self._look, shots, entry="ls-browser")
        for png, title in shots:
            browser.show_screenshot(png, title)

    def _look(self, shots):
        key = self.project.keys()[0]
        task, size = self.project.task(key), png_size(self.project.gateway.read(self.project.source, key))
        with self.ls.http() as client, browser.Browser(self.ch.host.name) as b:
            base = str(client.base_url).rstrip("/")
            self._log_in(b, base)
            board = f"{base}/projects/{self.project.id}/data"
            b.shown(board, "the board's pictures", lambda: len(_of_size(b, size)) > 4)
            shots.append((b.screenshot(), "The board: each picture of the repository is a task."))
            # In the board's column it is small, in the task it is large.
            page = "{}?task={}".format(board, task["id"])
            found = b.shown(page, "the task's picture", lambda: [i for i in _of_size(b, size) if i[2] > 150])
            shots.append((b.screenshot(), "A task: the picture from Pachyderm, and what can be said about it."))
        return "{} of {} x {} pixels, shown {} wide".format(key, *found[0])

    def _log_in(self, b, base):
        b.driver.get(base + "/user/login/")
        b.fill({"email": self.ls.admin, "password": self.ls.password.reveal()})
        b.wait("the page after the login", lambda: "/user/login" not in b.driver.current_url)


def _of_size(b, size):
    """The page's pictures of this (width, height); all of them when it is not known."""
    return [i for i in b.images() if not size or i[:2] == size]


def png_size(content):
    """(width, height) of a PNG file; None for other files."""
    return struct.unpack(">II", content[16:24]) if content[:8] == b"\x89PNG\r\n\x1a\n" else None
