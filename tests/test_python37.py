"""Chapters in an old Jupyter: what notebooks import loads and compiles on Python 3.7."""

import ast
import json
import subprocess

import pytest
from python37 import environment, python37

from helpers.components.determined import inside
from helpers.core import notebooks
from helpers.core.paths import REPO


@pytest.fixture(scope="module")
def old():
    """Run a program text on Python 3.7; returns what it printed."""
    python = python37()

    def run(text, *arguments):
        done = subprocess.run(
            [python, "-c", text, *arguments],
            env=environment(),
            cwd=str(REPO),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def code_cells():
    for n in notebooks.load_all().values():
        for cell in n.content["cells"]:
            if cell["cell_type"] == "code":
                yield n, "".join(cell["source"])


def test_what_notebooks_import_loads(old):
    imports = sorted(
        {
            ast.unparse(node)
            for _, source in code_cells()
            for node in ast.parse(source).body
            if isinstance(node, (ast.Import, ast.ImportFrom))
        }
    )
    assert any("Chapter" in i for i in imports)
    loaded = old(
        "\n".join(imports)
        + "\nimport sys; print(sys.version_info[:2], sorted(m for m in sys.modules if m.startswith('helpers')))"
    )
    assert loaded.startswith("(3, 7)") and "helpers.core.chapter" in loaded
    assert not {"helpers.command.runner", "helpers.command.main", "helpers.command.record"} & set(
        ast.literal_eval(loaded.split(" ", 2)[2])
    ), "a chapter needs no part of the command line"


def test_every_code_cell_compiles(old):
    cells = [[n.path.name, source] for n, source in code_cells()]
    old(
        "import json, sys\nfor name, source in json.loads(sys.argv[1]): compile(source, name, 'exec')",
        json.dumps(cells),
    )


def test_the_library_works_there(old):
    said = old("""
from helpers.core import catalogue, notebooks
from helpers.core.host import Host
from helpers.core.target import Target
from helpers.core.secrets import Masker
assert len(notebooks.load_all()) >= 4 and catalogue.load()['minio'].url
for n in notebooks.load_all().values(): n.check({})
here = Host('local', Masker(['S3cretValue']))
assert here.run('read -r x; echo "got $x"', stdin='S3cretValue\\n', sudo=False).out == 'got *****\\n'
assert here.probe({1: 'true', 2: 'echo no; exit 3'}) == {1: (True, ''), 2: (False, 'no')}
try: here.run('sleep 9', timeout=0.3, sudo=False)
except Exception as e: print(type(e).__name__, e)
""")
    assert said.startswith("TimedOut") and "not finished after 0.3 s" in said


_SECRETS = """
from helpers.core.secrets import SecretStore
for name in ("minio-root", "minio-pachyderm", "minio-determined", "minio-seldon", "determined-admin", "determined-db",
             "determined-operator", "label-studio-password"):
    SecretStore("incluster").get(name)
"""


def test_five_chapters_come_to_their_verdict_inside_the_cluster(tmp_path):
    """As in a notebook's pod, by papermill and a 3.7 kernel, where no service answers: each says so."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "helpers").symlink_to(REPO / "helpers")
    (tmp_path / "setup").symlink_to(REPO / "setup")
    away = {"target": "incluster", "mode": "verify", "minio_port": 1, "port": 1}
    books = [inside.written(notebooks.find(name), away, tmp_path / "notebooks") for name in inside.CHAPTERS]
    pod = {"KUBERNETES_SERVICE_HOST": "10.152.183.1", "RUNBOOK_HOST_ADDRESS": "127.0.0.1"}
    env = environment(RUNBOOK_HOME=str(tmp_path / "home"), JUPYTER_RUNTIME_DIR=str(tmp_path / "runtime"), **pod)
    subprocess.run([python37(), "-c", _SECRETS], env=env, cwd=str(REPO), check=True)
    argv = [python37(), "-m", "helpers.components.determined.run_chapters", *map(str, books)]
    done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    came = dict(zip(inside.CHAPTERS, json.loads(done.stdout.splitlines()[-1]), strict=True))
    for name, outcome in came.items():
        assert outcome["error"].startswith("error  verify: ") and f"do not hold in chapter {name}" in outcome["error"]
        version = json.loads(outcome["notebook"])["metadata"]["language_info"]["version"]
        checks = [e["state"] for e in outcome["events"] if e["kind"] == "check"]
        assert version.startswith("3.7.") and "left out" in checks and not {"ok", "proved"} & set(checks)
