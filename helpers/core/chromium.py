"""Where a Chromium or Chrome of this machine is, and how one runs without a window."""

from __future__ import annotations

import os
import platform
import shutil

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
FLAGS = (
    "headless=new",
    "window-size=1280,900",
    "hide-scrollbars",
    "disable-gpu",
    "disable-dev-shm-usage",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "no-proxy-server",
    "force-device-scale-factor=1",
)
NONE = "there is no Chromium on this machine (./runbook doctor tells how to get it)"


def program() -> str | None:
    """The path of a Chromium or Chrome here; None when there is none."""
    if platform.system() == "Darwin":
        return next((p for p in _MAC if os.path.exists(p)), None)
    return next((found for found in map(shutil.which, _NAMES) if found), None)


def flags() -> list[str]:
    """As Chromium takes them. It refuses to run as root with its sandbox."""
    root = ["no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return ["--" + flag for flag in (*FLAGS, *root)]
