# Ends the sessions of all processes whose command line has the mark that comes on stdin: a shell, sudo, what they began.
# Nothing is started to look: it would have the mark in its own command line, and a hundred processes are many starts.
read -r mark
session_of() { # of the process: into $session
  local stat fields
  { read -r stat < "/proc/$1/stat"; } 2>/dev/null || return 1
  read -ra fields <<< "${stat##*) }" # its name, in brackets, may have blanks
  session=${fields[3]}
}
sessions=' '
for folder in /proc/[0-9]*; do
  { mapfile -d '' -t words < "$folder/cmdline"; } 2>/dev/null || continue
  case ${words[*]} in *"$mark"*) session_of "${folder#/proc/}" && sessions+="$session " ;; esac
done
tell() { # SIGNAL: returns 1 when nobody is left to hear it
  local folder heard=1
  for folder in /proc/[0-9]*; do
    session_of "${folder#/proc/}" || continue
    case $sessions in *" $session "*) ! kill "-$1" "${folder#/proc/}" 2>/dev/null || heard=0 ;; esac
  done
  return $heard
}
[ "$sessions" != ' ' ] && tell TERM || exit 0
for _ in 1 2 3 4 5 6; do
  sleep 0.25
  tell 0 || exit 0
done
tell KILL || true
