# The second half, after own_state.sh in the same shell: the note is written, what was there before is kept and comes
# back, and remove is finished.
# shellcheck disable=SC2154 # base, chapter, copies, note, removing, verb: from own_state.sh

# The note with the lines of standard input more, whole or not at all.
write() {
  local part=$note.part.$$ lines
  lines=$({ [ ! -e "$note" ] || sed -n '/^{"kind"/{s/,$//;p}' "$note"; cat; })
  mkdir -p "$base"
  chmod 0700 "$base"
  rm -f "$note".part.* # of one that was cut off
  { echo "{\"chapter\": \"$chapter\", \"things\": ["; sed '/^$/d' <<< "$lines" | sed '$!s/$/,/'; echo "]}"; } > "$part"
  sync "$part"
  trap - EXIT
  mv -fT "$part" "$note"
  sync "$base"
}

# Of a package that is not installed: away, or settings, where those of one that was removed are there.
package_was() {
  case $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null || true) in ?c*) echo settings ;; *) echo away ;; esac
}

line() { echo "{\"kind\": \"$1\", \"name\": \"$2\", \"before\": \"$3\"${4:-}}"; }

# The packages that came when apt last installed $1, if that was a command of the runbook's; apt's own history has it.
brought_by_us() {
  local log text=
  while read -r log; do
    [ ! -e "$log" ] || text+=$(zcat -f "$log")$'\n\n'
  done < <(printf '%s\n' "${APT_HISTORY:-/var/log/apt}"/history.log* | sort -rV)
  awk -v RS= -v name="$1" 'index($0, " " name ":") && /\nInstall: / {last = $0} END {print last}' <<< "$text" |
    awk '/^Commandline: / {ours = /apt-get -qy .*--no-install-recommends install /} /^Install: / && ours' |
    grep -oE '[a-z0-9][a-z0-9.+-]+:[a-z0-9]+ \(' | cut -d: -f1
}

# Where that history is lost, the line says so, and remove takes the packages that it always named.
by_older() {
  local found name
  found=$(brought_by_us "$1" || true)
  for name in $found; do line package "$name" away; done
  [ -n "$found" ] || line package "$1" away ', "from": "list"'
}

# What was there, kept before it is changed; prints more fields of its line. A copy that no line has counts for nothing.
keep() {
  local to
  case $1 in
    file)
      to=$(copy "" "$2")
      mkdir -p "$copies"
      rm -rf "$to.part"
      cp -aT "$2" "$to.part"
      [ -L "$to.part" ] || sync "$to.part"
      mv -fT "$to.part" "$to" ;;
    folder)
      if [ "$3" = empty ]; then
        stat -c ', "access": "%a %u:%g"' "$2"
      else
        echo ", \"aside\": \"$2.before-runbook\""
      fi ;;
    unit)
      echo ", \"enabled\": \"$(systemctl is-enabled "$2" || true)\", \"active\": \"$(systemctl is-active "$2" || true)\"" ;;
    boot) echo ", \"enabled\": \"$(systemctl is-enabled "$2" || true)\"" ;;
    context)
      to=$(kubeconfig_of "${2%%/*}") || exit 3
      [ ! -e "$to" ] || stat -Lc ', "access": "%a"' "$to" ;;
    object) # of what is only there or not, none: nobody changes it
      case $2 in */storageclass/* | */configmap/* | */secret/* | */seldondeployment/*) ;; *) return ;; esac
      to=$(copy object- "$2")
      mkdir -p "$copies"
      microk8s kubectl get "${2#*/}" -n "${2%%/*}" -o yaml |
        awk '/^[A-Za-z]/ {about = /^metadata:/; out = 0}
          /^  [A-Za-z]/ {out = about && /^  (resourceVersion|uid|selfLink|generation|creationTimestamp|managedFields):/}
          !out' > "$to.part"
      mv -fT "$to.part" "$to" ;;
    role)
      mkdir -p "$copies"
      as_postgres "$2" <<< "select format('alter role %I %s password %L;', rolname, case when rolcanlogin then 'login'
        else 'nologin' end, rolpassword) from pg_authid where rolname = '${2#*/}'" > "$(copy role- "$2")" ;;
  esac
}

# Nothing is renamed before all can be: $1 to $3 as in lines_of.
can_keep() {
  [ "$1.$2" = adopt.folder ] && [ -z "$(entry "$2" "$3")" ] && [ "$(state "$2" "$3")" = there ] || return 0
  ! mountpoint -q "$3" || no "$3 is a disk with somebody's files: choose another folder"
  ! exists "$3.before-runbook" || no "both are there: $3 and $3.before-runbook"
}

# A line of the note. $1: made (by us, by an older runbook), adopt (as it is), theirs (for remove: no copy is needed), or
# new: it must not be there.
lines_of() {
  local was more=
  [ -z "$(entry "$2" "$3")" ] || return 0
  case $1.$2 in
    made.package) by_older "$3"; return ;;
    made.*) line "$2" "$3" away; return ;;
    theirs.*) line "$2" "$3" there ', "copy": "none"'; return ;;
  esac
  was=$(state "$2" "$3")
  if [ "$2.$was" = package.away ]; then was=$(package_was "$3"); fi
  if [ "$2" = folder ] && [ "$was" != there ] && exists "$3.before-runbook"; then
    was=there more=", \"aside\": \"$3.before-runbook\"" # an earlier run came that far
  elif [ "$was" = there ] && [ "$1" = new ]; then no "was here before: $2 $3"
  elif [ "$was" != away ] || [ "$2" = context ]; then more=$(keep "$2" "$3" "$was"); fi
  line "$2" "$3" "$was" "$more"
}

# The folders that these lines take over get another name; none of them, where the note cannot be written afterwards.
asides=()
set_aside() {
  local aside
  while read -r aside; do
    if [ -n "$aside" ] && ! exists "$aside"; then
      mv -nT "${aside%.before-runbook}" "$aside"
      asides+=("$aside")
    fi
  done < <(field aside <<< "$1")
}
as_it_was() {
  local aside
  for aside in "${asides[@]}"; do mv -nT "$aside" "${aside%.before-runbook}"; done
}

restored() {
  local was aside copied
  was=$(entry "$1" "$2")
  aside=$(field aside <<< "$was")
  case $was in *'"copy": "none"'*) return 0 ;; esac
  if [ -e "$(back "$1" "$2")" ]; then
    # What a package took with it afterwards comes back once more; a folder that was renamed has no copy.
    case $1 in file | folder) exists "$2" || [ -n "$aside" ] ;; esac && return 0
  fi
  case $1 in
    file)
      copied=$(stat -c '%F %a %U:%G %s %Y' "$(copy "" "$2")" 2>&1) || cannot "what $2 was: its copy is lost: $copied"
      [ "$(stat -c '%F %a %U:%G %s %Y' "$2" 2>/dev/null)" = "$copied" ] ;;
    folder)
      if [ -n "$aside" ]; then exists "$2" && ! exists "$aside"
      else [ "$(state folder "$2")" = empty ] && [ "$(stat -c '%a %u:%g' "$2")" = "$(field access <<< "$was")" ]; fi ;;
    object) [ ! -e "$(copy object- "$2")" ] ;;
    role)
      [ -e "$(copy role- "$2")" ] || return 0
      was=$(state role "$2") || exit 3
      [ "$was" = away ] ;; # its server is away, or its owner dropped it
  esac
}

restore() {
  local was aside access
  ! restored "$1" "$2" || return 0
  was=$(entry "$1" "$2")
  aside=$(field aside <<< "$was") access=$(field access <<< "$was")
  mkdir -p "$copies"
  # From here on, install refuses: what remove has put back would be changed, and no copy of it is kept.
  [ "$1" = folder ] && [ -z "$aside" ] || touch "$removing"
  case $1 in
    file)
      (umask 022 && mkdir -p "${2%/*}")
      cp -aT --remove-destination "$(copy "" "$2")" "$2.part.$$"
      mv -fT "$2.part.$$" "$2" ;;
    folder)
      if [ -n "$aside" ]; then mv -nT "$aside" "$2"
      else
        mkdir -p "$2"
        chown "${access#* }" "$2"
        chmod "${access% *}" "$2"
      fi ;;
    object)
      microk8s kubectl delete "${2#*/}" -n "${2%%/*}" --ignore-not-found
      microk8s kubectl create -f - < "$(copy object- "$2")" ;;
    role) as_postgres "$2" < "$(copy role- "$2")" ;;
  esac
  if [ "$1" != folder ] || restored "$1" "$2"; then touch "$(back "$1" "$2")"; fi
}

# kind, name, before of each line
things() { sed -n 's/^{"kind": "\([^"]*\)", "name": "\([^"]*\)", "before": "\([^"]*\)".*/\1\t\2\t\3/p' "$note"; }

rested() { case $1 in inactive | failed | deactivating) ;; *) return 1 ;; esac }

# The units that were here before, but for those that are not there any more; to start them: those that ran then.
theirs() {
  local kind name was
  while IFS=$'\t' read -r kind name was; do
    [ "$kind.$was" = unit.there ] || continue
    was=$(entry unit "$name" | field active)
    if [ -z "$was" ] || { [ "$1" = start ] && rested "$was"; }; then continue; fi
    was=$(state unit "$name") || exit 3
    if [ "$was" = there ]; then echo "$name"; fi
  done < <(things)
}
told() { echo "theirs, as it was before: and yet systemctl $1 failed"; }
systemctl_for() { # a unit may have a long time to end; one that does not start keeps no other one
  if [ "$1" = stop ]; then systemctl stop "$2"; else timeout 100 systemctl "$1" "$2"; fi
}
each_unit() { # VERB
  local name names code=0
  names=$(theirs "$1") || exit 3
  for name in $names; do
    systemctl_for "$1" "$name" || { told "$1 $name"; code=1; }
  done
  return $code
}
# While their files and folders come back.
pause() { each_unit stop || { each_unit start || true; exit 1; }; }
# Where remove cannot go on: they run again once all of theirs is back, and stay stopped otherwise.
resume() {
  local kind name was
  [ -e "$note" ] || return 0
  while IFS=$'\t' read -r kind name was; do
    case $kind.$was in file.there | folder.there) restored "$kind" "$name" || return 0 ;; esac
  done < <(things)
  systemctl daemon-reload
  each_unit start
}

# What was there before is as it was, also what remove had no step for; nothing that we made is left; then the note goes.
# A unit of theirs that does not start is told, and keeps nothing.
finish() {
  local was kind name to left=
  [ -e "$note" ] || return 0
  while IFS=$'\t' read -r kind name was; do
    case $kind.$was in
      file.there | folder.there | role.there)
        restore "$kind" "$name"
        restored "$kind" "$name" || left+=" $kind $name," ;;
      file.away) # of other parameters, or of a server's other version
        if head -n 1 "$name" 2>/dev/null | grep -q '^# Written by the runbook'; then rm -f "$name"; fi ;;
    esac
  done < <(things)
  [ -z "$left" ] || no "not as it was before:${left%,}"
  while IFS=$'\t' read -r kind name was; do
    case $kind.$was in
      unit.there | boot.there) unit_as_it_was "$kind" "$name" ;;
      context.*)
        was=$(entry context "$name" | field access)
        to=$(kubeconfig_of "${name%%/*}") || exit 3
        [ -z "$was" ] || [ ! -e "$to" ] || chmod "$was" "$to" ;;
      file.away | folder.away | place.away | user.away | snap.away | namespace.away | bucket.away | miniouser.away | \
        database.away | role.away) gone "$kind" "$name" || left+=" $kind $name," ;;
    esac
  done < <(things)
  [ -z "$left" ] || no "made by this chapter, and still here:${left%,}"
  rm -f "$note" "$note".part.*
  rm -rf --one-file-system "$copies"
  rmdir "$base/copies" "$base" 2>/dev/null || true
}

unit_as_it_was() {
  local was verb=stop
  was=$(state "$1" "$2")
  [ "$was" = there ] || return 0
  was=$(entry "$1" "$2")
  systemctl daemon-reload
  case $(field enabled <<< "$was") in
    enabled) systemctl enable -q "$2" || told "enable $2" ;;
    disabled) systemctl disable -q "$2" || told "disable $2" ;;
  esac
  was=$(field active <<< "$was")
  [ -n "$was" ] || return 0 # whether it starts with the host is all that is known
  rested "$was" || verb=restart
  systemctl_for $verb "$2" || told "$verb $2"
}

tell() { things | sed 's/^\(.*\)\t\(.*\)\t\(.*\)$/note \3 \1 \2/'; }

case $verb in
  look)
    mark=$1 noted=
    shift
    if [ -e "$note" ]; then
      [ "$(tail -n 1 "$note")" = "]}" ] || cannot "what is ours: $note is not whole"
      noted=yes
      echo noted
      [ ! -e "$removing" ] || echo removing
      while IFS=$'\t' read -r kind name was; do
        if [ -e "$(back "$kind" "$name")" ] || entry "$kind" "$name" | grep -q '"copy": "none"'; then
          echo "back $kind $name"
          # An empty folder that came back may be installed into, while it is empty.
          case $kind.$was.$(state "$kind" "$name") in *.there.* | folder.empty.there) echo removing ;; esac
        fi
      done < <(things)
      tell
    fi
    export -f brought_by_us
    while [ $# -gt 0 ]; do
      if [ -n "$(entry "$1" "$2")" ]; then shift 2; continue; fi
      said=$(state "$1" "$2" 2>&1) || said="unsure ${said##*$'\n'}:"
      case $said in
        away | empty) ;;
        *) if KIND=$1 NAME=$2 NOTED=$noted bash -euo pipefail -c "$mark" >/dev/null 2>&1; then said=ours; fi ;;
      esac
      echo "$said $1 $2"
      shift 2
    done ;;
  note)
    mode=$1 added=
    shift
    all=("$@")
    [ -e "$note" ] || rm -rf --one-file-system "$copies" # of one that was cut off
    while [ $# -gt 0 ]; do can_keep "$1" "$2" "$3"; shift 3; done
    set -- "${all[@]}"
    while [ $# -gt 0 ]; do
      more=$(lines_of "$1" "$2" "$3")
      added+=$more$'\n'
      shift 3
    done
    trap as_it_was EXIT
    set_aside "$added"
    write <<< "$added"
    [ "$mode" = remove ] || rm -f "$copies"/back-*
    tell ;;
  brought)
    [ -e "$note" ] || exit 0
    added=
    for name in "$@"; do
      [ -n "$(entry package "$name")" ] || added+=$(line package "$name" "$(package_was "$name")")$'\n'
    done
    write <<< "$added" ;;
  pause | resume) "$verb" ;;
  restore) while [ $# -gt 0 ]; do restore "$1" "$2"; shift 2; done ;;
  restored) while [ $# -gt 0 ]; do restored "$1" "$2" || { echo "$1 $2 is not as it was"; exit 1; }; shift 2; done ;;
  gone) while [ $# -gt 0 ]; do gone "$1" "$2" || { echo "$1 $2 is there"; exit 1; }; shift 2; done ;;
  finish) finish ;;
esac
