# A probe: nothing of metallb_left_remove.sh is there.
nothing_of clusterrole,clusterrolebinding,podsecuritypolicy -l app=metallb
