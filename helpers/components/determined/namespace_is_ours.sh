#!/usr/bin/env bash
# namespace_is_ours.sh NAMESPACE: there is no such namespace, or it carries the runbook's label.
if not_installed; then exit 0; fi
s=$(microk8s kubectl get namespace "$1" --ignore-not-found -o jsonpath='{.metadata.name} {.metadata.labels.runbook}') || cannot_tell
case $s in '' | "$1 determined") ;; *)
    echo "namespace $1 was there before the runbook"
    exit 1
    ;;
esac
