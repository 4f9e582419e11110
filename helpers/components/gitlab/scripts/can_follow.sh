# A GitLab that is here can become version $2 of the package $1: it is older, and of 13.0 or later.
said=$(dpkg-query -W -f '${db:Status-Abbrev} ${Version}' "$1" 2>/dev/null || true)
case $said in ii*) found=${said##* } ;; *) exit 0 ;; esac
if dpkg --compare-versions "$found" gt "$2"; then echo "version $found is here, which is newer"; exit 1; fi
if dpkg --compare-versions "$found" lt 13.0; then echo "version $found is here: before 13.12 comes 13.0"; exit 1; fi
