# A probe: GitLab's supervisor does not run.
if found=$(pgrep -f '[r]unsvdir -P /opt/gitlab/service'); then
  echo "GitLab's supervisor still runs, process" $found
  exit 1
fi
