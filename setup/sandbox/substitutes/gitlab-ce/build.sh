#!/bin/bash
# The stand-in's package, in apt repositories as its publisher has them.
set -euo pipefail
# A host's python3 reads no YAML: the package brings what does, in plain Python, as the real one brings all along.
python3 -m pip install --quiet --no-compile --no-deps --break-system-packages --target wheel PyYAML==6.0.4
mkdir double/yaml
cp wheel/yaml/*.py double/yaml/
OUT=$PWD/made bash package.sh
bash repository.sh "$(find made -type f)"
rm -r made wheel
