# The list of packages on standard input, into an environment $1 of the Python $2, by the installer $3 (uv==... or
# pip==..., and its checksums); $4 is the mark of a whole one, $5 a Python program that prints uv's settings.
# uv fetches in parallel, which makes a minute into a quarter; it reads none of pip's settings, so they are handed on.
# Where it does not run, or fails, pip itself installs. Nothing here resolves versions: the list names every package, and
# the checksums of its files: another file is not installed. Some have no wheel, and run their own setup.py.
venv=$1 python=$2 tool=$3 mark=$4 settings=$5
pip_install() { "$venv/bin/pip" install --disable-pip-version-check --no-cache-dir "$@"; }
by_uv() {
  case "$tool" in uv*) ;; *) return 1;; esac
  rm -rf "$venv/.uv"
  trap 'rm -rf "$venv/.uv"' EXIT
  pip_install -q --target "$venv/.uv" --require-hashes -r /dev/stdin <<< "$tool" || return 1
  exports=$("$venv/bin/python" -c "$settings") || return 1
  eval "$exports"
  UV_SYSTEM_CERTS=true "$venv/.uv/bin/uv" pip install --no-cache --no-deps --require-hashes \
    --python "$venv/bin/python" -r "$venv/requirements.txt"
}
umask 022
rm -f "$venv/installed"
"$python" -m venv --clear "$venv"
cat > "$venv/requirements.txt"
case "$tool" in pip*) pip_install -q --require-hashes -r /dev/stdin <<< "$tool" ;; esac
by_uv || {
  echo "with pip"
  pip_install --no-compile --no-deps --prefer-binary --require-hashes -r "$venv/requirements.txt"
}
[ -x "$venv/bin/label-studio" ]
echo "$mark" > "$venv/installed"
