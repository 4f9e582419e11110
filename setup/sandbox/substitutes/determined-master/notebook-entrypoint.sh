#!/bin/sh
# JupyterLab below the master's proxy. Whoever reaches the master's port reaches it: 0.15.3 asks for no login there.
exec jupyter lab --no-browser --allow-root --ServerApp.ip=0.0.0.0 --ServerApp.port="$NOTEBOOK_PORT" \
  --ServerApp.base_url="/proxy/$DET_TASK_ID/" --IdentityProvider.token= --ServerApp.allow_remote_access=True
