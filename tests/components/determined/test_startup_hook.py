"""What a notebook's pod does before JupyterLab starts, by a real bash; python3 stands in for pip, at the process."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import programs
import pytest
import stand_in

from helpers.components.determined import task_files, task_pod
from helpers.core.paths import REPO

#: how 0.15.3's master/static/srv/notebook-entrypoint.sh comes to the hook, and goes on
ENTRYPOINT = """
set -e
pushd "$PWD" && test -f "startup-hook.sh" && source "startup-hook.sh" && popd
echo "jupyter starts, pip's settings: ${PIP_CONFIG_FILE:-none}"
"""
PYTHON = """#!/bin/bash
echo "$PIP_CONFIG_FILE: $*" >> asked
exit $(cat code)
"""


@pytest.fixture
def starts(tmp_path):
    """starts(code, environment, **files) -> what the entrypoint printed; pip ends with this code."""

    def run(code=0, environment="", **files):
        (tmp_path / "code").write_text(str(code))
        programs.put(tmp_path, "python3", PYTHON)
        (tmp_path / "environment").write_text(environment)
        hook = dict(task_files.runbooks())["startup-hook.sh"].read_text()
        (tmp_path / "startup-hook.sh").write_text(hook.replace(task_pod.PIP_PLACE, str(tmp_path)))
        for name, text in files.items():
            (tmp_path / (name.replace("_", "-") + ".sh")).write_text(text)
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", ENTRYPOINT], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_pip_installs_the_list_with_the_hosts_settings_and_jupyter_has_none_of_them(starts, tmp_path):
    said = starts(environment="export PIP_CONFIG_FILE=/run/runbook-pip/pip.conf\n")
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("/run/runbook-pip/pip.conf: -m pip install --user ")
    assert asked.endswith(" -r setup/requirements-notebook-task.txt\n")
    assert "runbook: the helpers' packages are there" in said and "jupyter starts, pip's settings: none" in said


def test_a_pip_that_fails_is_told_and_jupyter_starts_without_the_helpers(starts):
    said = starts(code=1)
    assert "runbook: pip failed, so the helpers will not load" in said and "jupyter starts" in said


def test_a_hook_of_ones_own_runs_after_ours_and_may_change_the_environment(starts):
    assert "settings: mine" in starts(my_startup_hook="export PIP_CONFIG_FILE=mine\n")


def test_a_hook_in_ones_folder_is_sent_beside_ours(tmp_path):
    (tmp_path / "startup-hook.sh").write_text("true")
    sent = dict(task_files.with_runbooks(task_files.files(tmp_path)))
    assert sent["my-startup-hook.sh"] == tmp_path / "startup-hook.sh"
    assert "requirements-notebook-task.txt" in sent["startup-hook.sh"].read_text()
    assert "setup/requirements-notebook-task.txt" in sent and "helpers/__init__.py" in sent


#: of what helpers import, what the image determinedai/environments and the harness's requirements bring
IN_THE_IMAGE = {"IPython", "boto3", "google", "grpc", "pathspec", "urllib3", "yaml"}
#: imported where it is used: on the operator's machine, for proofs that another program takes part in; on the
#: host, by the settings of Label Studio's own Python
ELSEWHERE = {"kubernetes", "selenium", "label_studio"}
PACKAGE_OF = {
    "socks": "PySocks",
    "python_pachyderm": "python-pachyderm",
    # python-gitlab brings the other two
    **dict.fromkeys(("gitlab", "requests", "requests_toolbelt"), "python-gitlab"),
}


def test_what_the_helpers_import_is_in_the_list_or_in_the_image():
    lines = (REPO / "setup/requirements-notebook-task.txt").read_text().splitlines()
    listed = {line.split("==")[0] for line in lines if "==" in line}
    sent = [file for path, file in task_files.runbooks() if path.startswith("helpers/") and path.endswith(".py")]
    imported = {name for file in sent for name in imports(file)}
    wanted = imported - set(sys.stdlib_module_names) - IN_THE_IMAGE - ELSEWHERE - {"helpers"}
    assert {"minio", "sh", "tomli"} <= wanted, "else this test looks at nothing"
    assert {PACKAGE_OF.get(name, name) for name in wanted} <= listed


def imports(file: Path):
    """The top names of the modules that a file imports."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


# -- the host's settings -----------------------------------------------------------------------------


def pip_files(monkeypatch, said):
    ch = stand_in.chapter(monkeypatch, "determined", lambda script, stdin: said)
    return {name: text.reveal() for name, text in task_pod.pip_files(ch.host).items()}


def test_the_hosts_settings_proxies_and_certificates_are_pips_in_the_pod(monkeypatch, own_home, bash):
    said = "[global]\nindex-url = http://me:word@index.lan/\n@@@\nhttps_proxy=http://a'b.lan:3128\n@@@\nyes\n"
    files = pip_files(monkeypatch, said)
    assert files["pip.conf"] == "[global]\nindex-url = http://me:word@index.lan/\n"
    show = files["environment"] + "echo $https_proxy $PIP_CONFIG_FILE $PIP_CERT"
    assert bash(show, "") == (
        0,
        "http://a'b.lan:3128 /run/runbook-pip/pip.conf /run/host-certificates/ca-certificates.crt",
    )


def test_a_host_without_settings_has_an_empty_file_and_no_certificates(monkeypatch, own_home):
    files = pip_files(monkeypatch, "@@@\n@@@\n")
    assert files["pip.conf"] == "\n" and "PIP_CERT" not in files["environment"]


def test_a_notebooks_pod_finds_them_and_starts_without_them_too():
    spec = task_pod.with_host_pip()
    (container,) = spec["containers"]
    assert set(container) == {"name", "volumeMounts"}, "Determined takes no more of it"
    secret, host = spec["volumes"]
    assert secret["secret"] == {"secretName": "determined-pip", "optional": True}
    assert host["hostPath"] == {"path": "/etc/ssl/certs"}
    places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert places == {secret["name"]: "/run/runbook-pip", host["name"]: "/run/host-certificates"}
