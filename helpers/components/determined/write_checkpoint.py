"""Runs in a task's pod: writes an object as Determined writes its checkpoints, and reads it back."""

import os
from pathlib import Path

import boto3  # what Determined itself writes checkpoints with

keys = Path(os.environ["KEYS"])  # a Secret's, a file each
s3 = boto3.client(
    "s3",
    endpoint_url=os.environ["ENDPOINT"],
    region_name="us-east-1",
    aws_access_key_id=(keys / "accessKey").read_text(),
    aws_secret_access_key=(keys / "secretKey").read_text(),
)
place = {"Bucket": os.environ["BUCKET"], "Key": os.environ["KEY"]}
data = bytes(range(256)) * 256
s3.put_object(Body=data, **place)
assert s3.get_object(**place)["Body"].read() == data
print("checkpoint written and read back:", len(data), "bytes")
