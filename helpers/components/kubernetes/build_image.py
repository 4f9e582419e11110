"""Makes an image and pushes it, without Docker: runs in a pod of the base image. build_image.py REGISTRY NAME TAG COMMAND...

The image is two layers: this pod's own files as they came, and /opt/model with the packages and the files of /build. They go to
the registry by its HTTP API (https://docs.docker.com/registry/spec/api/); what it has already is not sent again. The tag comes last,
so that a build that was cut off leaves none.
"""
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.parse
import urllib.request

BUILD, MODEL = "/build", "/opt/model"
TYPE = "application/vnd.docker.distribution.manifest.v2+json"
#: in the image as empty folders
EMPTY = ("/dev", "/proc", "/run", "/sys", "/tmp")
#: a cluster's registry is not behind its proxy
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(method, url, data=None, **headers):
    request = urllib.request.Request(url, data, {k.replace("_", "-"): v for k, v in headers.items()}, method=method)
    return opener.open(request, timeout=300)


def layer(path, root, without=()):
    """A gzipped tar of a folder at path; names sorted, so that the same files make the same bytes. Returns (path, digest of the tar, digest of the file)."""
    plain = hashlib.sha256()

    class Sum:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            plain.update(data)
            return self.file.write(data)

    with open(path, "wb") as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as zipped, tarfile.open(fileobj=Sum(zipped), mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for folder, folders, files in os.walk(root):
            links = [d for d in folders if os.path.islink(os.path.join(folder, d))]
            folders[:] = sorted(d for d in folders if os.path.join(folder, d) not in without or os.path.join(folder, d) in EMPTY)
            if folder in without:
                folders[:], links, files = [], [], []
            for one in [folder] + [os.path.join(folder, f) for f in sorted(files + links)]:
                if one != "/" and (one == folder or one not in without):
                    tar.add(one, one.lstrip("/"), recursive=False, filter=whole)
    with open(path, "rb") as file:
        return path, "sha256:" + plain.hexdigest(), "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def whole(info):
    if info.name.startswith(MODEL[1:]):
        info.mtime = 0      # when pip ran is no part of an image
    info.mtime = int(info.mtime)
    return info


def push(repository, path, digest):
    """A blob into the repository (its URL), unless it is there."""
    try:
        ask("HEAD", "{}/blobs/{}".format(repository, digest))
        print("there already:", digest, flush=True)
        return
    except urllib.error.HTTPError as e:
        if e.code != 404:
            raise
    start = ask("POST", repository + "/blobs/uploads/", b"")
    where = urllib.parse.urljoin(start.url, start.headers["Location"])
    where += ("&" if "?" in where else "?") + "digest=" + digest
    with open(path, "rb") as file:
        ask("PUT", where, file, Content_Length=str(os.path.getsize(path)), Content_Type="application/octet-stream")
    print("pushed: {} ({:.0f} MB)".format(digest, os.path.getsize(path) / 1e6), flush=True)


def mounts():
    """What is mounted into this pod, and is no part of the base image."""
    with open("/proc/self/mountinfo") as file:
        return {line.split()[4] for line in file} - {"/"} | {*EMPTY, MODEL}


def main(registry, name, tag, *command):
    repository = "http://{}/v2/{}".format(registry, name)
    base = layer("/tmp/base.tar.gz", "/", mounts())
    shutil.rmtree(MODEL, ignore_errors=True)
    os.makedirs(MODEL)
    subprocess.run([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--root-user-action=ignore", "--no-cache-dir", "--no-compile", "--no-deps",
                    "--target", MODEL + "/lib", "-r", BUILD + "/requirements.txt"], check=True)
    for file in sorted(os.listdir(BUILD)):
        if file.endswith(".py"):
            shutil.copy(os.path.join(BUILD, file), MODEL)
    # The model's user cannot write compiled files, and without them each start takes seconds more.
    subprocess.run([sys.executable, "-m", "compileall", "-q", "-j0", "--invalidation-mode", "unchecked-hash", MODEL], stdout=subprocess.DEVNULL)
    subprocess.run(["chmod", "-R", "a+rX", MODEL], check=True)
    layers = [base, layer("/tmp/model.tar.gz", MODEL)]
    keep = ("LANG", "PYTHON_VERSION", "GPG_KEY")
    config = json.dumps({
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine), "os": "linux",
        "config": {"Env": ["PATH={}/lib/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin".format(MODEL), "PYTHONPATH={0}/lib:{0}".format(MODEL),
                           "PYTHONUNBUFFERED=1"] + ["{}={}".format(k, os.environ[k]) for k in keep if k in os.environ],
                   "Cmd": list(command), "WorkingDir": MODEL},
        "rootfs": {"type": "layers", "diff_ids": [plain for _, plain, _ in layers]}}).encode()
    with open("/tmp/config.json", "wb") as file:
        file.write(config)
    about = "sha256:" + hashlib.sha256(config).hexdigest()
    for path, digest in [(path, digest) for path, _, digest in layers] + [("/tmp/config.json", about)]:
        push(repository, path, digest)
    manifest = {"schemaVersion": 2, "mediaType": TYPE, "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config), "digest": about},
                "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": os.path.getsize(path), "digest": digest} for path, _, digest in layers]}
    ask("PUT", "{}/manifests/{}".format(repository, tag), json.dumps(manifest).encode(), Content_Type=TYPE)
    print("image {}:{}".format(name, tag), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
