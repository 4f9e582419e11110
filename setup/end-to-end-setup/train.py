"""Trains the model in a task of Determined's, on exactly the commits that data.json names, and leaves a checkpoint.

Pictures and labels come through Pachyderm's S3 gateway, each by the number of its commit (versionId): what was
committed since is not seen. The checkpoint goes to MinIO, with a note of what it was made from. Python 3.7; boto3 is
Determined's.
"""

import atexit
import json
import os
import struct
import time
import urllib.parse
import urllib.request
import zlib

import model


def fetch(source, path):
    """A file of a repository's branch master as it is in the commit of `source`."""
    url = "{}/master.{}/{}?versionId={}".format(
        os.environ["PACHYDERM_S3"], source["repo"], urllib.parse.quote(path), source["commit"]
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy leads to the cluster
    with direct.open(url, timeout=60) as answer:
        return answer.read()


def pixels(content):
    """The rows of a grey PNG of 8 bits without filters, as the pipeline writes it."""
    data, at, width = b"", 8, 0
    while at < len(content):
        length, name = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + 8 + length]
        width = struct.unpack(">I", body[:4])[0] if name == b"IHDR" else width
        data += body if name == b"IDAT" else b""
        at += length + 12
    raw = zlib.decompress(data)
    return [list(raw[n + 1 : n + 1 + width]) for n in range(0, len(raw), width + 1)]


def labels(annotations):
    """{picture: number of its class} of Label Studio's annotations; of a picture's two the newer counts."""
    found = {}
    for each in sorted(annotations, key=lambda a: a["id"]):
        picture = urllib.parse.urlsplit(next(iter(each["task"]["data"].values()))).path.lstrip("/")
        chosen = [choice for part in each["result"] for choice in part["value"].get("choices", [])]
        if chosen:
            found[picture] = model.CLASSES.index(chosen[0])
    return found


def trained(data, settings):
    """What is served: weights, and what they were made from."""
    said = labels([json.loads(fetch(data["labels"], path).decode()) for path in data["labels"]["files"]])
    there = [path for path in data["pictures"]["files"] if path in said]
    rows = [model.features(pixels(fetch(data["pictures"], path))) for path in there]
    weights = model.train(rows, [said[path] for path in there], settings["epochs"], settings["rate"])
    return {
        "weights": weights,
        "temperature": settings["temperature"],
        "pictures": len(there),
        "revision": os.environ["REVISION"],
        "task": os.environ.get("DET_TASK_ID", ""),
        "data": {kind: {key: data[kind][key] for key in ("repo", "commit")} for kind in ("pictures", "labels")},
    }


def keep(checkpoint):
    """Into MinIO, by the keys in the folder KEYS, a file each; its note is the object's own metadata."""
    import boto3

    keys = {}
    for name in ("accessKey", "secretKey"):
        with open(os.path.join(os.environ["KEYS"], name)) as file:
            keys[name] = file.read()
    s3 = boto3.client(
        "s3",
        endpoint_url=os.environ["MINIO_URL"],
        region_name="us-east-1",
        aws_access_key_id=keys["accessKey"],
        aws_secret_access_key=keys["secretKey"],
    )
    note = {
        "revision": checkpoint["revision"],
        "task": checkpoint["task"],
        "pictures": checkpoint["data"]["pictures"]["commit"],
        "labels": checkpoint["data"]["labels"]["commit"],
    }
    body = json.dumps(checkpoint).encode()
    s3.put_object(Body=body, Bucket=os.environ["MINIO_BUCKET"], Key=os.environ["CHECKPOINT"], Metadata=note)


def main():
    begun = time.time()
    with open("data.json") as file:
        data = json.load(file)
    with open("settings.json") as file:
        settings = json.load(file)
    checkpoint = trained(data, settings)
    keep(checkpoint)
    print("trained on {} pictures in {:.1f} s".format(checkpoint["pictures"], time.time() - begun), flush=True)


if __name__ == "__main__":
    # Determined 0.15 loses what a task has said, a traceback as well, that ends before its pod was seen to run.
    atexit.register(time.sleep, 3)
    main()
