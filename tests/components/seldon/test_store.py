"""The weights in MinIO, as its HTTP API tells of them."""

from helpers.components.seldon import flowers
from tests.serving import serving

MISSING = "<Error><Code>NoSuchKey</Code><Message>no</Message><Resource>{0}</Resource><RequestId>1</RequestId></Error>"


def minio(held):
    """A server with these objects: {path: bytes}."""

    def handle(request):
        if request.path in held:
            return 200, held[request.path], {"ETag": '"1"', "Last-Modified": "Thu, 26 Nov 2026 00:00:00 GMT"}
        return 404, MISSING.format(request.path), {"Content-Type": "application/xml"}

    return serving(handle)


def test_the_weights_are_there_when_each_object_is_its_file(made):
    held = {f"/models/flowers/{v}/model.json": flowers.weights_file(v) for v in flowers.VERSIONS}
    with minio(held) as server:
        store = made(port=server.port).store
        assert store.why_not_filled() is None and store.why_not_clear() == "models/flowers/1/model.json is there"
        held["/models/flowers/2/model.json"] += b"\n"
        assert store.why_not_filled() == "missing in bucket models, or others: flowers/2/model.json"
        held.clear()
        assert store.why_not_filled().endswith("flowers/1/model.json, flowers/2/model.json")
        assert store.why_not_clear() is None
