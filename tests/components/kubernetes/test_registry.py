"""Images made here, and how they are pushed to the cluster's registry; no registry here."""

import gzip
import io
import json
import tarfile

import httpx
import pytest

from helpers.components.kubernetes import registry
from helpers.core.errors import Unmet


def test_an_image_is_a_layer_a_configuration_and_a_manifest():
    files = {"bin/tool": (b"program", 0o755), "www/index.html": (b"word", 0o644)}
    manifest, blobs = registry.image(files, ["/bin/tool", "-f"])
    said = json.loads(manifest)
    config, layer = json.loads(blobs[said["config"]["digest"]]), blobs[said["layers"][0]["digest"]]
    assert all(registry.digest(data) == key for key, data in blobs.items()) and said["layers"][0]["size"] == len(layer)
    plain = gzip.decompress(layer)
    assert config["config"]["Cmd"] == ["/bin/tool", "-f"] and config["rootfs"]["diff_ids"] == [registry.digest(plain)]
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        assert {m.name: m.mode for m in tar} == {"bin/tool": 0o755, "www/index.html": 0o644}
        assert tar.extractfile("www/index.html").read() == b"word"


def client(answer):
    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://registry")


def test_a_push_sends_each_piece_where_the_registry_says():
    seen, (manifest, blobs) = [], registry.image({"a": (b"1", 0o644)}, ["/a"])

    def answer(request):
        seen.append((request.method, request.url.path, dict(request.url.params)))
        if request.method == "POST":
            return httpx.Response(202, headers={"location": "http://registry/v2/x/blobs/uploads/7?_state=s%3D1"})
        return httpx.Response(201)

    assert registry.push(client(answer), "x", "1", manifest, blobs) == registry.digest(manifest)
    puts = [(path, given) for method, path, given in seen if method == "PUT"]
    assert puts[:2] == [("/v2/x/blobs/uploads/7", {"_state": "s=1", "digest": key}) for key in blobs]
    assert puts[2] == ("/v2/x/manifests/1", {})


def test_a_registry_that_refuses_a_piece_is_told_in_its_words():
    manifest, blobs = registry.image({"a": (b"1", 0o644)}, ["/a"])
    with pytest.raises(Unmet) as e:
        registry.push(client(lambda request: httpx.Response(507, text="no space left")), "x", "1", manifest, blobs)
    assert e.value.saw == "507: no space left"
