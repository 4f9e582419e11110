# $KIND $NAME was made by a runbook that kept no note. $1: the environment, $2: the settings, $3: the data of the user $4.
# An install or a remove that was cut off leaves a part of an environment, and nothing else in its folder.
first() { head -n 1 "$1" 2>/dev/null || true; }
only_a_part() {
  [ -z "$(find "$1" -mindepth 1 -maxdepth 1 -printf "%f\n" |
    grep -vxE 'bin|include|lib|lib64|share|etc|man|pyvenv.cfg|requirements.txt|installed|\.uv|\.lock|\.gitignore')" ]
}
[ -z "$NOTED" ] || exit 1
if [ -e "$2" ]; then
  [[ $(first "$2") = "# Written by the runbook, chapter 10."* ]] || exit 1
else
  getent passwd "$4" | grep -q ":$3:/usr/sbin/nologin$" || exit 1
fi
case $KIND.$NAME in
  "folder.$1")
    [[ $(first "$1/requirements.txt") = "# Label Studio "*" and what it needs"* ]] ||
      [[ $(first "$1/installed") =~ ^[0-9a-f]{64}$ ]] || only_a_part "$1" ;;
  "folder.$3") [ "$(stat -c %U "$3")" = "$4" ] ;;
esac
