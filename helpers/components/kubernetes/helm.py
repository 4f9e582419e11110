"""Helm as chapters use it: releases in the target's cluster, made from the operator's machine through SSH."""

from __future__ import annotations

import json
import os
import re

import yaml

from helpers.components.kubernetes.kube import Kube
from helpers.core.actions import Action
from helpers.core.errors import CommandFailed, RunbookError
from helpers.core.paths import home

_HALF_DONE = ("pending-install", "pending-upgrade", "pending-rollback", "uninstalling")


class Chart:
    """A chart by name and version; where: helm's arguments for it; shown: the same for a reader."""

    def __init__(self, name, version, where, shown=None, mirrored=False):
        self.name, self.version, self.where, self.shown, self.mirrored = (
            name,
            version,
            list(where),
            shown or name,
            mirrored,
        )

    @classmethod
    def folder(cls, path):
        """A chart of our own, below setup/."""
        about = yaml.safe_load((path / "Chart.yaml").read_text())
        return cls(about["name"], about["version"], [str(path)], "setup/" + path.name)

    @classmethod
    def artifact(cls, artifact):
        """An artifact of kind "chart", resolved: its url is the package's; the repository's index.yaml lies beside that."""
        repo, _, file = artifact.url.rpartition("/")
        name = file[: -len(f"-{artifact.version}.tgz")]
        return cls(
            name,
            artifact.version,
            [name, "--repo", repo, "--version", artifact.version],
            f"{name} --version {artifact.version}",
            artifact.origin != "upstream",
        )


class Helm:
    """helm (a tools.Tool) on the chapter's cluster. It has settings and a kubeconfig of its own: the operator's are left alone."""

    def __init__(self, ch, tool):
        self.ch, self.tool, self.kube, self._config = ch, tool, Kube(ch), None

    def run(self, *arguments, **kw):
        """Run helm; returns its standard output. Secrets have no place in it, neither as an argument nor as a value. Options: see tools.Tool.run."""
        folder = home("helm")
        env = {f"HELM_{k}_HOME": str(folder / k.lower()) for k in ("CACHE", "CONFIG", "DATA")}
        if kw.pop("mirrored", False):  # a mirror is in this network; a proxy for the Internet would not find it
            env.update(NO_PROXY="*", no_proxy="*")
        if kw.pop("cluster", True):
            env["KUBECONFIG"] = self._kubeconfig()
        if self.ch.mode == "remove" and self.tool.missing():  # another machine than the one that installed
            self.tool.fetch()
        return self.tool.run(*arguments, env=env, **kw)

    def _kubeconfig(self):
        """The cluster's own kubeconfig, its server at the end of a forwarded port; 0600, deleted at the verdict."""
        if self._config is None:
            text = self.kube.config()
            server = re.search(r"server: *https://\S+?:(\d+)", text)
            if not server:
                raise RunbookError(
                    "read the cluster's address",
                    self.ch.host.name,
                    "microk8s config names none",
                    "Run chapter 03 first: ./runbook up --only kubernetes",
                )
            local = self.ch.forward(int(server.group(1)))
            path = home("helm") / f"{self.ch.host.target.slug}-{self.ch.notebook.id}.kubeconfig"
            with os.fdopen(os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
                f.write(text.replace(server.group(0), f"server: https://127.0.0.1:{local}"))
            self.ch.cleanup(lambda: path.exists() and path.unlink())
            self._config = str(path)
        return self._config

    # -- questions -------------------------------------------------------------------------------

    def release(self, name, namespace):
        """What helm knows of a release: its info, chart ("name-version"), config (our values), manifest. None when there is none."""
        rows = json.loads(self.run("list", "-n", namespace, "--all", "--filter", f"^{name}$", "-o", "json"))
        if not rows:
            return None
        return dict(json.loads(self.run("status", name, "-n", namespace, "-o", "json")), chart=rows[0]["chart"])

    def lint(self, chart, values=None):
        """None when helm finds a chart folder sound with these values; else what it says."""
        try:
            self.run("lint", chart.where[0], "-f", "-", stdin=json.dumps(values or {}), cluster=False)
        except CommandFailed as e:
            return "; ".join(line.strip() for line in e.out.splitlines() if "[ERROR]" in line) or e.saw
        return None

    def differs(self, name, chart, namespace, values):
        """None when the release is this chart with these values and all its objects are in the cluster; else why not."""
        if self.tool.missing():
            return self.tool.missing()
        found = self.release(name, namespace)
        if found is None:
            return f"release {name} is not installed"
        if found["info"]["status"] != "deployed":
            return "release {} is {}".format(name, found["info"]["status"])
        if found["chart"] != f"{chart.name}-{chart.version}":
            return "release {} is chart {}, not {}-{}".format(name, found["chart"], chart.name, chart.version)
        is_so, wanted = flat(found.get("config") or {}), flat(values)
        other = sorted(k for k in set(is_so) | set(wanted) if is_so.get(k) != wanted.get(k))
        if other:
            return "release {} has other values: {}".format(name, ", ".join(other))
        return self._missing(found["manifest"], namespace)

    def _missing(self, manifest, namespace):
        said = ""
        for space, part in sorted(
            by_namespace(manifest, namespace).items()
        ):  # kubectl takes objects of one namespace at a time
            asked = self.ch.host.run(
                f"microk8s kubectl get -n {space} -o name -f - >/dev/null",
                stdin=part,
                check=False,
                quiet=True,
            )
            said += asked.err if asked.code else ""
        if not said:
            return None
        gone = re.findall(r'\(NotFound\): (\S+) "([^"]+)" not found', said)
        return (
            "missing: " + ", ".join(sorted("{}/{}".format(*g) for g in gone)) if gone else said.strip().split("\n")[-1]
        )

    # -- steps -----------------------------------------------------------------------------------

    def installed(self, name, chart, namespace, values=None, ready=None, timeout=300):
        """Action: the release is this chart with these values, its objects are there, and the probe `ready` holds.

        values: a dict without secrets, or a callable that returns one when it is needed. They travel on standard input.
        A release whose install was cut off is taken up again. timeout: seconds, to apply it and again to become ready.
        """
        wanted = values if callable(values) else lambda: values or {}

        def done():
            why = self.differs(name, chart, namespace, wanted())
            if why is None and ready:
                ok, seen = self.ch.host.ask(ready)
                why = None if ok else seen
            return why

        def apply():
            # helm refuses to touch a release whose last change was cut off; without that note it takes up what is there.
            self.kube.kubectl(
                "delete secret -n {} -l 'owner=helm,name={},status in ({})'".format(
                    namespace, name, ",".join(_HALF_DONE)
                )
            )
            self.run(
                "upgrade",
                "--install",
                name,
                *chart.where,
                "-n",
                namespace,
                "-f",
                "-",
                stdin=json.dumps(wanted()),
                timeout=timeout,
                mirrored=chart.mirrored,
            )
            if ready:
                self.kube.wait_for("the pods of release " + name, ready, timeout)

        given = {} if callable(values) else flat(values or {})
        shown = [
            "helm upgrade --install {} {} -n {}{}".format(
                name,
                chart.shown,
                namespace,
                "".join(f" --set {k}={json.dumps(v) if isinstance(v, bool) else v}" for k, v in sorted(given.items())),
            )
        ]
        return Action(
            shown,
            done,
            apply,
            lambda: self.run("uninstall", name, "-n", namespace, timeout=timeout),
            absent=lambda: self._still(name, namespace),
        )

    def _still(self, name, namespace):
        return None if self.release(name, namespace) is None else f"release {name} is still there"


def by_namespace(manifest, namespace):
    """{namespace: the documents of a manifest whose metadata name it}; those that name none are of `namespace`."""
    found = {}
    for document in re.split(r"^---.*$", manifest, flags=re.M):  # as text: to parse a large definition takes seconds
        if re.search(r"^[^#\s]", document, re.M):
            meta = re.search(r"^metadata:(.*?)(?=^\S|\Z)", document, re.M | re.S)
            named = re.search(r"\bnamespace: *[\"']?([a-z0-9-]+)", meta.group(1) if meta else "")
            space = named.group(1) if named else namespace
            found[space] = found.get(space, "") + "---\n" + document.strip("\n") + "\n"
    return found


def flat(values, before=""):
    """{"a": {"b": 1}} as {"a.b": 1}, as --set writes it."""
    found = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found.update(flat(value, before + key + "."))
        else:
            found[before + key] = value
    return found
