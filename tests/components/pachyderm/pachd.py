"""A gRPC server in the place of pachd: it answers what a test says, by the names of Pachyderm's own methods."""

from __future__ import annotations

import contextlib
from concurrent import futures

from google.protobuf.wrappers_pb2 import BytesValue

from helpers.components.pachyderm.client import Client, Pachyderm

import grpc  # isort: skip - the client sets its environment first
from python_pachyderm.proto.pfs import pfs_pb2 as pfs  # isort: skip
from python_pachyderm.proto.pps import pps_pb2 as pps  # isort: skip
from python_pachyderm.service import Service  # isort: skip


@contextlib.contextmanager
def running(**answers):
    """The port of a server. answers: {method: a message, a list for a stream, an error's text, or call(request)}."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    for service in (Service.PFS, Service.PPS, Service.VERSION):
        servicer = service.servicer()
        for method, answer in answers.items():
            if hasattr(servicer, method):
                setattr(servicer, method, _handler(answer))
        service.grpc_module.add_APIServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


@contextlib.contextmanager
def asked(ch, **answers):
    """A client.Pachyderm of this chapter whose pachd gives these answers."""
    with running(**answers) as port:
        pach = Pachyderm(ch)
        pach._client = Client("127.0.0.1", port)
        yield pach


def holding(files):
    """Answers of a pachd with these files: {repository: {path: content}}, all on the branch master."""

    def walk(request):
        for path in files[request.file.commit.repo.name]:
            yield pfs.FileInfo(file=pfs.File(path="/" + path), file_type=pfs.FILE)

    def get(request):
        return [BytesValue(value=files[request.file.commit.repo.name][request.file.path.lstrip("/")])]

    repos = [pfs.RepoInfo(repo=pfs.Repo(name=name)) for name in files]
    branch = pfs.BranchInfo(name="master", head=pfs.Commit(id="head"))
    return {
        "ListRepo": pfs.ListRepoResponse(repo_info=repos),
        "ListBranch": pfs.BranchInfos(branch_info=[branch]),
        "InspectBranch": branch,
        "ListCommitStream": [pfs.CommitInfo(finished={"seconds": 1})],
        "WalkFile": walk,
        "GetFile": get,
    }


def pipeline_info(name, version=1, repo="fmnist", glob="/", **transform):
    """A PipelineInfo as pachd gives it."""
    return pps.PipelineInfo(
        pipeline=pps.Pipeline(name=name),
        version=version,
        input=pps.Input(pfs=pps.PFSInput(repo=repo, glob=glob)),
        transform=pps.Transform(**transform),
    )


def _handler(answer):
    def handle(request, context):
        if isinstance(answer, str):
            context.abort(grpc.StatusCode.UNKNOWN, answer)
        said = answer(request) if callable(answer) else answer
        return iter(said) if isinstance(said, list) else said

    return handle
