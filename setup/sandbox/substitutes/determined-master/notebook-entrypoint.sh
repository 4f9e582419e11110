#!/usr/bin/env bash
# In the steps of 0.15.3's: which, pip for the harness's wheel, the user's startup-hook.sh, then JupyterLab below the master's proxy.
set -e
export PATH="/run/determined/pythonuserbase/bin:$PATH" DET_PYTHON_EXECUTABLE="${DET_PYTHON_EXECUTABLE:-python3}"
if ! /bin/which "$DET_PYTHON_EXECUTABLE" >/dev/null 2>&1; then
  echo "error: unable to find python3 as \"$DET_PYTHON_EXECUTABLE\"" >&2
  exit 1
fi
if [ "$HOME" = "/" ]; then
  HOME="$(set -o pipefail; getent passwd "$(whoami)" | cut -d: -f6)" || HOME=/run/determined/workdir
  export HOME
fi
"$DET_PYTHON_EXECUTABLE" -m pip install -q --user /opt/determined/wheels/determined*.whl
pushd /run/determined/workdir && test -f startup-hook.sh && source startup-hook.sh && popd
exec jupyter lab --config /run/determined/workdir/jupyter-conf.py --port="$NOTEBOOK_PORT"
