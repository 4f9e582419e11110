"""What a root file system takes over from this machine's own configuration: registries, certificates, names."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import processes

SUITE = "bookworm"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)

# Settings of package clients and proxies that programs read from the environment.
_ENVIRONMENT = re.compile(
    r"^(https?_proxy|no_proxy|all_proxy|GOPROXY|GOSUMDB|GONOSUMDB|GONOPROXY|GOPRIVATE|GOINSECURE|GOAUTH"
    r"|PIP_\w+|npm_config_\w+|CARGO_\w+)$",
    re.I,
)


def output(*argv: str) -> str:
    """What a program prints, empty when it is missing or fails."""
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


@functools.cache
def settings(*argv: str) -> str:
    """output() of a program that tells this machine's settings, asked once: pip and apt take half a second each."""
    return output(*argv)


def apt_sources(suite: str = SUITE) -> list[str]:
    """This machine's Debian archives as `deb` lines for suite; empty where it has none (mmdebstrap knows its own)."""
    form = "$(CREATED_BY)|$(ORIGIN)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)"
    found: dict[tuple[str, str], list[str]] = {}
    for line in settings("apt-get", "indextargets", "--format", form).splitlines():
        kind, origin, uri, codename, component = line.split("|")
        if kind == "Packages" and origin == "Debian" and codename:
            pocket = codename.partition("-")[2]
            if pocket not in ("", "updates", "security"):
                continue
            components = found.setdefault((uri, suite + ("-" + pocket if pocket else "")), [])
            if component not in components:
                components.append(component)
    return [f"deb {uri} {name} {' '.join(components)}" for (uri, name), components in found.items()]


def known_sources(suite: str = SUITE) -> list[str]:
    """apt_sources(), with apt's lists fetched first where this machine has none."""
    found = apt_sources(suite)
    if not found and not output("apt-get", "indextargets"):
        output("apt-get", "-q", "update")
        settings.cache_clear()
        found = apt_sources(suite)
    return found


def apt_config() -> str:
    """How this machine's apt fetches: proxies, checks, retries."""
    skip = re.compile(r"^Acquire::(IndexTargets|cdrom|CompressionTypes|Changelogs|Languages|Gzip|Send-URI)|^Acquire \"")
    lines = settings("apt-config", "dump", "Acquire").splitlines()
    return "".join(line + "\n" for line in lines if not skip.match(line))


def environment(root: Path) -> dict[str, str]:
    """Variables for package clients in root, with the Go settings kept in a file as well; no path that root lacks."""
    found: dict[str, str] = {}
    config = Path(os.environ.get("GOENV") or Path.home() / ".config/go/env")
    if config.is_file():
        found.update(_pair(line) for line in config.read_text().splitlines() if "=" in line)
    found.update(os.environ)
    return {k: v for k, v in found.items() if _ENVIRONMENT.match(k) and _exists(root, v)}


def _pair(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    return key, value


def _exists(root: Path, value: str) -> bool:
    return not value.startswith("/") or (root / value[1:]).exists()


def pip_config(root: Path) -> str:
    """pip's merged configuration as an ini file; a path that does not exist in root is left out."""
    sections: dict[str, dict[str, str]] = {}
    for line in settings(sys.executable, "-m", "pip", "config", "list").splitlines():
        match = re.match(r"^(?::env:|(\w+))\.([\w-]+)='(.*)'$", line)
        if match and _exists(root, match[3]):
            sections.setdefault(match[1] or "global", {})[match[2]] = match[3].replace("\\n", "\n    ")
    return "".join(f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()) for name, keys in sections.items())


def name_servers() -> str:
    """resolv.conf(5) for a host of its own: where this machine asks a server on its loopback, that one's own list."""
    text = Path("/etc/resolv.conf").read_text()
    behind = Path("/run/systemd/resolve/resolv.conf")
    servers = re.findall(r"^nameserver\s+(\S+)", text, re.M)
    if all(s.startswith("127.") or s == "::1" for s in servers) and behind.is_file():
        text = behind.read_text()
    return text


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file of a root file system, making its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path.unlink()
    path.write_text(text)
    path.chmod(mode)


def apply(root: Path, suite: str = SUITE) -> None:
    """Give root this machine's registries, proxies, certificates and name servers. Safe to repeat."""
    sources = apt_sources(suite)
    if sources:
        write(root / "etc/apt/sources.list", "\n".join(sources) + "\n")
    write(root / "etc/apt/apt.conf.d/90machine", apt_config())
    for name in ("auth.conf", "auth.conf.d"):
        source, target = Path("/etc/apt", name), root / "etc/apt" / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.is_file():
            shutil.copy2(source, target)
    write(root / "etc/resolv.conf", name_servers())
    _certificates(root)
    write(root / "etc/pip.conf", pip_config(root))


def _certificates(root: Path) -> None:
    """Make root trust what this machine trusts."""
    bundle, mark = Path("/", BUNDLE), root / "var/lib/sandbox/certificates"
    if not bundle.is_file():
        return
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    if mark.is_file() and mark.read_text() == digest:
        return
    known = set(_CERTIFICATE.findall((root / BUNDLE).read_bytes()))
    extra = [c for c in _CERTIFICATE.findall(bundle.read_bytes()) if c not in known]
    for number, certificate in enumerate(extra):
        target = root / f"usr/local/share/ca-certificates/machine-{number}.crt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(certificate + b"\n")
    if extra:
        processes.run(
            f"add this machine's certificates to {root}",
            processes.entered(root, ["update-ca-certificates"]),
            do="is each certificate of this machine's bundle valid?",
        )
    write(mark, digest)
