usermod --shell /usr/bin/zsh ubuntu
touch /home/ubuntu/.zshrc  # without it zsh asks a new user questions
chown ubuntu:ubuntu /home/ubuntu/.zshrc
version=$(ls /usr/lib/postgresql)
pg_lsclusters -h | grep -q "^$version *main " || pg_createcluster "$version" main >/dev/null
pg_createcluster "$version" shop >/dev/null
systemctl --quiet enable other-kubernetes@16443.service other-kubernetes@10250.service
