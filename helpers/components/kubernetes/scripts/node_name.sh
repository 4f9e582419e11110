# A probe: the host's name can be a node's (RFC 1123, small letters are made of it), or kubelet is given another name.
name=$(hostname | tr '[:upper:]' '[:lower:]')
label='[a-z0-9]([-a-z0-9]*[a-z0-9])?'
[[ $name =~ ^$label(\.$label)*$ ]] && exit 0
grep -qs -e '--hostname-override' /var/snap/microk8s/current/args/kubelet && exit 0
echo "it is $(hostname): a node's name has letters, digits, - and . only"
exit 1
