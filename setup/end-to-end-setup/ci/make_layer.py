"""A job of the pipeline: fetches the checkpoint from MinIO, and packs it with the model as a layer for the image."""

import io
import os
import tarfile
from urllib.parse import urlsplit

from minio import Minio

FOLDER, FILES = "opt/model/", ("Clothes.py", "model.py")
CHECKPOINT = "checkpoints/{}.json".format(os.environ["CI_COMMIT_SHA"])


def checkpoint():
    where = urlsplit(os.environ["MINIO_URL"])
    keys = os.environ["MINIO_USER"], os.environ["MINIO_SECRET_KEY"]
    store = Minio(where.netloc, *keys, secure=where.scheme == "https", region="us-east-1")
    answer = store.get_object(os.environ["MINIO_BUCKET"], CHECKPOINT)
    try:
        return answer.read()
    finally:
        answer.close()


def main():
    contents = {"checkpoint.json": checkpoint()}
    for name in FILES:
        with open(name, "rb") as file:
            contents[name] = file.read()
    with tarfile.open("layer.tar", "w") as tar:  # no times, no users: the same files are the same layer
        for name, content in sorted(contents.items()):
            info = tarfile.TarInfo(FOLDER + name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    print(f"layer of {len(contents)} files, checkpoint {CHECKPOINT}")


if __name__ == "__main__":
    main()
