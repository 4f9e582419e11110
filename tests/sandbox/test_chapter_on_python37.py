"""A chapter run by papermill on Python 3.7, on a real host by ssh://, with the sandbox's mirror as its origin."""

import json
import re
import subprocess

import pytest
from python37 import environment, python37

from helpers.core.host import Host
from helpers.core.paths import NOTEBOOKS, REPO
from helpers.core.secrets import SecretStore

TARGET = "ssh://ubuntu@old-jupyter"


@pytest.fixture(scope="module")
def papermill(box, tmp_path_factory):
    python, folder = python37(), tmp_path_factory.mktemp("py37")
    config = folder / "ssh_config"
    config.write_text(
        f"Host old-jupyter\n HostName {box.address}\n HostKeyAlias {box.address}\n IdentityFile {box.key}\n"
        f" IdentitiesOnly yes\n UserKnownHostsFile {box.known_hosts}\n"
    )

    def run(mode, code=0):
        out = folder / (mode + ".ipynb")
        done = subprocess.run(
            [
                python,
                "-m",
                "papermill",
                str(NOTEBOOKS / "05_minio.ipynb"),
                str(out),
                "--no-progress-bar",
                "-k",
                "python3",
                "-p",
                "target",
                TARGET,
                "-p",
                "origin",
                box.mirror_url,
                "-p",
                "mode",
                mode,
            ],
            env=environment(RUNBOOK_SSH_CONFIG=str(config)),
            cwd=str(REPO),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, done.stdout[-3000:]
        content = json.loads(out.read_text())
        assert content["metadata"]["language_info"]["version"].startswith("3.7.")
        return "\n".join(
            "".join(o.get("data", {}).get("text/plain", "")) for c in content["cells"] for o in c.get("outputs", [])
        )

    return run


def test_install_verify_and_remove(papermill, host):
    try:
        said = papermill("install")
        assert (
            re.search(r"minio +RELEASE\S+ +\S+ +mirror +equivalent", said)
            and "✓ chapter minio ‹installed and proved›" in said
        )
        assert host.run("systemctl is-active minio").out == "active\n"
        said = papermill("verify")
        assert "✓ chapter minio ‹verified›" in said and "✓ bucket detai exists ‹already so›" in said and "✗" not in said
        host.run("systemctl stop minio")
        said = papermill("verify", code=1)
        assert "minio is inactive" in said and "✗" in said
        papermill("remove", code=1)
        assert host.run("id -un minio-user").out == "minio-user\n", "nobody can tell which buckets there are"
    finally:
        host.run("systemctl start minio", check=False)
        said = papermill("remove")
    assert "✓ chapter minio ‹removed›" in said
    assert host.run("id minio-user; ls /srv/minio /etc/default/minio", check=False).out == ""
    assert SecretStore(Host(TARGET).target.slug).names() == []
