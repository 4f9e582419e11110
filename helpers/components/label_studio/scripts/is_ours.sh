# What an install would empty or write over is new, empty or ours: the environment $1, the settings $2, the data $3 of
# the user $4. An install or a remove that was cut off leaves a part of an environment, and nothing else in its folder.
first() { head -n 1 "$1" 2>/dev/null || true; }
no() { echo "$1 is there, and not the runbook's"; exit 1; }
if [[ $(first "$1/requirements.txt") != "# Label Studio "*" and what it needs"* ]] &&
  ! [[ $(first "$1/installed") =~ ^[0-9a-f]{64}$ ]]; then
  other=$(find "$1" -mindepth 1 -maxdepth 1 -printf "%f\n" 2>/dev/null | sort |
    grep -vxE 'bin|include|lib|lib64|share|etc|man|pyvenv.cfg|requirements.txt|installed|\.uv|\.lock|\.gitignore' || true)
  [ -z "$other" ] || no "$1/${other%%$'\n'*}"
fi
[ ! -e "$2" ] || [[ $(first "$2") = "# Written by the runbook, chapter 10."* ]] || no "$2"
other=$(find "$3" -mindepth 1 -maxdepth 1 -printf "%f\n" 2>/dev/null | grep -vx lost+found || true)
[ -z "$other" ] || [ "$(stat -c %U "$3")" = "$4" ] || no "$3/${other%%$'\n'*}"
