"""Chapter 07: Pachyderm."""

import helpers.core.grpc_settings  # noqa: F401 - gRPC reads them as it is imported: before any module of this room
