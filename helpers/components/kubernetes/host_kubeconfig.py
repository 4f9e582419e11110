"""The ~/.kube/config of the host's user: the cluster's own entries in it, as `microk8s config` names them."""

from __future__ import annotations

import base64
import contextlib
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from helpers.components.kubernetes import kubeconfig
from helpers.core.actions import Action
from helpers.core.errors import CommandFailed, RunbookError

#: the context's name in what `microk8s config` prints
_CONTEXT = "microk8s"
#: of a file that is there: where it really lies, its mode, its owner, its content
_READ = '[ -e {0} ] || exit 0; readlink -f {0}; stat -Lc "%a %U:%G" {0}; base64 -w0 {0}'


class HostKubeconfig:
    """One user's file on the chapter's target. Entries of other clusters in it stay."""

    def __init__(self, kube, user):
        self.kube, self.host, self.user = kube, kube.ch.host, user
        self.file = f"~{user}/.kube/config"

    def action(self):
        """Action: it leads to this cluster, and nobody else may read it."""
        shown = f"microk8s config > {self.file}   (0600; merged into one that is there)"
        return Action(shown, self.why_not, self.apply, self.undo, self.why_still_there)

    def why_not(self):
        """None when its context is this cluster's; else what is different."""
        with self._copy() as (path, about):
            found = kubeconfig.entry(path, _CONTEXT)
            if found is None:
                return f"no context {_CONTEXT} in {self.file}"
            wanted = self._wanted(path.parent)
        if any(found[kind] != wanted[kind] for kind in ("cluster", "user")):
            return f"context {_CONTEXT} in {self.file} is of another cluster, or an older one"
        return None if about["mode"] == "600" else f"{self.file}: its mode is {about['mode']}, not 600"

    def apply(self):
        """Write it, or put our entries into what is there."""
        with self._copy() as (path, about):
            found = kubeconfig.entry(path, _CONTEXT)
            if found is not None and not self._is_ours(found, path.parent):
                raise self._error(
                    f"its context {_CONTEXT} points to {_server(found)}, another cluster",
                    f"Rename that context (kubectl config rename-context {_CONTEXT} other), then run again.",
                )
            if _holds_only_ours(path):
                path.write_text(self.kube.config())
            elif self.why_not() is not None:
                kubeconfig.merge(path, self.kube.config(), _CONTEXT)
            self._put(path.read_bytes(), about)

    def undo(self):
        """Take our entries out; a file that holds nothing else goes."""
        with self._copy() as (path, about):
            found = kubeconfig.entry(path, _CONTEXT)
            if not _holds_only_ours(path):
                if found is not None and self._is_ours(found, path.parent):
                    _take(path, found["context"])
                if path.exists():
                    self._put(path.read_bytes(), about)
                    return
        folder = f"~{self.user}/.kube"
        self.host.run(f"rm -rf {self.file} {folder}/cache; rmdir {folder} 2>/dev/null || true")

    def why_still_there(self):
        """None when no context in it leads to the cluster of this host."""
        with self._copy() as (path, _):
            found = kubeconfig.entry(path, _CONTEXT)
            ours = found is not None and self._is_ours(found, path.parent)
        return f"context {_CONTEXT} is still in {self.file}" if ours else None

    def _wanted(self, folder):
        return _printed(self.kube, folder)

    def _is_ours(self, found, folder):
        return leads_here(self.kube, found, folder, "127.0.0.1", "localhost")

    @contextlib.contextmanager
    def _copy(self):
        """(a copy of the file in a private folder here, {"file", "mode", "owner"}); no copy when there is no file."""
        said = self.host.run(_READ.format(self.file), raw=True, what=f"read {self.file}").out.splitlines()
        about = {"file": None, "mode": "", "owner": self.user}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config"
            if said:
                about["file"] = said[0]
                about["mode"], about["owner"] = said[1].split()
                path.write_bytes(base64.b64decode(said[2] if len(said) > 2 else ""))
            try:
                yield path, about
            except RunbookError as e:
                if str(folder) not in f"{e.what} {e.saw}":
                    raise
                raise self._error(e.saw, "Mend it, or move it aside, then run again.") from None

    def _put(self, data, about):
        if about["file"] is None:
            self.host.run(f"install -d -o {self.user} ~{self.user}/.kube")
            about["file"] = self.kube.ch.run(f"echo {self.file}").strip()
        self.host.put(data, about["file"], "0600", about["owner"])

    def _error(self, saw, do):
        return RunbookError(f"edit {self.file}", self.host.name, saw, do + " Nothing was changed.")


def leads_here(kube, found, folder, *names):
    """Do these entries (kubeconfig.entry) lead to this host's cluster, or to an earlier one here?

    Their address says so, or their authority. names: more of the host's.  folder: a private one for what is asked.
    """
    here = [*names, kube.ch.host.address, *kube.ch.run("hostname -I", sudo=False).split()]
    if urlsplit(_server(found)).hostname in here:
        return True
    try:
        authority = _printed(kube, folder)["cluster"].get("certificate-authority-data")
    except CommandFailed:  # there is no cluster any more
        return False
    return authority == (found["cluster"] or {}).get("certificate-authority-data")


def _printed(kube, folder):
    """The entries that `microk8s config` prints."""
    path = folder / "wanted"
    path.write_text(kube.config())
    found = kubeconfig.entry(path, _CONTEXT)
    if found is None:
        raise RunbookError("read what `microk8s config` prints", kube.ch.host.name, f"no context {_CONTEXT} in it")
    return found


def _server(found):
    return str((found["cluster"] or {}).get("server", ""))


def _holds_only_ours(path):
    """Is it nothing, or what `microk8s config` printed once, alone?"""
    content = yaml.safe_load(path.read_text("utf-8")) if path.exists() else None
    if content is None:
        return True
    names = [[i.get("name") for i in content.get(key) or []] for key in ("clusters", "contexts", "users")]
    return names[:2] == [["microk8s-cluster"], [_CONTEXT]] and len(names[2]) == 1


def _take(path, context):
    """Take the context out, and the cluster and user that it names when no other context does."""
    kubeconfig.remove(path, _CONTEXT)
    for name in {context.get("cluster"), context.get("user")} - {_CONTEXT, None}:
        content = (yaml.safe_load(path.read_text("utf-8")) if path.exists() else None) or {}
        others = [dict(i.get("context") or {}, name=i.get("name")) for i in content.get("contexts") or []]
        if content and not any(name in other.values() for other in others):
            kubeconfig.remove(path, name)
