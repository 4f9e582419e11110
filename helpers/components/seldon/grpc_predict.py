"""Seldon's gRPC call Predict, without generated code: its messages are described here and made at run time.

They are those of proto/prediction.proto of seldon-core 1.7.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

from helpers.core.errors import RunbookError
from helpers.core.grpc_settings import grpc

PREDICT = "/seldon.protos.Seldon/Predict"
_INT32, _DOUBLE, _STRING, _MESSAGE = 5, 1, 9, 11  # FieldDescriptorProto.Type
#: message: fields as (name, number, type, repeated). What is not named here is skipped when it comes.
_MESSAGES = {
    "Status": [("code", 1, _INT32, False), ("info", 2, _STRING, False), ("reason", 3, _STRING, False)],
    "Meta": [("puid", 1, _STRING, False), ("tags", 2, ".seldon.protos.Meta.TagsEntry", True)],
    "Tensor": [("shape", 1, _INT32, True), ("values", 2, _DOUBLE, True)],
    "DefaultData": [
        ("names", 1, _STRING, True),
        ("tensor", 2, ".seldon.protos.Tensor", False),
        ("ndarray", 3, ".google.protobuf.ListValue", False),
    ],
    "SeldonMessage": [
        ("status", 1, ".seldon.protos.Status", False),
        ("meta", 2, ".seldon.protos.Meta", False),
        ("data", 3, ".seldon.protos.DefaultData", False),
    ],
}


def _fields(message, fields):
    for name, number, kind, repeated in fields:
        field = message.field.add(
            name=name, number=number, label=3 if repeated else 1, type=_MESSAGE if isinstance(kind, str) else kind
        )
        if isinstance(kind, str):
            field.type_name = kind


def _message_class():
    file = descriptor_pb2.FileDescriptorProto(
        name="runbook/prediction.proto",
        package="seldon.protos",
        syntax="proto3",
        dependency=["google/protobuf/struct.proto"],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        _fields(message, fields)
        if name == "Meta":  # a map is a repeated message of key and value
            entry = message.nested_type.add(name="TagsEntry")
            _fields(entry, [("key", 1, _STRING, False), ("value", 2, ".google.protobuf.Value", False)])
            entry.options.map_entry = True
    pool = descriptor_pool.DescriptorPool()  # of its own: seldon-core's generated code may be loaded, too
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindMessageTypeByName("seldon.protos.SeldonMessage")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(found)
    return message_factory.MessageFactory(pool).GetPrototype(found)  # protobuf before 4.22


SeldonMessage = _message_class()


def request(rows):
    """A SeldonMessage with these rows as a tensor."""
    message = SeldonMessage()
    message.data.tensor.shape.extend([len(rows), len(rows[0])])
    message.data.tensor.values.extend(float(x) for row in rows for x in row)
    return message


def rows(message):
    """The rows of a SeldonMessage's tensor."""
    shape, values = list(message.data.tensor.shape), list(message.data.tensor.values)
    if len(shape) != 2 or shape[0] * shape[1] != len(values):
        raise RunbookError("read Seldon's answer over gRPC", saw=f"a tensor of shape {shape} with {len(values)} values")
    return [values[n : n + shape[1]] for n in range(0, len(values), shape[1])]


def predict(address, namespace, name, numbers, timeout=90):
    """(rows of the answer, its tags) of a SeldonDeployment behind the gateway at address ("host:port").

    The gateway finds the deployment by the call's metadata: seldon and namespace. RunbookError when it refuses.
    timeout: seconds.
    """
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(
            PREDICT, request_serializer=SeldonMessage.SerializeToString, response_deserializer=SeldonMessage.FromString
        )
        try:
            answer = call(request(numbers), timeout=timeout, metadata=(("seldon", name), ("namespace", namespace)))
        except grpc.RpcError as e:
            saw = "{}: {}".format(e.code().name, (e.details() or "").split("\n")[0])
            raise RunbookError(f"ask {namespace}/{name} over gRPC", saw=saw) from e
    return rows(answer), {key: answer.meta.tags[key].string_value for key in answer.meta.tags}
