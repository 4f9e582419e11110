# Prints a name of the outside that the host itself depends on: that of its first package archive that has a name.
apt-get update --print-uris 2>/dev/null | sed -nE 's#^.[a-z]+://([^/:]+).*#\1#p' | grep -m1 -E '^[[:alnum:].-]*[[:alpha:]][[:alnum:].-]*$'
