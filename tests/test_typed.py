"""What a page has a person type, typed here: a host, its cluster and its programs have stand-ins."""

import os
import re
import subprocess

import pytest

from helpers.core import notebooks
from helpers.core.paths import REPO, SETUP
from tests.certificates import self_signed
from tests.serving import serving
from tests.socks_proxy import socks_server

SNAP = SETUP / "sandbox" / "substitutes" / "microk8s" / "snap"
PAGES = {path.name: path.read_text("utf-8") for path in (REPO / "book").glob("*.md") if path.name != "changes.md"} | {
    n.path.name: "\n".join("".join(c["source"]) for c in n.content["cells"] if c["cell_type"] == "markdown")
    for n in notebooks.load_all().values()
}


def lines(pattern):
    """What pages have a person type and this matches: each line of a block, and what stands between backticks."""
    blocks = (
        line
        for text in PAGES.values()
        for block in re.findall(r"```bash\n(.*?)```", text, re.S)
        for line in block.split("\n")
    )
    inline = (one for text in PAGES.values() for one in re.findall(r"`([^`\n]+)`", text))
    found = [line.partition("   #")[0].strip() for line in (*blocks, *inline) if re.search(pattern, line)]
    assert found, f"no page has anything like {pattern}"
    return found


def typed(line, **env):
    return subprocess.run(
        ["bash", "-c", line], env={**os.environ, **env}, capture_output=True, text=True, timeout=20, check=False
    )


def _version(asked):
    return (200, "v1.20.13") if asked.path == "/version" else (403, "Forbidden")


@pytest.fixture
def cluster(tmp_path):
    """The port of a SOCKS proxy behind which the Service kubernetes answers, by TLS and at its one port, 443."""
    with serving(_version, tls=self_signed(tmp_path)) as api, socks_server({443: api.port}) as socks:
        yield socks.server_address[1]


@pytest.mark.parametrize("line", sorted(set(lines(r"^curl .*10\.152\.183\.1"))))
def test_the_example_of_a_question_to_the_cluster_is_answered(cluster, line):
    done = typed(line.replace(":9999", f":{cluster}"))
    assert done.stdout == "v1.20.13", done.stderr


@pytest.mark.parametrize("line", sorted(set(lines(r"det cmd run "))))
def test_the_example_of_a_command_runs_in_the_image_of_its_slots(tmp_path, line):
    """Without a slot it is the image for CPUs, which has a shell and no nvidia-smi."""
    image = tmp_path / "image"
    image.mkdir()
    for program in ("sh", "sleep"):
        (image / program).symlink_to(f"/bin/{program}")
    det = tmp_path / "det" / "bin" / "det"
    det.parent.mkdir(parents=True)
    det.write_text(f'#!/bin/sh\n[ "$4" = resources.slots=0 ] || exit 9\nshift 4\nPATH={image} exec "$@"\n')
    det.chmod(0o755)
    done = typed(f"cd {tmp_path} && {line}")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


#: refresh-certs as 1.20 has it (scripts/wrappers/refresh-certs.py): the authority goes, and another one is made
HOST = """
SNAP=$PWD/snap SNAP_DATA=$PWD/data
. "$SNAP/lib.sh"
ip() { echo "2: eth0    inet $has/24 brd x scope global eth0"; }
sudo() { "$@"; }
microk8s() {
  [ "$1" != refresh-certs ] || { rm "$SNAP_DATA"/certs/{ca.crt,front-proxy-ca.crt,csr.conf}; produce_certs; }
}
"""


def test_what_a_changed_address_has_one_type_leaves_the_clusters_authority(tmp_path):
    (row,) = re.findall(r"^\| k8s-cert \|.*$", PAGES["03_kubernetes.ipynb"], re.M)
    do = re.findall("`([^`]+)`", row)
    (tmp_path / "snap").symlink_to(SNAP)
    (tmp_path / "data" / "certs").mkdir(parents=True)
    certs = tmp_path / "data" / "certs"
    template = certs / "csr.conf.template"
    template.write_text((SNAP / "certs" / template.name).read_text())

    def host(text, address):
        done = typed(f"cd {tmp_path}\nhas={address}\n{HOST}\n{text}")
        assert done.returncode in (0, 10), done.stderr
        return (certs / "ca.crt").read_text()

    before = host("produce_certs", "192.0.2.1")
    for line in do:
        if line.startswith(("sudo ", "microk8s ")):
            host(line, "192.0.2.2")
    assert f"/var/snap/microk8s/current/certs/{template.name}" in do
    template.write_text(template.read_text().replace("#MOREIPS", "IP.9 = 198.51.100.9\n#MOREIPS"))
    assert host("produce_certs", "192.0.2.2") == before, "Python trusts no kubeconfig"
    shown = typed(f"openssl x509 -noout -text -in {certs / 'server.crt'}").stdout
    assert "192.0.2.2" in shown and "198.51.100.9" in shown and "192.0.2.1," not in shown
