"""What a hand changes of Seldon Core in the story, how it is put back, and how regress names it."""

import json

from drifts import no_longer

_MANAGER = "deployment seldon-controller-manager -n seldon-system"


def _scale(pods):
    done = f"microk8s kubectl rollout status {_MANAGER} --timeout=120s >/dev/null"
    return f"microk8s kubectl scale {_MANAGER} --replicas={pods}; {done}"


def _serve(version):
    at = "/spec/predictors/0/componentSpecs/0/spec/containers/0/env/0/value"
    value = f"s3://models/flowers/{version}/model.json"
    patch = json.dumps([{"op": "replace", "path": at, "value": value}])
    done = "microk8s kubectl rollout status deployment flowers-default-0-classifier -n models --timeout=180s >/dev/null"
    return f"microk8s kubectl patch seldondeployment flowers -n models --type json -p '{patch}'; sleep 5; {done}"


DRIFTS = {
    "quick": [
        (
            _scale(2),
            _scale(1),
            "- seldon-system/seldon-controller-manager 1",
            "+ seldon-system/seldon-controller-manager 2",
        ),
    ],
    "long": [
        (
            _serve(2),
            _serve(1),
            "- models/flowers/default s3://models/flowers/1/model.json 1",
            "+ models/flowers/default s3://models/flowers/2/model.json 1",
            *no_longer(
                "version 1 of the model is served",
                "a prediction over REST is the model's own, by version 1",
                "a prediction over gRPC is the same",
            ),
        ),
    ],
}
