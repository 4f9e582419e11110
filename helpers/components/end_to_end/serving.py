"""Stage 6: the model that is served, as a client meets it through Istio's gateway."""

from __future__ import annotations

import json

import httpx

from helpers.components.end_to_end.cluster import NAME, SPACE
from helpers.components.pachyderm import dataset
from helpers.components.seldon.gateway import Gateway, told
from helpers.components.seldon.operator import CRD
from helpers.core.errors import RunbookError, Unmet


class Answer:
    """One answer: rows (a list of probabilities a picture), revision (the commit), image (by its digest), seconds."""

    def __init__(self, said):
        content = said.json()
        meta = content["meta"]
        self.rows, self.seconds = content["data"]["ndarray"], said.elapsed.total_seconds()
        self.revision = meta.get("tags", {}).get("revision", "")
        self.image = next(iter(meta.get("requestPath", {}).values()), "")

    def classes(self):
        """The likeliest class of each picture."""
        return [dataset.LABELS[row.index(max(row))] for row in self.rows]


class Serving:
    """The SeldonDeployment clothes/clothes. kube: the cluster."""

    def __init__(self, kube):
        self.kube, self.gateway = kube, Gateway(kube, SPACE, NAME)

    def ask(self, pictures):
        """The Answer to pictures (28 rows of 28 grey values each). Unmet when there is none."""
        asked = [[value for row in rows for value in row] for rows in pictures]
        try:
            said = self.gateway.post(json={"data": {"ndarray": asked}})
        except httpx.HTTPError as e:
            raise Unmet("a prediction", f"no answer through the gateway: {type(e).__name__}", "e2e-served") from e
        if said.status_code != 200:
            saw = f"the gateway answers {said.status_code} {str(told(said.text))[:200]}".strip()
            raise Unmet("a prediction", saw, "e2e-served")
        return Answer(said)

    def revision(self):
        """Which commit's model answers. Unmet when none does."""
        return self.ask([dataset.images()[0][2]]).revision

    def why_another(self, commit):
        """None when this commit's model answers; else what does."""
        try:
            found = self.revision()
        except RunbookError as e:
            return e.saw or e.what
        return None if found == commit else f"the model of commit {found[:8]} answers, not that of {commit[:8]}"

    def deployment(self):
        """The SeldonDeployment as the cluster has it; None when there is none."""
        said = self.kube.kubectl(f"get {CRD} {NAME} -n {SPACE} --ignore-not-found -o json")
        return json.loads(said) if said else None

    def pods(self):
        """The model's pods that run."""
        found = self.kube.get(f"pods -n {SPACE} -l seldon-deployment-id={NAME}")["items"]
        return [
            pod
            for pod in found
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    def image_that_runs(self):
        """(what the container was asked to run, what it runs), of the model's first pod."""
        for pod in self.pods():
            for status in pod["status"].get("containerStatuses", []):
                if status["name"] == "classifier":
                    wanted = next(c["image"] for c in pod["spec"]["containers"] if c["name"] == "classifier")
                    return wanted, status["imageID"]
        raise Unmet("a pod with the model", "none runs", "e2e-served")
