"""Seldon Core on the target: its chart, webhook and gateway, one model behind them, and what proves each."""

from __future__ import annotations

import base64
import datetime
import email.utils
import http.client
import io
import json
import threading
import time

import httpx
import yaml
from minio.error import S3Error

from helpers.components.addons import istio
from helpers.components.kubernetes.images import Images
from helpers.components.kubernetes.kube import Kube, available
from helpers.components.seldon import flowers
from helpers.components.seldon import grpc_predict as seldon_grpc
from helpers.core.actions import Action
from helpers.core.errors import CommandFailed, NotYet, RunbookError, Unmet
from helpers.core.paths import SETUP

SYSTEM, MODELS, NAME, RELEASE = "seldon-system", "models", "flowers", "seldon-core"
MANAGER = "seldon-controller-manager"
CRD = "seldondeployments.machinelearning.seldon.io"
SETUP_FOLDER = SETUP / "seldon-setup"
_OURS = {"app.kubernetes.io/managed-by": "runbook"}
#: a command for the image's containers: seldon-core's microservice with the class Flowers of Flowers.py
COMMAND = ["seldon-core-microservice", "Flowers", "--service-type", "MODEL"]

#: probes: the operator is available; Istio's ingress gateway is
OPERATOR = available(SYSTEM, "deployment", MANAGER)
GATEWAY = available(istio.NAMESPACE, "deployment", istio.GATEWAY)


def other(wanted, live, where=""):
    """Where `live` is not what `wanted` says, in words; None when it is. What only `live` has (a server's defaults) is no difference."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        return next(
            filter(None, (other(v, live.get(k), where + "." + k if where else k) for k, v in wanted.items())), None
        )
    if isinstance(wanted, list) and isinstance(live, list) and len(wanted) == len(live):
        return next(filter(None, (other(v, live[n], f"{where}[{n}]") for n, v in enumerate(wanted))), None)
    return None if wanted == live else f"{where} is {json.dumps(live)}, not {json.dumps(wanted)}"


def same(found, wanted, tolerance=1e-6):
    """Two lists of rows of numbers are the same."""
    return len(found) == len(wanted) and all(
        len(a) == len(b) and all(abs(x - y) <= tolerance for x, y in zip(a, b)) for a, b in zip(found, wanted)
    )


class Seldon:
    """Seldon Core and the SeldonDeployment flowers. helm, chart: see helpers.components.kubernetes.helm. base: the image that the model's is built on. store: (MinIO's host:port as pods reach it, access key, Secret). s3: a helpers.components.minio.S3, or None."""

    def __init__(self, ch, helm, chart, base, bucket, store, s3=None, usage_metrics=False):
        self.ch, self.helm, self.kube, self.images = ch, helm, Kube(ch), Images(ch, MODELS)
        self.chart, self.base, self.bucket, self.store, self.s3 = chart, base, bucket, store, s3
        self.values = {"istio": {"enabled": True}, "usageMetrics": {"enabled": usage_metrics}}
        self._weights, self._local = {}, None

    def weights(self, version):
        if version not in self._weights:
            self._weights[version] = flowers.weights(version)
        return self._weights[version]

    # -- before anything is touched --------------------------------------------------------------

    def others(self):
        """For removing: None when there is no SeldonDeployment but ours."""
        said = self.ch.host.run(
            f"microk8s kubectl get {CRD} -A -o jsonpath='{{range .items[*]}}{{.metadata.namespace}}/{{.metadata.name}} {{end}}' 2>/dev/null || true",
            quiet=True,
        ).out.split()
        found = [n for n in said if n != f"{MODELS}/{NAME}"]
        return "others are served: " + ", ".join(found) if found else None

    # -- Seldon Core -----------------------------------------------------------------------------

    def namespace(self, name):
        """Action: the namespace exists. Remove deletes it only when it was made here."""
        manifest = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": _OURS}})
        done = f"microk8s kubectl get namespace {name} >/dev/null 2>&1 || {{ echo 'there is no namespace {name}'; exit 1; }}"
        undo = "microk8s kubectl delete namespace --field-selector metadata.name={} -l {} --timeout=120s".format(
            name, ",".join("{}={}".format(*p) for p in _OURS.items())
        )
        gone = '[ -z "$(microk8s kubectl get namespace --field-selector metadata.name={} -l {} -o name)" ]'.format(
            name, ",".join("{}={}".format(*p) for p in _OURS.items())
        )
        return Action(
            "kubectl create namespace " + name,
            done,
            lambda: self.kube.kubectl("apply -f -", stdin=manifest),
            undo,
            gone,
        )

    def installed(self, days, delete_crds=False):
        """Action: the chart is installed with our values, and its webhook's certificate is good for `days` more days.

        The chart makes a certificate of one year whenever helm renders it, so an upgrade to the same version renews it.
        """
        plain = self.helm.installed(RELEASE, self.chart, SYSTEM, self.values, ready=OPERATOR)

        def done():
            return self._done(plain) or self._expires_soon(days)

        def apply():
            there = self.ch.host.ask(OPERATOR).ok
            plain.apply()
            if there:  # it reads a new certificate only when it starts, or minutes later
                self.kube.kubectl(f"rollout restart deployment/{MANAGER} -n {SYSTEM}")
                self.kube.kubectl(f"rollout status deployment/{MANAGER} -n {SYSTEM} --timeout=120s", timeout=150)

        def undo():
            if not delete_crds and self._crd():
                # The chart would take the definition away, and with it what others serve: helm leaves what says keep.
                self.kube.kubectl(f"annotate crd {CRD} helm.sh/resource-policy=keep --overwrite")
                self.helm.run(
                    "upgrade",
                    RELEASE,
                    *self.chart.where,
                    "-n",
                    SYSTEM,
                    "-f",
                    "-",
                    stdin=json.dumps(dict(self.values, crd={"create": False})),
                    timeout=300,
                    mirrored=self.chart.mirrored,
                )
            if plain.absent():
                plain.undo()
            if delete_crds:  # also one that an earlier removal left
                self.kube.kubectl(f"delete crd {CRD} --ignore-not-found --timeout=60s", timeout=90)

        def gone():
            return plain.absent() or (f"the definition {CRD} is there" if delete_crds and self._crd() else None)

        return Action(plain.shown, done, apply, undo, absent=gone)

    def _done(self, action):
        if callable(action.probe):
            return action.probe()
        ok, seen = self.ch.host.ask(action.probe)
        return None if ok else seen

    def _crd(self):
        return bool(self.kube.kubectl(f"get crd {CRD} --ignore-not-found -o name"))

    def answers(self):
        """Action: the webhook answers. Its pod runs a while before."""
        return Action(
            "kubectl apply --dry-run=server -f -   (a SeldonDeployment without a container, which must be refused)",
            self.silent,
            lambda: self.ch.wait(
                "Seldon's webhook to answer",
                lambda: self._told(self.silent),
                timeout=120,
                do=f"On the host: microk8s kubectl logs -n {SYSTEM} deploy/{MANAGER}",
            ),
        )

    @staticmethod
    def _told(probe):
        why = probe()
        if why:
            raise NotYet(why)
        return True

    def silent(self):
        """None when the webhook refuses a graph without a container in its own words; else what came instead. Nothing is made."""
        bad = self.manifest(1)
        bad["metadata"]["name"], bad["spec"]["predictors"][0]["graph"]["name"] = "runbook-refused", "nobody"
        said = self._refusal("apply --dry-run=server", bad)
        if (
            said and "does not support dry run" in said
        ):  # then for real: while there is a webhook, a bad one is not taken
            said = self._refusal("create", bad)
            if said is None:
                self.kube.kubectl(f"delete seldondeployment runbook-refused -n {MODELS} --ignore-not-found")
        if said:
            return None if "Can't find container" in said else said
        return "a SeldonDeployment without a container was taken: no webhook looks at it"

    def _refusal(self, verb, manifest):
        """What the API server says when it does not take it; None when it does."""
        try:
            self.kube.kubectl(verb + " -f -", stdin=json.dumps(manifest))
        except CommandFailed as e:
            return (e.err or e.out or e.saw).strip().split("\n")[-1]
        return None

    def found_version(self):
        """The version of the operator that runs: its image's tag."""
        return (
            self.ch.run(
                f"microk8s kubectl get deployment {MANAGER} -n {SYSTEM} -o jsonpath='{{.spec.template.spec.containers[0].image}}' 2>/dev/null || true",
                quiet=True,
            )
            .strip()
            .rpartition(":")[2]
        )

    @staticmethod
    def must(why, expected):
        """For a check: Unmet with `why` when there is one."""
        if why:
            raise Unmet(expected, why)

    def running(self):
        """The operator is available."""
        ok, seen = self.ch.host.ask(OPERATOR)
        self.must(None if ok else seen, "the operator available")

    def certificate(self):
        """When the webhook's certificates end, as (what, time in UTC) of the first of them."""
        data = self.kube.get("secret seldon-webhook-server-cert -n " + SYSTEM)["data"]
        found = []
        for name in ("ca.crt", "tls.crt"):
            said = self.ch.host.run(
                "openssl x509 -noout -enddate",
                stdin=base64.b64decode(data[name]),
                quiet=True,
                what="read the webhook's certificate",
            ).out
            # notAfter=Nov 26 03:42:00 2027 GMT
            words = said.strip().partition("=")[2].split()
            when = email.utils.parsedate_to_datetime("{1} {0} {3} {2} +0000".format(*words)).astimezone(
                datetime.timezone.utc
            )
            found.append((when, name))
        when, name = min(found)
        return name, when

    def _expires_soon(self, days):
        name, when = self.certificate()
        left = (when - datetime.datetime.now(datetime.timezone.utc)).days
        if left >= days:
            return None
        return "the webhook's certificate ({}) {} {:%Y-%m-%d}".format(
            name, "ended on" if left < 0 else "ends soon, on", when
        )

    def certificate_is_good(self, days):
        why = self._expires_soon(days)
        if why:
            raise Unmet(f"a certificate for {days} more days", why, "seldon-cert")
        return f"until {self.certificate()[1]:%Y-%m-%d}"

    def gateway(self):
        """Action: the Gateway of setup/seldon-setup/gateway.yaml is there, unchanged."""
        return self._applied((SETUP_FOLDER / "gateway.yaml").read_text("utf-8"), "setup/seldon-setup/gateway.yaml")

    def _applied(self, text, shown):
        wanted = yaml.safe_load(text)
        group, _, version = wanted["apiVersion"].rpartition("/")
        what = "{}.{} {} -n {}".format(
            wanted["kind"].lower(), group, wanted["metadata"]["name"], wanted["metadata"]["namespace"]
        )

        def done():
            try:
                return other(wanted["spec"], self.kube.get(what)["spec"])
            except CommandFailed as e:
                return e.err.strip().split("\n")[-1]

        return Action(
            "kubectl apply -f " + shown,
            done,
            lambda: self.kube.kubectl("apply -f -", stdin=text),
            "! microk8s kubectl get crd {}s.{} >/dev/null 2>&1 || microk8s kubectl delete {} --ignore-not-found".format(
                wanted["kind"].lower(), group, what
            ),
            f"! microk8s kubectl get {what} >/dev/null 2>&1",
        )

    # -- the model -------------------------------------------------------------------------------

    def key(self, version):
        return f"{NAME}/{version}/model.json"

    def filled(self):
        """Action: the weights of each version are in the bucket. Remove takes them away, and leaves the bucket."""
        wanted = {self.key(v): flowers.text(self.weights(v)) for v in flowers.VERSIONS}

        def done():
            bad = [key for key, data in wanted.items() if self._object(key) != data]
            return "missing in bucket {}, or others: {}".format(self.bucket, ", ".join(bad)) if bad else None

        def apply():
            for key, data in wanted.items():
                self.s3.client.put_object(
                    self.bucket, key, io.BytesIO(data), len(data), content_type="application/json"
                )

        def undo():
            if self.s3.client.bucket_exists(self.bucket):
                for key in wanted:
                    self.s3.client.remove_object(self.bucket, key)

        def gone():
            return None if all(self._object(key) is None for key in wanted) else "weights are in bucket " + self.bucket

        return Action([f"PUT /{self.bucket}/{key}" for key in wanted], done, apply, undo, absent=gone)

    def _object(self, key):
        try:
            return self.s3.get(self.bucket, key)
        except S3Error as e:
            if e.code in ("NoSuchKey", "NoSuchBucket"):
                return None
            raise

    def keys(self):
        """Action: the Secret with MinIO's address and key, for the model's pods."""
        endpoint, user, secret = self.store
        wanted = {"S3_ENDPOINT": endpoint, "S3_ACCESS_KEY": user, "S3_SECRET_KEY": secret.reveal()}
        manifest = json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "minio", "namespace": MODELS, "labels": _OURS},
                "stringData": wanted,
            }
        )

        def done():
            said = self.ch.host.run(f"microk8s kubectl get secret minio -n {MODELS} -o json", raw=True, check=False)
            if said.code:
                return said.err.strip().split("\n")[-1]
            found = {k: base64.b64decode(v).decode() for k, v in json.loads(said.out).get("data", {}).items()}
            return next((f"{MODELS}/minio has another {k}" for k in wanted if found.get(k) != wanted[k]), None)

        return Action(
            f"kubectl apply -f -   (Secret {MODELS}/minio: MinIO's address and key, on standard input)",
            done,
            lambda: self.kube.kubectl("apply -f -", stdin=manifest),
            f"microk8s kubectl delete secret minio -n {MODELS} --ignore-not-found",
            f"! microk8s kubectl get secret minio -n {MODELS} >/dev/null 2>&1",
        )

    def _image(self):
        return (
            NAME,
            self.base,
            (SETUP_FOLDER / "requirements-model.txt").read_text("utf-8"),
            {"Flowers.py": (SETUP_FOLDER / "Flowers.py").read_text("utf-8")},
            COMMAND,
        )

    def built(self):
        """Action: the model's image is in the registry."""
        return self.images.built(*self._image())

    def manifest(self, version):
        """The SeldonDeployment that serves this version."""
        fetched = [{"name": "MODEL_URI", "value": f"s3://{self.bucket}/{self.key(version)}"}]
        fetched += [
            {"name": k, "valueFrom": {"secretKeyRef": {"name": "minio", "key": k}}}
            for k in ("S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY")
        ]
        container = {
            "name": "classifier",
            "image": self.images.name(*self._image()),
            "env": fetched,
            "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        }
        return {
            "apiVersion": "machinelearning.seldon.io/v1",
            "kind": "SeldonDeployment",
            "metadata": {"name": NAME, "namespace": MODELS},
            "spec": {
                "name": NAME,
                "predictors": [
                    {
                        "name": "default",
                        "replicas": 1,
                        "graph": {"name": "classifier", "type": "MODEL", "children": []},
                        "componentSpecs": [{"spec": {"containers": [container]}}],
                        # What the executor asks by default is half a processor for itself.
                        "svcOrchSpec": {
                            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
                        },
                    }
                ],
            },
        }

    def served(self, version):
        """Action: the SeldonDeployment serves this version: it is Available, its pods are the new ones, and the gateway leads to it."""

        def apply():
            self.kube.kubectl("apply -f -", stdin=json.dumps(self.manifest(version)))
            self.settle(version)

        def gone():
            said = self.ch.host.run(
                f"microk8s kubectl get deployment,service,pod -n {MODELS} -l seldon-deployment-id={NAME} -o name 2>/dev/null || true",
                quiet=True,
            )
            return (
                "there is " + said.out.split()[0]
                if said.out.split()
                else "the SeldonDeployment is there"
                if self._live()
                else None
            )

        def undo():
            if self._live():
                self.kube.kubectl(f"delete seldondeployment {NAME} -n {MODELS} --timeout=60s", timeout=90)
            self.ch.wait("the model's pods to end", lambda: gone() is None, timeout=120)

        return Action(
            f"kubectl apply -f -   (SeldonDeployment {MODELS}/{NAME}, version {version})",
            lambda: self.unsettled(version),
            apply,
            undo,
            absent=gone,
        )

    def _live(self):
        if not self._crd():
            return None
        text = self.kube.kubectl(f"get seldondeployment {NAME} -n {MODELS} --ignore-not-found -o json")
        return json.loads(text) if text else None

    def unsettled(self, version):
        """None when the version is served through the gateway by new pods alone; else what is missing."""
        live = self._live()
        if live is None:
            return f"there is no SeldonDeployment {MODELS}/{NAME}"
        why = other(self.manifest(version)["spec"], live["spec"], "spec")
        if why:
            return f"{MODELS}/{NAME} is another: {why}"
        status = live.get("status", {})
        if status.get("state") != "Available":
            return " ".join(
                filter(
                    None, ["{}/{} is {}".format(MODELS, NAME, status.get("state") or "new"), status.get("description")]
                )
            )
        return self._old_pods(version) or self.unreached(version)

    def _old_pods(self, version):
        uri = f"s3://{self.bucket}/{self.key(version)}"
        for d in self.kube.get(f"deployment -n {MODELS} -l seldon-deployment-id={NAME}")["items"]:
            status, wanted = d.get("status", {}), d["spec"].get("replicas", 1)
            has = [
                e.get("value")
                for c in d["spec"]["template"]["spec"]["containers"]
                for e in c.get("env", [])
                if e["name"] == "MODEL_URI"
            ]
            if uri not in has or status.get("observedGeneration", 0) < d["metadata"]["generation"]:
                return "the operator has not taken up the change"
            if not wanted == status.get("updatedReplicas") == status.get("availableReplicas") == status.get("replicas"):
                return "{}: {} of {} new pods available".format(
                    d["metadata"]["name"], status.get("updatedReplicas", 0), wanted
                )
        return None

    def unreached(self, version):
        """None when the gateway leads to this version; else what came."""
        try:
            said = self._ask([flowers.data()[0][0]])
        except RunbookError as e:
            return e.saw or e.what
        except httpx.HTTPError as e:
            return f"no answer through the gateway: {type(e).__name__}"
        if said.status_code != 200:
            return f"the gateway answers {said.status_code} for /seldon/{MODELS}/{NAME}/"
        found = said.json()["meta"].get("tags", {}).get("model_version")
        return None if found == str(version) else f"version {found} answers, not {version}"

    def settle(self, version, timeout=240):
        def why():
            seen = self.unsettled(version)
            return "; ".join([seen] + [text for text, _ in self._troubles()][:1]) if seen else None

        self.ch.wait(
            f"version {version} to be served",
            lambda: self._told(why),
            failed=self._hopeless,
            timeout=timeout,
            do=f"On the host: microk8s kubectl get pods -n {MODELS}; microk8s kubectl describe seldondeployment {NAME} -n {MODELS}",
        )

    def _troubles(self):
        return [(text, final) for text, final in self.kube.troubles() if text.startswith(f"pod {MODELS}/")]

    def _hopeless(self):
        return next((text for text, final in self._troubles() if final), None)

    # -- through the gateway -----------------------------------------------------------------------

    def address(self):
        """(host, port) here that leads to Istio's gateway at its own address in the network."""
        if self._local is None:
            self._local = self.ch.forward(80, istio.gateway_address(self.kube))
        return "127.0.0.1", self._local

    def path(self, name=NAME):
        return f"/seldon/{MODELS}/{name}/api/v1.0/predictions"

    def _post(self, name=NAME, **kw):
        with httpx.Client(base_url="http://{}:{}".format(*self.address()), timeout=20, trust_env=False) as client:
            return client.post(self.path(name), **kw)

    def _ask(self, rows):
        return self._post(json={"data": {"names": list(flowers.FEATURES), "ndarray": rows}})

    def _sample(self):
        """Two flowers of each class."""
        known = flowers.data(2)
        return [row for row, _ in known]

    def _routed(self, rows):
        """The answer over REST to these rows. Unmet, with the entry that fits, when the gateway has no way to the model."""
        said = self._ask(rows)
        if said.status_code in (404, 503):
            raise Unmet(
                f"a way through the gateway to {MODELS}/{NAME}",
                f"status {said.status_code} {said.text[:100]}".strip(),
                "seldon-route",
            )
        if said.status_code != 200:
            raise Unmet("status 200", f"{said.status_code}: {self.info(said.text)[:200]}", "seldon-weights")
        return said

    def over_rest(self, version):
        """A prediction over REST is what the weights give."""
        rows = self._sample()
        answer = self._routed(rows).json()
        wanted = flowers.probabilities(self.weights(version), rows)
        if answer["data"].get("names") != list(flowers.CLASSES) or not same(answer["data"]["ndarray"], wanted):
            raise Unmet(f"the model's own answer, {wanted[0]}", str(answer["data"]["ndarray"][:1]))
        return "{} flowers, version {}".format(len(rows), answer["meta"]["tags"]["model_version"])

    def over_grpc(self, version):
        """A prediction over gRPC is what the weights give."""
        rows = self._sample()
        self._routed(rows)
        found, tags = seldon_grpc.predict("{}:{}".format(*self.address()), MODELS, NAME, rows)
        wanted = flowers.probabilities(self.weights(version), rows)
        if not same(found, wanted):
            raise Unmet(f"the model's own answer, {wanted[0]}", str(found[:1]))
        return "{} flowers, version {}".format(len(rows), tags.get("model_version"))

    def show_answers(self):
        """What each version says to one flower of each class."""
        if not self.ch.proving:
            return
        rows = [row for row, _ in flowers.data(1)]
        lines = []
        for version in flowers.VERSIONS:
            for row, line in zip(rows, flowers.probabilities(self.weights(version), rows)):
                best = max(range(len(line)), key=line.__getitem__)
                lines.append((version, " × ".join(map(str, row)), list(flowers.CLASSES)[best], f"{line[best]:.0%}"))
        self.ch.table(("version", "flower (cm)", "says", "how sure"), lines)

    #: what is wrong with it: (what is sent, words of the answer)
    BAD = {
        "three numbers": ({"json": {"data": {"ndarray": [[1, 2, 3]]}}}, "a flower is 4 numbers: sepal length"),
        "a word": ({"json": {"data": {"ndarray": [["a", "b", "c", "d"]]}}}, "a flower is numbers"),
        "no data": ({"json": {"datum": [[1, 2, 3, 4]]}}, "Invalid request data type"),
        "no JSON": (
            {"content": b'{"data":', "headers": {"Content-Type": "application/json"}},
            "Can't find JSON in data",
        ),
    }

    def refuses_bad(self):
        """What the caller did wrong is told him, with 4xx; an unknown name is 404."""
        self._routed(self._sample())
        for what, (sent, words) in self.BAD.items():
            said = self._post(**sent)
            info = self.info(said.text)
            if not 400 <= said.status_code < 500 or words not in info:
                raise Unmet(f"4xx with {words!r} for {what}", f"{said.status_code}: {info[:150]}", "seldon-bad")
        said = self._post("nobody", json={"data": {"ndarray": [[1, 2, 3, 4]]}})
        if said.status_code != 404:
            raise Unmet("404 for a name that nobody has", str(said.status_code), "seldon-route")
        return self.info(self._post(**self.BAD["three numbers"][0]).text)

    @staticmethod
    def info(text):
        """The words in Seldon's status; the text itself when it is none."""
        try:
            return json.loads(text)["status"]["info"]
        except (ValueError, KeyError, TypeError):
            return text

    def reports_nothing(self, usage_metrics):
        """Nobody reports this installation's use to Seldon's makers, or somebody does, as asked."""
        found = bool(
            self.kube.kubectl("get deployment seldon-spartakus-volunteer -n kube-system --ignore-not-found -o name")
        )
        if found != usage_metrics:
            raise Unmet(
                "usage metrics {}".format("on" if usage_metrics else "off"),
                "seldon-spartakus-volunteer {}".format("runs" if found else "is missing"),
                "seldon-usage",
            )

    # -- rolling out -----------------------------------------------------------------------------

    def rolls(self, version, least=500):
        """The other version is rolled out, and this one again, while predictions are asked all the time; every one is answered rightly."""
        newer = next(v for v in flowers.VERSIONS if v != version)
        load = PredictionLoad(self.address(), self.path(), {str(v): self.weights(v) for v in flowers.VERSIONS})
        with load:
            for target in (newer, version):
                self.kube.kubectl("apply -f -", stdin=json.dumps(self.manifest(target)))
                self.settle(target)
            self.ch.wait(f"{least} predictions", lambda: load.count() >= least, timeout=120)
        if load.lost:
            raise Unmet(
                "every prediction answered",
                f"{len(load.lost)} of {load.count()} lost, like: {load.lost[0]}",
                "seldon-lost",
            )
        if set(load.answered) != set(map(str, flowers.VERSIONS)):
            raise Unmet("answers of both versions", "answers of version {}".format(", ".join(sorted(load.answered))))
        return "{} predictions, 0 lost: {}".format(
            load.count(), ", ".join(f"{n} by version {v}" for v, n in sorted(load.answered.items()))
        )


class PredictionLoad:
    """Asks for predictions all the time, each on a connection of its own and never twice. answered: {version: number}; lost: why, of each."""

    def __init__(self, address, path, weights, threads=3, pause=0.05):
        self.address, self.path, self.pause = address, path, pause
        rows = [row for row, _ in flowers.data(2)]
        self._body = json.dumps({"data": {"ndarray": rows}})
        self._right = {v: flowers.probabilities(w, rows) for v, w in weights.items()}
        self.answered, self.lost, self._lock, self._end = {}, [], threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._go, daemon=True) for _ in range(threads)]

    def count(self):
        return sum(self.answered.values()) + len(self.lost)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join(30)

    def _go(self):
        while not self._end.is_set():
            try:
                version, why = self._one()
            except (OSError, http.client.HTTPException, ValueError, KeyError) as e:
                version, why = None, f"{type(e).__name__}: {e}"
            with self._lock:
                if why:
                    self.lost.append(why)
                else:
                    self.answered[version] = self.answered.get(version, 0) + 1
            time.sleep(self.pause)

    def _one(self):
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        try:
            connection.request("POST", self.path, self._body, {"Content-Type": "application/json"})
            said = connection.getresponse()
            text = said.read().decode()
        finally:
            connection.close()
        if said.status != 200:
            return None, f"{said.status}: {text[:150]}"
        answer = json.loads(text)
        version = answer["meta"]["tags"]["model_version"]
        if not same(answer["data"]["ndarray"], self._right[version]):
            return None, f"a wrong answer: {text[:150]}"
        return version, None
