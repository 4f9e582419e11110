"""gRPC with our settings, which it reads as it is imported: `from helpers.core.grpc_settings import grpc`."""

from __future__ import annotations

import os

# gRPC has hooks of its own around fork(), which complain when a command is started.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# It would ask a proxy for 127.0.0.1.
os.environ["NO_GRPC_PROXY"] = "127.0.0.1,localhost"

# after its settings
import grpc

__all__ = ["grpc"]
