"""Stage 3: what the cluster gives to the pipeline: a namespace, who may roll out there, keys, and the base image."""

from __future__ import annotations

import base64
import json

from helpers.components.addons.istio import GATEWAY, NAMESPACE
from helpers.components.determined.install import Install
from helpers.components.kubernetes.image_build import IN_CLUSTER
from helpers.components.kubernetes.images import Images
from helpers.components.kubernetes.kube import Kube
from helpers.components.kubernetes.objects import why_not_as_written
from helpers.components.kubernetes.probes import gone
from helpers.components.kubernetes.registry import PLACE
from helpers.components.pachyderm.client import S3
from helpers.components.pachyderm.client import SPACE as PACHYDERM
from helpers.core.actions import Action
from helpers.core.errors import NotYet, RunbookError
from helpers.core.paths import SETUP

SPACE, NAME = "clothes", "clothes"
FOLDER = SETUP / "end-to-end-setup"
MARK = "runbook=end_to_end"
#: the Secret with MinIO's key, in Determined's namespace: training tasks read it
TASK_SECRET = "clothes-minio"
#: the ServiceAccount by which a job of the pipeline rolls out, and the Secret with its token
DEPLOYER, TOKEN = "deployer", "deployer-token"
_PREDICTIONS = f"/seldon/{SPACE}/{NAME}/api/v1.0/predictions"
_COMMAND = ["seldon-core-microservice", "Clothes", "--service-type", "MODEL"]


class Cluster:
    """The cluster on the chapter's target. base: the image that the base image is built on.

    tasks: Determined's namespace, in which training tasks run.
    """

    def __init__(self, ch, base, tasks="determined"):
        self.tasks = tasks
        self.ch, self.kube, self.images = ch, Kube(ch), Images(ch, SPACE)
        requirements = (FOLDER / "requirements.txt").read_text("utf-8")
        self._image = ("clothes-base", base, requirements, {}, _COMMAND)

    def things(self):
        """What the chapter makes, as core/ownership.py names it."""
        return [f"namespace {SPACE}", f"object {self.tasks}/secret/{TASK_SECRET}"]

    def namespace(self):
        """Action: the namespace exists. Remove deletes it, with the model that is served in it."""
        return self.kube.namespace(SPACE, MARK)

    def deployer(self):
        """Action: a ServiceAccount that may change the SeldonDeployments of this namespace, and nothing else."""
        text = (FOLDER / "deployer.yaml").read_text("utf-8")

        def apply():
            self.kube.apply(text)
            self.ch.wait("its token", self.token)

        return Action(
            "kubectl apply -f setup/end-to-end-setup/deployer.yaml", lambda: why_not_as_written(self.kube, text), apply
        )

    def base_image(self):
        """Action: the registry has the image that the model's layer is put upon."""
        return self.images.built(*self._image)

    def base_name(self):
        """The base image's whole name, as the node pulls it."""
        return self.images.name(*self._image)

    def task_key(self, key):
        """Action: training tasks can have MinIO's key. key: a minio_keys.Key."""
        return self.kube.secret(TASK_SECRET, self.tasks, {"accessKey": key.user, "secretKey": key.secret})

    def token(self):
        """The deployer's token. NotYet while the cluster has not filled it in."""
        value = self._of_token("token")
        self.ch.masker.add(value)
        return value

    def authority(self):
        """The certificate that vouches for the cluster's API server, as PEM."""
        return self._of_token("ca.crt")

    def _of_token(self, key):
        ask = f"microk8s kubectl get secret {TOKEN} -n {SPACE} -o json"
        said = self.ch.host.run(ask, raw=True, quiet=True, what="kubectl get secret " + TOKEN).out  # not masked
        data = json.loads(said).get("data") or {}
        if key not in data:
            raise NotYet("the cluster has not filled in its token")
        return base64.b64decode(data[key]).decode()

    # -- what goes with the images, and with Determined's user --------------------------------------------

    def with_images(self, action):
        """The same action; remove takes away the images that pipelines pushed."""
        undo, absent = self.images.away(NAME)
        return action.but(undo=undo, absent=absent)

    def user(self, det):
        """Action: Determined has a user for the pipeline. Remove makes it inactive: 0.15 deletes none."""
        made = Install(det).user(NAME)
        return made.but(undo=lambda: self._retire(det), absent=lambda: self._why_active(det))

    def password(self, det):
        """Action: the user's password is ours."""
        return Install(det).password(NAME)

    def _retire(self, det):
        det.ask("PATCH", "/users/" + NAME, {"active": False}, det.token())

    def _why_active(self, det):
        if self.ch.host.ask(gone("namespace " + det.space)).ok:
            return None
        found = det.ask("GET", "/api/v1/users/" + NAME, token=det.token())
        return f"user {NAME} is active" if found and found["user"]["active"] else None

    def variables(self, repo, det, key, minio):
        """Action: the pipeline has its addresses and keys. minio: host:port, as pods reach it."""
        plain = {
            "BASE_IMAGE": self.base_name(),
            "BASE_PUSHED": self.base_name().replace(PLACE, IN_CLUSTER),
            "PUSH_TO": f"{IN_CLUSTER}/{NAME}",
            "IMAGE": f"{PLACE}/{NAME}",
            "DETERMINED_URL": f"http://{det.service}.{det.space}.svc.cluster.local:{det.port}",
            "DETERMINED_USER": NAME,
            "PACHYDERM_S3": f"http://pachd.{PACHYDERM}.svc.cluster.local:{S3}",
            "PREDICTIONS": f"http://{GATEWAY}.{NAMESPACE}.svc.cluster.local{_PREDICTIONS}",
            "MINIO_URL": f"http://{minio}",
            "MINIO_BUCKET": key.bucket,
            "MINIO_USER": key.user,
            "TASK_SECRET": TASK_SECRET,
        }
        secret = {
            "MINIO_SECRET_KEY": key.secret.reveal,
            "DETERMINED_PASSWORD": det.secret(NAME).reveal,
            "DEPLOY_TOKEN": self.token,
        }
        return repo.variables(plain, secret, {"DEPLOY_CA": self.authority})

    def why_roles_count_for_nothing(self):
        """None when the cluster heeds Roles; else why any token may do all: MicroK8s without its add-on rbac."""
        if not self.ch.proving:
            return None
        who = f"--as=system:serviceaccount:{SPACE}:nobody-has-this-name"
        try:
            said = self.kube.kubectl(f"auth can-i get secrets -n {SPACE} {who} || true")
        except RunbookError:  # the check will say why
            return None
        if said != "yes":
            return None
        return "MicroK8s runs without its add-on rbac, and lets every token do everything: microk8s enable rbac"

    def may(self, verb, what, space=SPACE):
        """May the deployer do this? what: a resource."""
        who = f"--as=system:serviceaccount:{SPACE}:{DEPLOYER}"
        return self.kube.kubectl(f"auth can-i {verb} {what} -n {space} {who} || true") == "yes"
