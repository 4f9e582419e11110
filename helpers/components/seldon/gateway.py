"""Models as clients reach them: through Istio's gateway, over REST and gRPC."""

from __future__ import annotations

import json

import httpx

from helpers.components.addons import istio
from helpers.components.kubernetes.probes import available
from helpers.components.seldon import flowers, grpc_predict
from helpers.core.errors import RunbookError

#: a probe: Istio's ingress gateway is available
GATEWAY = available(istio.NAMESPACE, "deployment", istio.GATEWAY)


class Gateway:
    """The way to one model. kube: the cluster; space, name: the SeldonDeployment's."""

    def __init__(self, kube, space, name):
        self.kube, self.space, self.name, self._local = kube, space, name, None

    def address(self):
        """(host, port) that leads from here to Istio's gateway at its own address in the network."""
        if self._local is None:
            way = self.kube.ch.host.way(80, istio.gateway_address(self.kube))
            self._local = self.kube.ch.until_the_verdict(way)
        return self._local

    def path(self, name=None):
        return f"/seldon/{self.space}/{name or self.name}/api/v1.0/predictions"

    def post(self, name=None, **sent):
        """The answer to what is sent, whatever it is. sent: as httpx takes it; name: another model's."""
        with httpx.Client(base_url="http://{}:{}".format(*self.address()), timeout=90, trust_env=False) as client:
            return client.post(self.path(name), **sent)

    def over_rest(self, rows):
        """The answer to these rows of lengths, whatever it is."""
        return self.post(json={"data": {"names": flowers.weights(1)["features"], "ndarray": rows}})

    def over_grpc(self, rows):
        """(rows of probabilities, tags). RunbookError when the call is refused."""
        return grpc_predict.predict("{}:{}".format(*self.address()), self.space, self.name, rows)

    def why_not_reached(self, version):
        """None when it leads to this version of the model; else what came."""
        try:
            said = self.over_rest(flowers.sample(1)[:1])
        except RunbookError as e:
            return e.saw or e.what
        except httpx.HTTPError as e:
            return f"no answer through the gateway: {type(e).__name__}"
        if said.status_code != 200:
            return f"the gateway answers {said.status_code} for /seldon/{self.space}/{self.name}/"
        found = said.json()["meta"].get("tags", {}).get("model_version")
        return None if found == str(version) else f"version {found} answers, not {version}"


def told(text):
    """The words in Seldon's status; the text itself when it is none."""
    try:
        return json.loads(text)["status"]["info"]
    except (ValueError, KeyError, TypeError):
        return text
