#!/bin/bash
# recipe.sh: what a recipe's build.sh, the argument, finds in the builder.
# The builder is read-only there, so apt's lists begin as links to the builder's.
mkdir -p /tmp/apt/lists/partial /tmp/apt/cache/archives/partial
ln -s /var/lib/apt/lists/*_* /tmp/apt/lists
echo 'Dir::State::lists "/tmp/apt/lists"; Dir::Cache "/tmp/apt/cache";' > "$APT_CONFIG"

# A root of a user namespace makes no devices: while something runs in a root file system, that has the build's own.
chroot() {
  local node code=0 made=()
  for node in "$1"/dev/{null,zero,full,random,urandom,tty}; do
    if [ ! -e "$node" ]; then : > "$node" && mount --bind "/dev/${node##*/}" "$node" && made+=("$node"); fi
  done
  command chroot "$@" || code=$?
  if [ ${#made[@]} != 0 ]; then umount "${made[@]}" && rm "${made[@]}"; fi
  return $code
}
export -f chroot

cd "${1%/*}" || exit
TIMEFORMAT='took %R s: processors %U s, kernel %S s'
time bash ./build.sh
