"""In a notebook's pod: run chapters by papermill. The last line of output says what came of them, as a JSON list."""

import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AT_ONCE = 2


def come_to(path):
    """What came of the chapter: the parts of an Outcome."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        out, told = Path(name, "out.ipynb"), Path(name, "events")
        env = dict(os.environ, RUNBOOK_EVENTS=str(told), RUNBOOK_LOG=str(Path(name, "log")))
        argv = [sys.executable, "-m", "papermill", "--no-progress-bar", "-k", "python3", path, str(out)]
        done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        book, events = (p.read_text("utf-8") if p.exists() else "" for p in (out, told))
    return {
        "error": error_of(book, done.stdout) if done.returncode else "",
        "events": [json.loads(line) for line in events.splitlines()],
        "notebook": book,
        "seconds": round(time.monotonic() - began, 1),
    }


def error_of(book, said):
    """The error of the cell that ended a notebook: ours is text for a person. Without one, papermill's words."""
    outputs = [o for cell in json.loads(book or '{"cells": []}')["cells"] for o in cell.get("outputs", [])]
    for one in outputs:
        if one["output_type"] == "error":
            text = "\n".join(one["traceback"])
            return text if text.startswith("error  ") else "{}: {}".format(one["ename"], one["evalue"])
    return "\n".join(said.strip().splitlines()[-3:]) or "papermill said nothing"


if __name__ == "__main__":
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        print(json.dumps(list(pool.map(come_to, sys.argv[1:]))))
