"""Pachyderm as a chapter reaches it: gRPC through the SSH connection, ending in time and failing in words; S3."""

from __future__ import annotations

import grpc
import python_pachyderm

from helpers.components import minio
from helpers.components.kubernetes.kube import Kube
from helpers.core.errors import RunbookError

SPACE = "pachyderm"
#: ports of the service pachd at its cluster address, and of pachd-open on the host where `expose` asks for them
GRPC, S3 = 30650, 30600


class NotFound(RunbookError):
    """pachd knows no such repository, branch, pipeline or job."""

    final = True


class Client(python_pachyderm.Client):
    """python_pachyderm's client; each call ends within a minute, and one that fails is a RunbookError.

    While etcd is away calls would not end at all; after one that did not, the next ones are given half of that.
    """

    patience = 60

    def _req(self, grpc_service, grpc_method_name, req=None, **fields):
        if grpc_service not in self._stubs:
            self._stubs[grpc_service] = _InTime(self, grpc_service.stub(grpc.insecure_channel(self.address)))
        try:
            answer = python_pachyderm.Client._req(self, grpc_service, grpc_method_name, req, **fields)
        except grpc.RpcError as e:
            raise self._in_words(grpc_method_name, e) from e
        if hasattr(answer, "cancel"):
            return _Answers(answer, self._answered, lambda e: self._in_words(grpc_method_name, e))
        self._answered()
        return answer

    def _answered(self):
        self.patience = Client.patience

    def _in_words(self, method, error):
        what = "ask pachd: " + method
        do = (
            f"On the host: microk8s kubectl get pods -n {SPACE}; "
            f"microk8s kubectl logs -n {SPACE} deploy/pachd --tail=30"
        )
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            saw, self.patience = f"pachd gives no answer within {self.patience} s: does its etcd run?", 30
            return RunbookError(what, saw=saw, do=do, entry="pach-down")
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            return RunbookError(what, saw="pachd does not answer", do=do, entry="pach-down")
        saw = (error.details() or str(error.code())).split("\n")[0]
        return (NotFound if "not found" in saw else RunbookError)(what, saw=saw, do=do)


class _InTime:
    """A service's calls, each of which ends when the client's patience does."""

    def __init__(self, client, stub):
        self._client, self._stub = client, stub

    def __getattr__(self, method):
        call = getattr(self._stub, method)
        return lambda request, **kw: call(request, timeout=self._client.patience, **kw)


class _Answers:
    """A stream of answers that fails in words; `answered` is called at each."""

    def __init__(self, stream, answered, in_words):
        self._stream, self._answered, self._in_words = stream, answered, in_words

    def __iter__(self):
        return self

    def __next__(self):
        try:
            answer = next(self._stream, None)
        except grpc.RpcError as e:
            raise self._in_words(e) from e
        self._answered()
        if answer is None:
            raise StopIteration
        return answer

    def __getattr__(self, name):
        return getattr(self._stream, name)


class Pachyderm:
    """The Pachyderm on the chapter's target, as its clients reach it."""

    def __init__(self, ch):
        self.ch, self.kube = ch, Kube(ch)
        self._address, self._client, self._s3 = None, None, None

    @property
    def address(self):
        """pachd's address in the cluster, reached from the host and from pods."""
        if self._address is None:
            self._address = self.kube.service_address("pachd", SPACE)
        return self._address

    def s3_url(self):
        """The S3 gateway for programs on the host and in pods."""
        return f"http://{self.address}:{S3}"

    def way(self, port):
        """(address, port) of the service as this machine reaches it."""
        return self.ch.until_the_verdict(self.ch.host.way(port, self.address))

    @property
    def client(self):
        """A python_pachyderm.Client."""
        if self._client is None:
            self._client = Client(*self.way(GRPC))
        return self._client

    @property
    def s3(self):
        """A minio client on the S3 gateway, without keys."""
        if self._s3 is None:
            self._s3 = minio.connect("{}:{}".format(*self.way(S3)), timeout=60)
        return self._s3

    def repositories(self):
        """The names of all repositories."""
        return sorted(r.repo.name for r in self.client.list_repo())

    def version(self):
        """The version of the pachd that answers; "" when none does, or nothing is to be asked."""
        if not self.ch.proving:
            return ""
        try:
            v = self.client.get_remote_version()
        except RunbookError:
            return ""
        return f"{v.major}.{v.minor}.{v.micro}{v.additional}"
