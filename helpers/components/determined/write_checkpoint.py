"""Runs in a task's pod: writes an object as Determined writes its checkpoints, and reads it back."""

import os

import boto3  # what Determined itself writes checkpoints with

s3 = boto3.client(
    "s3",
    endpoint_url=os.environ["ENDPOINT"],
    region_name="us-east-1",
    aws_access_key_id=os.environ["ACCESS_KEY"],
    aws_secret_access_key=os.environ["SECRET_KEY"],
)
place = {"Bucket": os.environ["BUCKET"], "Key": os.environ["KEY"]}
data = bytes(range(256)) * 256
s3.put_object(Body=data, **place)
assert s3.get_object(**place)["Body"].read() == data
print("checkpoint written and read back:", len(data), "bytes")
