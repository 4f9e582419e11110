"""Whether the node keeps, and pods run, the images that the origin serves now; where not, they are pulled anew."""

from __future__ import annotations

from pathlib import Path

from helpers.components.kubernetes.kube import Kube
from helpers.core.actions import Action
from helpers.core.shell import script

_SCRIPT = Path(__file__).with_name("scripts") / "served_images.sh"


class ServedImages:
    """The images of the artifacts that a chapter asked for. namespaces: whose pods are the chapter's.

    A tag says nothing: a node keeps what it once got by it, and the origin may serve another image since. Only the
    sandbox's mirror tells the digests of what its host's containerd will get: elsewhere nothing is compared.
    """

    def __init__(self, ch, *namespaces):
        self.ch, self.kube, self.namespaces = ch, Kube(ch), namespaces
        there = ch.artifacts.values() if ch.host.target.kind == "sandbox" else ()
        self._served = {name: digests for artifact in there for name, digests in artifact.images.items()}

    def before(self):
        """Step, before anything is installed: no image on the node will be taken for the origin's."""
        if not self._served:
            return self.ch.skip("images on the node: not compared", "their registries tell no digests beforehand")
        shown = "microk8s ctr images rm ...   (other images than the origin's: they are pulled anew)"
        action = Action(shown, self._script("no_others"), self._script("pull_anew"))
        return self.ch.step("no image on the node is another one than the origin's", action)

    def after(self):
        """Step, when all is installed: its pods run what the origin serves."""
        if self._served:
            self.ch.step("the pods run the origin's images", self._in_pods())

    def _in_pods(self):
        def apply():
            self.ch.host.run(self._script("pull_anew", *self.namespaces), what="pull the images anew")
            for space in self.namespaces:
                self.kube.wait_for("pods with the origin's images", self._script("no_others late", space), 600, space)

        shown = "microk8s ctr images rm ...; microk8s kubectl delete pod ...   (of other images than the origin's)"
        return Action(shown, self._script("no_others", *self.namespaces), apply)

    def _script(self, call, *namespaces):
        images = [" ".join([name, *digests]) for name, digests in sorted(self._served.items())]
        return script(_SCRIPT, " ".join(namespaces), *images) + "\n" + call
