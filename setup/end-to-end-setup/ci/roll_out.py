"""A job of the pipeline: has Seldon serve the image of this commit, by its digest, and waits for its first answer."""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request

API = "https://kubernetes.default.svc/apis/machinelearning.seldon.io/v1/namespaces/clothes/seldondeployments/clothes"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
COMMIT = os.environ["CI_COMMIT_SHA"]
#: seconds for the cluster to take it, and as many for the new pod to answer: a busy host starts it in minutes
PATIENCE = 600


def send(url, method="GET", data=None, context=None, **headers):
    """The answer. No proxy leads to the cluster's own addresses."""
    handlers = [urllib.request.ProxyHandler({})] + ([urllib.request.HTTPSHandler(context=context)] if context else [])
    request = urllib.request.Request(url, data, {k.replace("_", "-"): v for k, v in headers.items()}, method=method)
    return urllib.request.build_opener(*handlers).open(request, timeout=60)


def digest():
    """The image's digest, as the registry has it: a tag may be moved, a digest is these bytes."""
    host, _, name = os.environ["PUSH_TO"].partition("/")
    with send(f"http://{host}/v2/{name}/manifests/{COMMIT}", "HEAD", Accept=MANIFEST) as answer:
        return answer.headers["Docker-Content-Digest"]


def apply(image):
    """Server-side apply: one request that makes it, or changes what is there.

    It is sent again while the API server, or a webhook that it asks, as Seldon's, gives no answer: nothing was taken.
    """
    with open("seldondeployment.yaml") as file:
        text = file.read().replace("$IMAGE", image).replace("$REVISION", COMMIT)
    trust = ssl.create_default_context(cafile=os.environ["DEPLOY_CA"])
    how = {"Authorization": "Bearer " + os.environ["DEPLOY_TOKEN"], "Content_Type": "application/apply-patch+yaml"}
    until = time.time() + PATIENCE
    while True:
        try:
            return send(API + "?fieldManager=gitlab&force=true", "PATCH", text.encode(), trust, **how).close()
        except urllib.error.HTTPError as e:
            said = f"{e.code} {e.read().decode()[:500]}"
            late = e.code in (429, 503, 504) or "failed calling webhook" in said
        except OSError as e:
            said, late = str(e), "CERTIFICATE" not in str(e)
        if not late or time.time() > until:
            sys.exit("the cluster does not take it: " + said)
        print("  not yet:", said, flush=True)
        time.sleep(2)


def served():
    """Which commit's model answers; a word for what came instead."""
    question = json.dumps({"data": {"ndarray": [[0] * 784]}}).encode()
    try:
        with send(os.environ["PREDICTIONS"], "POST", question, Content_Type="application/json") as answer:
            return json.loads(answer.read().decode())["meta"].get("tags", {}).get("revision")
    except (OSError, ValueError, KeyError) as e:
        return f"no answer: {e}"


def main():
    image = "{}@{}".format(os.environ["IMAGE"], digest())
    print("rolling out", image, flush=True)
    apply(image)
    until = time.time() + PATIENCE
    while served() != COMMIT:
        if time.time() > until:
            sys.exit(f"after {PATIENCE} s another one answers: {served()}")
        time.sleep(2)
    print("served:", COMMIT)


if __name__ == "__main__":
    main()
