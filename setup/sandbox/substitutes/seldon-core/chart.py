#!/usr/bin/env python3
"""Pack the chart in a folder and list it as a repository does: chart.py CHART REPOSITORY. Same input, same bytes."""

import gzip
import hashlib
import io
import json
import pathlib
import re
import sys
import tarfile

chart, repository = map(pathlib.Path, sys.argv[1:])
about = dict(re.findall(r"^(\w+): (.+)$", (chart / "Chart.yaml").read_text(), re.M))
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w") as tar:
    for file in sorted(p for p in chart.rglob("*") if p.is_file()):
        info = tarfile.TarInfo(f"{about['name']}/{file.relative_to(chart)}")
        info.size, info.mode = file.stat().st_size, 0o644
        tar.addfile(info, io.BytesIO(file.read_bytes()))
data = gzip.compress(packed.getvalue(), mtime=0)
name = f"{about['name']}-{about['version']}.tgz"
repository.mkdir(parents=True, exist_ok=True)
(repository / name).write_bytes(data)
entry = {**about, "urls": [name], "digest": hashlib.sha256(data).hexdigest(), "created": "1970-01-01T00:00:00Z"}
(repository / "index.yaml").write_text(
    json.dumps({"apiVersion": "v1", "entries": {about["name"]: [entry]}, "generated": "1970-01-01T00:00:00Z"}, indent=1)
    + "\n"
)  # JSON is YAML
