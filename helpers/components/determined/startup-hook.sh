# Determined sources this in a notebook's folder before JupyterLab starts: pip installs what the helpers need and the
# image lacks. /run/runbook-pip is the Secret determined-pip: the host's settings for pip, which are pip's alone here.
(
  if [ -r /run/runbook-pip/environment ]; then . /run/runbook-pip/environment; fi
  echo "runbook: pip installs what the helpers need and this image lacks"
  if "${DET_PYTHON_EXECUTABLE:-python3}" -m pip install --user -q --disable-pip-version-check \
    --no-warn-script-location --retries 2 -r setup/requirements-notebook-task.txt; then
    echo "runbook: the helpers' packages are there"
  else
    echo "runbook: pip failed, so the helpers will not load; JupyterLab starts without them"
  fi
) 2>&1
# By `./runbook notebook --verify`: the secrets with which chapters verify from here, target = "incluster".
if [ -r /run/runbook-incluster/secrets.json ]; then
  (umask 077 && mkdir -p ~/.mlops-runbook/secrets && cat /run/runbook-incluster/secrets.json >~/.mlops-runbook/secrets/incluster.json) ||
    echo "runbook: the secrets could not be put into the home directory, so no chapter can be verified here"
fi
if [ -f my-startup-hook.sh ]; then . ./my-startup-hook.sh; fi
