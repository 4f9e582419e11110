"""Each lack is found and named with the command that mends it; only programs, files and the user's id are faked."""

import os
import platform

import programs
import pytest

from helpers.command import doctor
from helpers.core import notebooks
from helpers.core.errors import RunbookError
from helpers.sandbox import needs

NEEDED = ["ssh", "ssh-keygen", "kubectl", "helm", "chromium", "chromedriver", "chroot", "git", *needs.SANDBOX_PROGRAMS]

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="doctor's Linux part")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with every needed program on its PATH, as root, on Debian."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in NEEDED:
        programs.put(folder, name)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("RUNBOOK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNBOOK_YES", "1")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for module in (doctor, needs):
        monkeypatch.setattr(module, "is_debian", lambda: True)
    return folder


def named(found):
    return {lack.what: lack for lack in found}


@pytest.mark.parametrize(
    "name, package",
    [
        ("ssh", "openssh-client"),
        ("ssh-keygen", "openssh-client"),
        ("kubectl", "kubernetes-client"),
        *((n, p) for n, (p, _) in needs.SANDBOX_PROGRAMS.items()),
    ],
)
def test_a_missing_program_is_named_with_its_package(machine, name, package):
    assert name not in named(doctor.lacks())
    (machine / name).unlink()
    lack = named(doctor.lacks())[name]
    assert lack.packages == (package,) and lack.why
    assert lack.mend == f"apt-get install -y --no-install-recommends {package}"


def test_a_browser_is_for_later_and_ubuntu_has_it_as_a_snap(machine, monkeypatch):
    for name in ("chromium", "chromedriver"):
        (machine / name).unlink()
    monkeypatch.setattr(doctor, "is_ubuntu", lambda: False)
    found = named(doctor.lacks())
    assert [found[n].packages for n in ("chromium", "chromedriver")] == [("chromium",), ("chromium-driver",)]
    assert found["chromium"].part == "later" and not doctor.runbook_lacks()
    monkeypatch.setattr(doctor, "is_ubuntu", lambda: True)
    n = notebooks.find("label_studio")
    assert {(lack.mend, lack.packages) for lack in doctor.chapter_lacks(n)} == {("snap install chromium", ())}
    assert len(doctor.chapter_lacks(n, n.check({}))) == 2 and not doctor.chapter_lacks(
        n, n.check({"screenshot": False})
    )


@pytest.mark.parametrize(
    "system, debian, mend", [("Darwin", True, "brew"), ("Linux", False, "Chromium and its driver")]
)
def test_a_browser_elsewhere(machine, monkeypatch, system, debian, mend):
    for name in ("chromium", "chromedriver"):
        (machine / name).unlink()
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(doctor, "is_debian", lambda: debian)
    monkeypatch.setattr(doctor, "is_ubuntu", lambda: False)
    found = doctor.chapter_lacks(notebooks.find("label_studio"))
    assert mend in found[0].mend and not found[0].packages
    assert len(found) == (1 if system == "Darwin" else 2), "Selenium fetches the driver by itself there"


def test_the_tests_own_program_is_installed_for_them_alone(machine):
    (lack,) = doctor.test_lacks()
    assert lack.packages == ("shellcheck",) and "shellcheck" not in named(doctor.lacks())
    programs.put(machine, "shellcheck")
    assert not doctor.test_lacks()


def test_only_what_a_chapters_parameters_ask_for_is_installed_by_up(machine):
    (machine / "kubectl").unlink()
    n = notebooks.find("kubernetes")
    assert named(doctor.chapter_lacks(n)) and not doctor.chapter_lacks(n, n.check({}))


def test_helm_is_only_a_note_for_later(machine):
    (machine / "helm").unlink()
    assert named(doctor.lacks())["helm"].part == "later"
    assert not doctor.runbook_lacks() and "helm" not in named(needs.sandbox_lacks(need=0))


def test_an_old_python_is_named_with_the_one_needed(machine):
    lack = named(doctor.runbook_lacks(version=(3, 9, 2)))["Python 3.11"]
    assert "3.9" in lack.why and "python3.11" in lack.mend


def test_sbin_missing_from_path(machine):
    (machine / "chroot").unlink()
    assert named(needs.sandbox_lacks())["/usr/sbin in PATH"].mend.startswith("export PATH=")


def test_not_root_cannot_host_a_sandbox_and_hears_what_to_do(machine, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    lack = named(needs.sandbox_lacks())["root"]
    assert "sudo" in lack.mend and "--target ssh://" in lack.mend


def test_not_linux_cannot_host_a_sandbox(machine, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    (lack,) = needs.sandbox_lacks()
    assert lack.what == "Linux" and "Darwin" in lack.why and "--target ssh://" in lack.mend
    (machine / "ssh").unlink()
    assert named(doctor.runbook_lacks())["ssh"].mend == "brew install openssh"


def test_a_kernel_without_namespaces(machine):
    programs.put(machine, "unshare", "echo unshare failed: Operation not permitted >&2; exit 1")
    lack = named(needs.sandbox_lacks(need=0))["namespaces"]
    assert "Operation not permitted" in lack.why and "--target ssh://" in lack.mend


@pytest.mark.parametrize(
    "mounts, why", [("proc /proc proc rw 0 0\n", "none are mounted"), ("cgroup2 {} cgroup2 ro 0 0\n", "read-only")]
)
def test_cgroups_missing_or_read_only(machine, tmp_path, monkeypatch, mounts, why):
    table = tmp_path / "mounts"
    table.write_text(mounts.format(tmp_path))
    frozen = type("Statvfs", (), {"f_flag": os.ST_RDONLY})()
    monkeypatch.setattr(os, "statvfs", lambda path: frozen)
    assert why in named(needs.kernel_lacks(table))["cgroups"].why


@pytest.mark.parametrize("release, old", [("5.10.0-30-amd64", True), ("5.12.0", False), ("6.1.0-18-amd64", False)])
def test_a_kernel_that_cannot_keep_builds_apart(release, old):
    found = needs._old_kernel(release)
    assert bool(found) is old and all(release in lack.why and lack.what == "Linux 5.12" for lack in found)


def test_too_little_disk_says_how_much_is_needed_and_free(machine, tmp_path):
    lack = named(needs.sandbox_lacks(tmp_path / "not" / "yet", need=1 << 60))["disk space"]
    assert "1073741824.0 GiB" in lack.why and str(tmp_path) in lack.why and "RUNBOOK_HOME=" in lack.mend
    assert not (tmp_path / "not").exists()
    assert "disk space" not in named(needs.sandbox_lacks(tmp_path, need=1))


@pytest.mark.parametrize(
    "text, answer",
    [("ID=debian\n", True), ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True), ("ID=fedora\n", False), (None, False)],
)
def test_debian_and_its_children_are_known(tmp_path, text, answer):
    release = tmp_path / "os-release"
    if text:
        release.write_text(text)
    assert needs.is_debian(release) is answer


def test_install_names_the_packages_and_updates_apt_only_when_it_must(machine, tmp_path):
    calls = tmp_path / "calls"
    programs.put(
        machine,
        "apt-get",
        f'echo "$@" >> {calls}; case "$*" in *update*) : > {tmp_path}/fresh;; *) [ -e {tmp_path}/fresh ];; esac',
    )
    (machine / "ip").unlink()
    (machine / "mmdebstrap").unlink()
    said = []
    doctor.install(doctor.lacks(), said.append)
    assert said == ["installing with apt-get: iproute2 mmdebstrap", "apt-get update"]
    words = [set(line.split()) & {"-s", "update", "install"} for line in calls.read_text().splitlines()]
    assert words == [{"-s", "install"}, {"update"}, {"-s", "install"}, {"install"}]
    doctor.install(doctor.lacks(), said.append)
    assert len(calls.read_text().splitlines()) == 6  # lists are there: no second update


def test_a_failed_install_shows_what_apt_said(machine):
    programs.put(machine, "apt-get", "echo E: no such package >&2; exit 100")
    (machine / "ip").unlink()
    with pytest.raises(RunbookError) as error:
        doctor.install(doctor.lacks(), lambda text: None)
    assert "E: no such package" in str(error.value) and "apt-get install" in str(error.value)


@pytest.mark.parametrize("root, debian", [(False, True), (True, False)])
def test_install_elsewhere_only_prints_the_commands(machine, monkeypatch, root, debian):
    programs.put(machine, "apt-get", "exit 99")
    (machine / "ssh").unlink()
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    for module in (doctor, needs):
        monkeypatch.setattr(module, "is_debian", lambda: debian)
    with pytest.raises(RunbookError) as error:
        doctor.install(doctor.runbook_lacks(), lambda text: None)
    assert "apt-get install" in error.value.do and ("sudo " in error.value.do) is not root


def test_install_with_nothing_to_do_does_nothing(machine):
    programs.put(machine, "apt-get", "exit 99")
    doctor.install(doctor.lacks(), pytest.fail)


def test_a_disk_that_allows_no_sudo(machine, tmp_path, monkeypatch):
    mounted = type("Statvfs", (), {"f_flag": os.ST_NOSUID, "f_bavail": 1, "f_blocks": 1, "f_bfree": 1, "f_frsize": 1})()
    monkeypatch.setattr(os, "statvfs", lambda path: mounted)
    assert "no sudo" in named(needs.sandbox_lacks(tmp_path, need=0))["a disk for programs"].why
