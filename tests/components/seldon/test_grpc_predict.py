"""Seldon's messages and its call over gRPC, against a real server on loopback."""

from concurrent import futures

import grpc
import pytest

from helpers.components.seldon import grpc_predict
from helpers.core.errors import RunbookError

#: as seldon-core's generated code writes them: two rows of four; the same with names and a tag
TWO_ROWS = bytes.fromhex(
    "1a4812460a0202041240000000000000f03f00000000000000400000000000000840"
    "0000000000001040000000000000144000000000000018400000000000001c400000000000002040"
)
WITH_TAG = bytes.fromhex("121612140a0d6d6f64656c5f76657273696f6e12031a01311a4b0a0161") + TWO_ROWS[2:]


def test_messages_are_byte_for_byte_those_of_the_generated_code():
    assert grpc_predict.request([[1, 2, 3, 4], [5, 6, 7, 8]]).SerializeToString() == TWO_ROWS
    answer = grpc_predict.SeldonMessage.FromString(WITH_TAG)
    assert grpc_predict.rows(answer) == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert answer.meta.tags["model_version"].string_value == "1" and list(answer.data.names) == ["a"]


def test_a_tensor_whose_shape_does_not_fit_is_no_answer():
    message = grpc_predict.request([[1, 2]])
    message.data.tensor.shape[1] = 3
    with pytest.raises(RunbookError) as e:
        grpc_predict.rows(message)
    assert "[1, 3] with 2 values" in e.value.saw


@pytest.fixture
def model():
    """A gRPC server that answers Predict with WITH_TAG to who names models/flowers, and refuses others."""
    asked = []

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            given = dict(details.invocation_metadata)
            asked.append((details.method, given.get("namespace"), given.get("seldon")))

            def answer(request, context):
                if given.get("seldon") != "flowers":
                    context.abort(grpc.StatusCode.UNIMPLEMENTED, "no route\nat all")
                return WITH_TAG

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", asked
    server.stop(None)


def test_a_call_names_the_deployment_and_reads_numbers_and_tags(model):
    address, asked = model
    found = grpc_predict.predict(address, "models", "flowers", [[1, 2, 3, 4]])
    assert found == ([[1, 2, 3, 4], [5, 6, 7, 8]], {"model_version": "1"})
    assert asked == [("/seldon.protos.Seldon/Predict", "models", "flowers")]


def test_a_call_that_is_refused_or_reaches_nobody_ends_in_words(model):
    for address, name, words in (
        (model[0], "nobody", "UNIMPLEMENTED: no route"),
        ("127.0.0.1:1", "flowers", "UNAVAILABLE"),
    ):
        with pytest.raises(RunbookError) as e:
            grpc_predict.predict(address, "models", name, [[1]], timeout=5)
        assert e.value.saw.startswith(words) and "\n" not in e.value.saw and "models/" + name in e.value.what
