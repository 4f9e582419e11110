openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/O=Company/CN=Company CA" \
  -addext basicConstraints=critical,CA:TRUE -keyout /dev/null -out /usr/local/share/ca-certificates/company.crt 2>/dev/null
update-ca-certificates >/dev/null
