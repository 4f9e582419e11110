"""One notebook in a kernel: what of its end a person reads."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from papermill import engines
from serving import until

from helpers.command import kernels
from helpers.command.execution import Execution
from helpers.core import notebooks
from helpers.core.notebooks import Notebook
from helpers.core.paths import REPO
from helpers.core.secrets import SecretStore


@pytest.fixture(params=["a kernel of its own", "a forked kernel"])
def execution(request, tmp_path, monkeypatch):
    """A function that makes an Execution of a notebook with this code; as `up` of one chapter does, and of two."""
    (tmp_path / "logs").mkdir()
    monkeypatch.setattr(kernels, "_begun", False)
    if request.param == "a forked kernel":
        kernels.prepare([notebooks.find("requirements"), notebooks.find("minio")])

    def made(*cells, mode="install"):
        book = nbformat.v4.new_notebook(metadata={"runbook": {"id": "x", "title": "X"}})
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        book.cells = [nbformat.v4.new_code_cell(code) for code in cells]
        source = tmp_path / "05_x.ipynb"
        nbformat.write(book, source)
        return Execution(Notebook(source), {"mode": mode, "target": "local"}, tmp_path)

    return made


OURS = """
from helpers.core.errors import RunbookError
class Refused(RunbookError):
    "a component's own kind, which the runner never imports"
raise Refused("log in", "the host", "wrong password", "Set another.")
"""


def test_an_error_of_a_components_own_kind_is_told_as_it_was_written(execution):
    assert execution(OURS).run(lambda event: None).splitlines() == [
        "error  log in",
        "host   the host",
        "saw    wrong password",
        "do     Set another.",
    ]


def test_an_error_of_python_gets_its_name(execution):
    assert execution("1 / 0").run(lambda event: None) == "ZeroDivisionError: division by zero"


def test_events_are_passed_on_and_kept(execution):
    run, seen = (
        execution("from helpers.core.events import Events\nEvents(str).tell('version', name='a', version='1')"),
        [],
    )
    assert run.run(seen.append) == ""
    assert seen == run.told() == [{"kind": "version", "name": "a", "version": "1"}]
    assert json.loads(run.out.read_text())["cells"]


def test_a_kernel_that_is_killed_is_an_error_not_an_exception(execution, tmp_path):
    mark = tmp_path / "begun"
    run = execution(f"import pathlib, time; pathlib.Path({str(mark)!r}).touch(); time.sleep(300)", mode="verify")

    def kill():
        until("the cell to begin", mark.exists, timeout=120)
        run.kill()

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        assert run.run(lambda event: None).startswith("the notebook's kernel ended: ")
    finally:
        killing.join()
    assert run.out.name == "05_x.verify.ipynb"


@pytest.mark.parametrize(
    ("last", "says"), [("print(12)", ""), ("import os; os.kill(os.getpid(), 9)", "the notebook's kernel ended: ")]
)
def test_a_notebook_is_written_now_and_then_and_whole_at_its_end(execution, monkeypatch, last, says):
    written, usual = [], engines.write_ipynb
    monkeypatch.setattr(engines, "write_ipynb", lambda book, path: written.append(path) or usual(book, path))
    run = execution(*(f"print({n})" for n in range(12)), last)
    said = run.run(lambda event: None)
    assert said.startswith(says) and bool(said) == bool(says)
    cells = json.loads(run.out.read_text())["cells"]  # a kernel that waits for a processor sends a line in two parts
    outputs = ["".join(part for o in c.get("outputs", []) for part in o.get("text", "")) for c in cells]
    assert [f"{n}\n" in outputs for n in range(13)] == [True] * 12 + [says == ""]
    assert 2 <= len(written) <= 10, "papermill alone: 28 times"


SLOW = """
import pathlib, time
top = pathlib.Path("{top}")
(top / "begun").write_text("")
try:
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(1)   # what a chapter does at its end: a second interrupt would cut it off
    (top / "tidied").write_text("")
    raise
"""


def starting(run):
    """Its kernel's process is there, and ignores interrupts by now: no cell runs yet."""
    [process] = [c.km.provisioner.process for c in run._clients if c.km and c.km.provisioner] or [None]
    status = Path(f"/proc/{process.pid}/status").read_text() if process else "SigIgn: 0"
    return int(re.search(r"SigIgn:\s*(\w+)", status)[1], 16) & 1 << signal.SIGINT - 1


@pytest.mark.parametrize(
    "when, begun",
    [
        (lambda run, top: True, False),
        (lambda run, top: starting(run), False),
        (lambda run, top: (top / "begun").exists(), True),
    ],
    ids=["before there is a kernel", "while the kernel starts", "in a cell"],
)
def test_a_stop_is_heard_whenever_it_comes(execution, tmp_path, when, begun):
    run, said = execution(SLOW.format(top=tmp_path)), []
    thread = threading.Thread(target=lambda: said.append(run.run(lambda event: None)))
    thread.start()
    until("its moment", lambda: when(run, tmp_path), timeout=60)
    run.stop()
    thread.join(timeout=60)
    assert said and said[0], "it ended, and not well"
    assert ((tmp_path / "begun").exists(), (tmp_path / "tidied").exists()) == (begun, begun)


LEAKS = """
from helpers.core.secrets import SecretStore
value = SecretStore("local").get("made-meanwhile").reveal()
print("printed", value, flush=True)
from IPython.display import display, HTML
handle = display(HTML("<b>" + value + "</b>"), display_id=True)
handle.update(HTML("<i>" + value + "</i>"))
import time; time.sleep(1)
SecretStore("local").forget("made-meanwhile")
raise RuntimeError("cannot log in with " + value + MORE)
"""


def test_a_librarys_error_and_a_cells_output_hold_no_secret(execution, own_home, monkeypatch):
    monkeypatch.setenv("RUNBOOK_SECRET_MINE", "a-secret-of-mine")
    kept = SecretStore("local").get("kept").reveal()
    run = execution(f"MORE = ' {kept} a-secret-of-mine'\n" + LEAKS)
    assert run.run(lambda event: None) == "RuntimeError: cannot log in with ***** ***** *****"
    outputs = json.dumps([c.get("outputs") for c in json.loads(run.out.read_text())["cells"]])
    for seen in ("RuntimeError", "printed *****", "<i>*****</i>"):
        assert seen in outputs
    assert not re.search("[0-9a-f]{20}", outputs), "none that was kept, and none that was made in the cell"


TELLS = """
import os, sys
known = "minio" in sys.modules
session = os.getsid(0) == os.getpid()
print(known, os.environ["ONE"], os.path.samefile(os.getcwd(), "{cwd}"), session, repr(sys.stdin.read()), __name__)
"""


def test_a_chapter_sees_no_difference_but_in_what_is_imported(execution, request, monkeypatch):
    monkeypatch.setenv("ONE", "changed since")
    run = execution(TELLS.format(cwd=os.getcwd()))
    assert run.run(lambda event: None) == ""
    known = "forked" in request.node.name
    assert f"{known} changed since True True '' __main__" in run.out.read_text()


ENDS = """
import sys
from helpers.command import kernels
from helpers.command.execution import Execution
from helpers.core import notebooks
from helpers.core.notebooks import Notebook
from pathlib import Path
kernels.prepare([notebooks.find("requirements"), notebooks.find("network")])
Execution(Notebook(Path(sys.argv[1])), {"mode": "install", "target": "local"}, Path(sys.argv[1]).parent).run(print)
"""


SLEEPS = """
import os, time
with open({pids!r}, "w") as file:
    file.write(f"{{os.getpid()}} {{os.getppid()}}\\n")
time.sleep(300)
"""


@pytest.mark.parametrize("execution", ["a forked kernel"], indirect=True)
@pytest.mark.parametrize("end", ["the run", "what it was forked from"])
def test_a_forked_kernel_ends_with_what_began_it(execution, tmp_path, end):
    """By kill -9, of which neither is told."""
    pids = tmp_path / "pids"
    execution(SLEEPS.format(pids=str(pids)))
    run = subprocess.Popen([sys.executable, "-c", ENDS, str(tmp_path / "05_x.ipynb")], cwd=REPO)
    try:
        until("the kernel", lambda: pids.exists() and pids.read_text().endswith("\n"))
        kernel, server = map(int, pids.read_text().split())
        assert server != run.pid, "it was forked"
        os.kill(run.pid if end == "the run" else server, signal.SIGKILL)
        until("its end", lambda: not _runs(kernel), timeout=60)
    finally:
        run.kill()
        run.wait()


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_where_nothing_can_be_forked_a_kernel_begins_as_always(execution, monkeypatch):
    def broken(*_):
        raise EOFError

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", broken)
    assert execution("print(1)").run(lambda event: None) == ""
