# Make the user $1 with the password on standard input, or give him that one. $2: Label Studio's environment,
# $3: its settings, $4: its data, $5: the system user that it runs as, $6: a project that 1.0 makes at the same time.
# Where there is no terminal, Label Studio reads the password from standard input.
user=$1 program=$2/bin/label-studio account=$5 project=$6
set -a
. "$3"
set +a
cd "$4" || exit
password=$(cat)
label_studio() {
  printf '%s\n' "$password" | runuser -u "$account" -- "$program" "$@" --username "$user" 2>&1 |
    { grep -v -i 'password\|getpass' || true; } | tail -n 5
}
label_studio init ${project:+"$project"}
said=$(label_studio reset_password) || { echo "$said"; exit 1; }
echo "$said"
case $said in *"User with username $user not found"*) exit 1 ;; esac  # 1.0.1 exits with 0
