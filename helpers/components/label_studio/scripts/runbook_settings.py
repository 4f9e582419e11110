# Written by the runbook, chapter 10. Changes made here are undone by the next install.
import os
import label_studio
# It asks pypi.org for its newest version whenever it loads, unless it did so within the last minute: it never does.
label_studio.__latest_version_check_time__ = float("inf")
from label_studio.core.settings.label_studio import *
SECRET_KEY = os.environ["LABEL_STUDIO_SECRET_KEY"]
