# Prints the HTTP status of GET $1 at a cluster's API. On standard input: a token, and the certificate that vouches for it.
# Neither is an argument of a program. Ends with curl's exit code and words where there is no answer.
url=$1
read -r token
authority=$(cat)
curl -sS -m 15 --noproxy '*' --cacert <(printf '%s\n' "$authority") \
  -K <(printf 'header = "Authorization: Bearer %s"\n' "$token") -o /dev/null -w '%{http_code}\n' "$url" 2>&1
