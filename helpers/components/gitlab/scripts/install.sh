# The package $2 in version $3, first start with the address $1; root's password is the line on standard input.
# Below this come apt's functions, which finish what was cut off: its scripts start GitLab, so the password goes first.
IFS= read -r GITLAB_ROOT_PASSWORD
export GITLAB_ROOT_PASSWORD EXTERNAL_URL=$1
