"""A job of the pipeline: starts train.py as a task of Determined's, shows its log, and ends as the task does."""

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.request

FILES = ("train.py", "model.py", "settings.json", "data.json")
MASTER = os.environ["DETERMINED_URL"]
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
CHECKPOINT = "checkpoints/{}.json".format(os.environ["CI_COMMIT_SHA"])


def ask(method, path, body=None, token=None):
    """The answer's JSON. Ends the job, with the master's words, when it refuses."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = "Bearer " + token
    data = None if body is None else json.dumps(body).encode()
    try:
        with DIRECT.open(urllib.request.Request(MASTER + path, data, headers, method=method), timeout=60) as answer:
            return json.loads(answer.read().decode() or "null")
    except urllib.error.HTTPError as e:
        sys.exit(f"{method} {path}: {e.code} {e.read().decode()[:300]}")


def entry(name):
    with open(name, "rb") as file:
        content = base64.b64encode(file.read()).decode()
    return {"path": name, "type": ord("0"), "content": content, "mode": 0o644, "uid": 0, "gid": 0, "mtime": "0"}


def config():
    """The task. Its key to MinIO is a Secret of its namespace: every user of Determined sees what stands here."""
    plain = {name: os.environ[name] for name in ("PACHYDERM_S3", "MINIO_URL", "MINIO_BUCKET")}
    plain.update(KEYS="/run/keys", CHECKPOINT=CHECKPOINT, REVISION=os.environ["CI_COMMIT_SHA"])
    secret = os.environ["TASK_SECRET"]
    spec = {
        "volumes": [{"name": secret, "secret": {"secretName": secret}}],
        "containers": [
            {
                "name": "determined-container",
                "volumeMounts": [{"name": secret, "mountPath": "/run/keys", "readOnly": True}],
            }
        ],
    }
    return {
        "description": "clothes " + os.environ["CI_COMMIT_SHA"],
        "entrypoint": ["python3", "train.py"],
        "resources": {"slots": 0},
        "environment": {
            "environment_variables": ["{}={}".format(*pair) for pair in sorted(plain.items())],
            "pod_spec": {"spec": spec},
        },
    }


def log(task, token, seen):
    """Print what came after the event of this number; the last one's number. The master keeps 200 of a task."""
    events = ask("GET", f"/commands/{task}/events?greater_than_id={seen}", token=token) or []
    if events and events[0]["seq"] > seen + 1:
        print("  ({} events were gone)".format(events[0]["seq"] - seen - 1), flush=True)
    for event in events:
        for line in (event.get("log_event") or "").split(" || ", 1)[-1].splitlines():
            print("  " + line.rstrip(), flush=True)
    return events[-1]["seq"] if events else seen


def main():
    who = {"username": os.environ["DETERMINED_USER"], "password": os.environ["DETERMINED_PASSWORD"]}
    token = ask("POST", "/api/v1/auth/login", who)["token"]
    made = ask("POST", "/api/v1/commands", {"config": config(), "files": [entry(name) for name in FILES]}, token)
    task, seen, until = made["command"]["id"], -1, time.time() + 900
    print("Determined's task", task, flush=True)
    while time.time() < until:
        found = {}
        try:
            found, seen = ask("GET", "/commands/" + task, token=token), log(task, token, seen)
        except OSError as e:  # a busy master is asked again
            print("  no answer:", e, flush=True)
        if found.get("state") == "TERMINATED":
            ask("POST", "/api/v1/auth/logout", {}, token)
            sys.exit(0 if "success" in str(found.get("exit_status")) else "it ended: {}".format(found["exit_status"]))
        time.sleep(1)
    ask("POST", f"/api/v1/commands/{task}/kill", {}, token)
    sys.exit("the task did not end within 15 minutes")


if __name__ == "__main__":
    main()
