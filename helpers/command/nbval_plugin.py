"""A plugin of pytest, in the process that nbval replays a notebook in: writes what each cell gave, for the report."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from nbval.kernel import RunningKernel  # pyright: ignore[reportMissingTypeStubs]

#: the variable that says into which file
RESULT = "RUNBOOK_REPLAYED"
_cells: list[dict[str, Any]] = []


class Died(Exception):
    """A kernel that ended before its cell did: nbval alone would wait for its answer."""


def pytest_configure() -> None:
    original: Any = RunningKernel.get_message  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]

    def get_message(kernel: Any, stream: str, timeout: float | None = None) -> Any:
        until = time.monotonic() + (timeout or 2000)
        while True:
            try:
                return original(kernel, stream, timeout=min(2, max(0.1, until - time.monotonic())))
            except Empty:
                if not kernel.is_alive():
                    raise Died("the notebook's kernel ended") from None
                if time.monotonic() > until:
                    raise

    setattr(RunningKernel, "get_message", get_message)  # noqa: B010 - the types of nbval do not know it


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Where a cell's kernel could not be started, that is its error."""
    if report.when == "setup" and report.failed:
        number = int(report.nodeid.rsplit(" ", 1)[-1])
        _cells.append({"cell": number, "seconds": report.duration, "error": report.longreprtext, "now": []})


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: Any, call: Any) -> None:
    """Look, before the one that makes the report ends the hook."""
    if call.when != "call" or not hasattr(item, "cell_num"):
        return
    outputs: list[dict[str, Any]] = item.test_outputs or []
    error = call.excinfo.value if call.excinfo else None
    nothing: dict[str, Any] = {}
    told = next((o for o in outputs if o.get("output_type") == "error"), nothing)
    _cells.append(
        {
            "cell": item.cell_num,
            "seconds": round(call.duration, 2),
            "differs": str(error) == "Cell outputs differ",
            "error": "" if str(error) == "Cell outputs differ" else _words(error, told),
            "ename": told.get("ename", ""),
            "now": outputs,
        }
    )


def _words(error: BaseException | None, told: dict[str, Any]) -> str:
    lines: list[str] = told.get("traceback") or []
    if error is None:
        return ""
    if lines and lines[0].startswith("error  "):
        return "\n".join(lines)
    return "{}: {}".format(told["ename"], told["evalue"]) if told else str(error) or type(error).__name__


def pytest_sessionfinish() -> None:
    part = Path(os.environ[RESULT] + ".part")
    part.write_text(json.dumps(_cells, ensure_ascii=False))
    part.replace(os.environ[RESULT])
