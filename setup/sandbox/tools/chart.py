#!/usr/bin/env python3
"""Pack the chart in a folder and list it as a repository does: chart.py CHART REPOSITORY [ARCHIVES].

Same input, same bytes.
The archive lies beside the index, or else in ARCHIVES, the folder of a host of its own.
"""

import gzip
import hashlib
import io
import json
import pathlib
import re
import sys
import tarfile

chart, repository, archives = map(pathlib.Path, [*sys.argv[1:], sys.argv[2]][:3])
about = dict(re.findall(r"^(\w+): (.+)$", (chart / "Chart.yaml").read_text(), re.M))
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w") as tar:
    for file in sorted(p for p in chart.rglob("*") if p.is_file()):
        info = tarfile.TarInfo(f"{about['name']}/{file.relative_to(chart)}")
        info.size, info.mode = file.stat().st_size, 0o644
        tar.addfile(info, io.BytesIO(file.read_bytes()))
data = gzip.compress(packed.getvalue(), mtime=0)
name = f"{about['name']}-{about['version']}.tgz"
for folder in (repository, archives):
    folder.mkdir(parents=True, exist_ok=True)
(archives / name).write_bytes(data)
url = name if archives == repository else f"https://{archives.name}/{name}"
entry = {**about, "urls": [url], "digest": hashlib.sha256(data).hexdigest(), "created": "1970-01-01T00:00:00Z"}
(repository / "index.yaml").write_text(
    json.dumps({"apiVersion": "v1", "entries": {about["name"]: [entry]}, "generated": "1970-01-01T00:00:00Z"}, indent=1)
    + "\n"
)  # JSON is YAML
