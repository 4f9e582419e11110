"""Kernels of a run of several chapters, forked from one process that has imported what its chapters import.

A kernel of its own imports for 0.5 to 2 s of processor time, and a run has one for each chapter.
"""

from __future__ import annotations

import ast
import asyncio
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from importlib import import_module
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from typing import Any

from helpers.core.notebooks import Notebook

#: what a kernel imports when it begins, and httpx with its first client: 0.1 s of processor time and more
_LATER = ("ipykernel.ipkernel", "httpcore")
_begun = False


def prepare(chapters: Iterable[Notebook]) -> None:
    """Begin the process that kernels are forked from. For a command that ends with its run: what it has imported stays
    as it is. Where Python cannot fork safely (macOS), or for one chapter, each kernel begins as it always does.
    """
    global _begun
    books = list(chapters)
    if sys.platform != "linux" or len(books) < 2 or _begun:
        return
    _begun = True
    names = ["ipykernel.kernelapp", *_LATER, *sorted({name for n in books for name in _imported(n)})]
    multiprocessing.set_forkserver_preload(names)  # one that cannot be imported is left to the chapter, which says why
    forkserver.ensure_running()


def _imported(n: Notebook) -> Iterator[str]:
    """The modules that a chapter's cells import; of `from a import b`, b may be one, too."""
    for node in (node for source in n.code() for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name.islower())


def manager() -> Any:
    """The class of kernel managers for nbclient."""
    usual = import_module("jupyter_client.manager").AsyncKernelManager
    return _forking(usual) if _begun else usual


class Forked:
    """A forked kernel, as jupyter_client wants it: like subprocess.Popen."""

    stdin = stdout = stderr = None

    def __init__(self, process: BaseProcess):
        self._process, self.pid = process, process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def _forking(usual: Any) -> Any:
    """A kernel manager that forks. What is no kernel of this Python, or cannot be forked, begins as it always does."""

    class Manager(usual):
        async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
            ours = kernel_cmd[:3] == [sys.executable, "-m", "ipykernel_launcher"]
            process = await asyncio.to_thread(_fork, kernel_cmd[3:], kw) if ours else None
            if process is None:
                await super()._async_launch_kernel(kernel_cmd, **kw)  # pyright: ignore[reportUnknownMemberType]
                return
            provisioner = self.provisioner
            provisioner.process = Forked(process)
            provisioner.pid = provisioner.pgid = process.pid
            self._reconcile_connection_info(provisioner.connection_info)

    return Manager


def _fork(arguments: list[str], kw: dict[str, Any]) -> BaseProcess | None:
    """None when it cannot be: the process to fork from has ended, say for want of memory."""
    given = (arguments, dict(kw.get("env") or os.environ), kw.get("cwd"))
    process = multiprocessing.get_context("forkserver").Process(target=_become, args=given, daemon=True)
    try:
        process.start()
    except (OSError, EOFError):
        return None
    return process


def _become(arguments: list[str], env: dict[str, str], folder: str | None) -> None:
    """In the forked process: what `python -m ipykernel_launcher ARGUMENTS` would be."""
    os.setsid()  # an interrupt is sent to its group
    os.environ.clear()
    os.environ.update(env)
    if folder:
        os.chdir(folder)
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    ends_with = f"--IPKernelApp.parent_handle={os.getppid()}"  # the one that it was forked from
    sys.argv = ["ipykernel_launcher", *arguments, ends_with]
    import_module("ipykernel.kernelapp").launch_new_instance()


def _end_with(run: Any) -> None:
    """End at once when the run does, also by kill -9."""
    run.join()
    os._exit(1)
