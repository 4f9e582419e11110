runs_as minio
