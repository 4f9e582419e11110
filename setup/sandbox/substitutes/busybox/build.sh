#!/bin/bash
# busybox 1.35.0 from Debian's static build, with a link for each of its commands.
set -euo pipefail
mkdir -p "$OUT/images"
bash /tools/debs.sh tree busybox-static
[[ $(tree/bin/busybox | sed -n 1p) == "BusyBox v1.35.0 "* ]]
links=()
for command in $(tree/bin/busybox --list); do [ "$command" = busybox ] || links+=(--link "/bin/$command:busybox"); done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' > passwd
printf 'root:x:0:\nnobody:x:65534:\n' > group
python3 /tools/mkimage.py "$OUT/images/busybox.tar" busybox:1.35.0 --dir /tmp:1777 --dir /root:700 --add tree/bin/busybox:/bin/busybox \
  "${links[@]}" --add passwd:/etc/passwd --add group:/etc/group --cmd '["sh"]'
