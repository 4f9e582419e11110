# MicroK8s goes, and what its own removal leaves: functions of microk8s_left.sh.
pods_end
rules_go
snap remove --purge microk8s
files_go
links_go
