# As snapd does: its commands on the PATH of a login.
case ":$PATH:" in *:/snap/bin:*) ;; *) PATH=$PATH:/snap/bin ;; esac
