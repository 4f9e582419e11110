"""Helm as chapters use it: releases in the target's cluster, made from the operator's machine through SSH."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import re
import tempfile
from pathlib import Path

import yaml

from helpers.components.kubernetes.kube import Kube
from helpers.core.actions import Action, why_not_so
from helpers.core.advice import aimed
from helpers.core.errors import CommandFailed, RunbookError
from helpers.core.files import lock, write_whole
from helpers.core.paths import home

#: a release's description: of which file it was made; of one that an older runbook made nothing is known
_FILE = "chart sha256:"
_HALF_DONE = ("pending-install", "pending-upgrade", "pending-rollback", "uninstalling")


class Chart:
    """A chart by name and version; where: helm's arguments for it; shown: the same for a reader.

    environment: variables by which helm reaches it.  sha256: its package's checksum, "" when it is not known.
    """

    def __init__(self, name, version, where, shown=None, environment=None, sha256=""):  # noqa: PLR0913 - what it is
        self.name, self.version, self.where, self.sha256 = name, version, list(where), sha256
        self.shown, self.environment = shown or name, environment or {}
        self.ours = False  # a folder of ours renders to the same each time; another chart may make up keys as it does

    @classmethod
    def folder(cls, path):
        """A chart of our own, below setup/."""
        about = yaml.safe_load((path / "Chart.yaml").read_text())
        chart = cls(about["name"], about["version"], [str(path)], "setup/" + path.name)
        chart.ours = True
        return chart

    @classmethod
    def artifact(cls, artifact, alone=False):
        """An artifact of kind "chart", resolved: its url is the package's; the index of its repository lies beside.

        alone: no index does, and helm fetches the package itself.
        """
        repo, _, file = artifact.url.rpartition("/")
        name = file[: -len(f"-{artifact.version}.tgz")]
        where = [artifact.url] if alone else [name, "--repo", repo, "--version", artifact.version]
        shown = f"{name} --version {artifact.version}"
        return cls(name, artifact.version, where, shown, artifact.environment, artifact.sha256)


class Helm:
    """helm (a tools.Tool) on the chapter's cluster, with settings and a kubeconfig of its own: yours are left alone."""

    def __init__(self, ch, tool):
        self.ch, self.tool, self.kube, self._config = ch, tool, Kube(ch), None
        with lock(_lock()):
            _sweep(home("helm"))

    def run(self, *arguments, environment=None, cluster=True, **how):
        """Run helm; returns its standard output. Secrets have no place in it, neither as an argument nor as a value.

        environment: more variables.  cluster: it talks to the cluster.  how: see tools.Tool.run.
        """
        folder = home("helm")
        env = {f"HELM_{k}_HOME": str(folder / k.lower()) for k in ("CACHE", "CONFIG", "DATA")}
        env.update(environment or {})
        if cluster:
            env["KUBECONFIG"] = self._kubeconfig()
        if self.ch.mode == "remove" and self.tool.missing():  # another machine than the one that installed
            self.tool.fetch()
        return self.tool.run(*arguments, env=env, **how)

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
                    aimed("Run chapter 03 first: ./runbook up --only kubernetes", self.ch.notebook, self.ch.values),
                )
            local = self.ch.forward(int(server.group(1)))
            path = home("helm") / f"{self.ch.host.target.slug}-{self.ch.notebook.id}.kubeconfig"
            with lock(_lock()):
                write_whole(path, text.replace(server.group(0), f"server: https://127.0.0.1:{local}"))
                self._in_use = open(str(path))  # noqa: SIM115 - its lock ends with this process, however that ends
                fcntl.flock(self._in_use, fcntl.LOCK_SH)
            self.ch.cleanup(lambda: path.exists() and path.unlink())
            self._config = str(path)
        return self._config

    def release(self, name, namespace):
        """What helm knows of a release; None when there is none.

        Its info, chart ("name-version"), config (our values), manifest.
        """
        rows = json.loads(self.run("list", "-n", namespace, "--all", "--filter", f"^{name}$", "-o", "json"))
        if not rows:
            return None
        return dict(json.loads(self.run("status", name, "-n", namespace, "-o", "json")), chart=rows[0]["chart"])

    def upgrade(self, name, chart, namespace, values, *options, timeout=300):
        """Upgrade a release to this chart, whose file is held to its checksum before, where that is known."""
        with tempfile.TemporaryDirectory() as folder:
            words = ["upgrade", *options, name, *self._verified(chart, folder), "-n", namespace, "-f", "-"]
            self.run(*words, stdin=json.dumps(values), timeout=timeout, environment=chart.environment)

    def _verified(self, chart, folder):
        """helm's arguments for a chart: where its checksum is known, for its file below folder, which has it."""
        if not chart.sha256:
            return chart.where
        self.run("pull", *chart.where, "--destination", folder, environment=chart.environment, cluster=False)
        file = Path(folder) / f"{chart.name}-{chart.version}.tgz"
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != chart.sha256:
            saw = f"its SHA-256 is {found}, not {chart.sha256}"
            do = "Do not use it. If the file was replaced on purpose, set its checksum where it comes from."
            raise RunbookError(f"verify chart {chart.shown}", "this machine", saw, do)
        return [str(file), "--description", _FILE + chart.sha256]

    def lint(self, chart, values=None):
        """None when helm finds a chart folder sound with these values; else what it says."""
        try:
            self.run("lint", chart.where[0], "-f", "-", stdin=json.dumps(values or {}), cluster=False)
        except CommandFailed as e:
            return "; ".join(line.strip() for line in e.out.splitlines() if "[ERROR]" in line) or e.saw
        return None

    def installed(  # noqa: PLR0913 - its keywords are its interface
        self, name, chart, namespace, values=None, ready=None, timeout=300
    ):
        """Action: the release is this chart with these values, its objects are there, and the probe `ready` holds.

        values: a dict without secrets, or a callable that returns one when it is needed. They travel on standard
        input. A release whose install was cut off is taken up again. timeout: seconds, to apply it and again to
        become ready.
        """
        release = _Release(self, chart, name, namespace, values=values or {}, ready=ready, timeout=timeout)
        return Action(release.shown(), release.why_not, release.apply, release.undo, release.why_still_there)


class _Release:
    """One release as it should be. values: a dict or a callable; ready: a probe or None; timeout: seconds."""

    def __init__(self, helm, chart, name, namespace, *, values, ready, timeout):  # noqa: PLR0913 - all that it is
        self.helm, self.chart, self.name, self.namespace = helm, chart, name, namespace
        self.values, self.ready, self.timeout = values, ready, timeout

    def _wanted(self):
        return self.values() if callable(self.values) else self.values

    def shown(self):
        """The command for a reader, with the values that are known by now."""
        given = {} if callable(self.values) else flat(self.values)
        sets = [f" --set {k}={json.dumps(v) if isinstance(v, bool) else v}" for k, v in sorted(given.items())]
        return f"helm upgrade --install {self.name} {self.chart.shown} -n {self.namespace}" + "".join(sets)

    def why_not(self):
        """None when the release is as wanted, all its objects are in the cluster and it is ready; else why not."""
        why = self.helm.tool.missing() or self._why_other()
        if why is None and self.ready:
            why = why_not_so(self.helm.ch.host, self.ready)
        return why

    def _why_other(self):
        found = self.helm.release(self.name, self.namespace)
        if found is None:
            return f"release {self.name} is not installed"
        if found["info"]["status"] != "deployed":
            return "release {} is {}".format(self.name, found["info"]["status"])
        noted = found["info"].get("description", "")
        if noted.startswith(_FILE) and self.chart.sha256 and noted != _FILE + self.chart.sha256:
            return f"release {self.name} was made of another file of {found['chart']} than the origin serves"
        if found["chart"] != f"{self.chart.name}-{self.chart.version}":
            return f"release {self.name} is chart {found['chart']}, not {self.chart.name}-{self.chart.version}"
        values = self._wanted()
        is_so, wanted = flat(found.get("config") or {}), flat(values)
        other = sorted(k for k in set(is_so) | set(wanted) if is_so.get(k) != wanted.get(k))
        if other:
            return "release {} has other values: {}".format(self.name, ", ".join(other))
        return self._why_older(found["manifest"], values) or self._why_incomplete(found["manifest"])

    def _why_older(self, manifest, values):
        """None when the chart as it lies here renders to what the release was made of; else what differs."""
        if not self.chart.ours:  # by its file's checksum, see above
            return None
        render = ["template", self.name, *self.chart.where, "-n", self.namespace, "--no-hooks", "-f", "-"]
        said = self.helm.run(*render, stdin=json.dumps(values), cluster=False)
        wanted, is_so = objects_of(said), objects_of(manifest)
        other = sorted(k for k in set(is_so) | set(wanted) if is_so.get(k) != wanted.get(k))
        return (
            "release {} is of an older {}: {}".format(self.name, self.chart.shown, ", ".join(other)) if other else None
        )

    def _why_incomplete(self, manifest):
        """None when all objects of a manifest are in the cluster."""
        said = ""
        for space, part in sorted(by_namespace(manifest, self.namespace).items()):
            # kubectl takes objects of one namespace at a time
            ask = f"microk8s kubectl get -n {space} -o name -f - >/dev/null"
            asked = self.helm.ch.host.run(ask, stdin=part, check=False, quiet=True)
            said += asked.err if asked.code else ""
        gone = re.findall(r'\(NotFound\): (\S+) "([^"]+)" not found', said)
        if gone:
            return "missing: " + ", ".join(sorted("{}/{}".format(*g) for g in gone))
        return said.strip().split("\n")[-1] or None

    def apply(self):
        """Install or upgrade it, and wait until it is ready."""
        # helm refuses to touch a release whose last change was cut off; without that note it takes up what is there.
        half_done = "owner=helm,name={},status in ({})".format(self.name, ",".join(_HALF_DONE))
        self.helm.kube.kubectl(f"delete secret -n {self.namespace} -l '{half_done}'")
        self.helm.upgrade(self.name, self.chart, self.namespace, self._wanted(), "--install", timeout=self.timeout)
        if self.ready:
            self.helm.kube.wait_for("the pods of release " + self.name, self.ready, self.timeout, self.namespace)

    def undo(self):
        """Take it away."""
        self.helm.run("uninstall", self.name, "-n", self.namespace, timeout=self.timeout)

    def why_still_there(self):
        """None when there is no such release any more, nor a cluster that could have it."""
        if not self.helm.kube.installed():
            return None
        return None if self.helm.release(self.name, self.namespace) is None else f"release {self.name} is still there"


def _lock():
    return home("locks") / "helm.lock"


def _sweep(folder):
    """Take away kubeconfigs, whose user is the cluster's administrator, of processes that ended without a verdict."""
    for path in folder.glob("*.kubeconfig"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), open(str(path)) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


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


def objects_of(manifest):
    """{"<kind>/<name>": the object} of a manifest."""
    found = [each for each in yaml.safe_load_all(manifest) if each]
    return {"{}/{}".format(each["kind"], each["metadata"]["name"]): each for each in found}


def flat(values, before=""):
    """{"a": {"b": 1}} as {"a.b": 1}, as --set writes it."""
    found = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found.update(flat(value, before + key + "."))
        else:
            found[before + key] = value
    return found
