# A host that holds work: a MinIO by its own packaging's names, PostgreSQL with two clusters, Label Studio's and GitLab's folders.
useradd --system --home-dir /home/minio-user minio-user
install -d -o minio-user -m 0711 /srv/minio /srv/minio/photos
echo precious > /srv/minio/photos/1.jpg
printf 'MINIO_VOLUMES=/srv/minio\nMINIO_ROOT_PASSWORD=the-only-copy\n' > /etc/default/minio
chmod 0604 /etc/default/minio
cp /bin/sleep /usr/local/bin/minio
cat > /etc/systemd/system/minio.service <<'END'
[Service]
User=minio-user
EnvironmentFile=/etc/default/minio
ExecStart=/usr/local/bin/minio infinity
[Install]
WantedBy=multi-user.target
END
systemctl enable -q --now minio

apt-get -qy update
apt-get -qy install --no-install-recommends postgresql
pg_createcluster 15 shop --start
for port in 5432 5433; do
  runuser -u postgres -- psql -p $port -c "create role runbook login password 'theirs'" -c 'create database runbook owner runbook'
  runuser -u postgres -- psql -p $port -d runbook -c 'create table orders as select 1 as id'
done
echo '# a rule of theirs' >> /etc/postgresql/15/main/pg_hba.conf

useradd --system label-studio
mkdir -p /opt/label-studio/mydata /var/lib/label-studio
echo annotations > /opt/label-studio/mydata/label_studio.sqlite3
echo more > /var/lib/label-studio/db

useradd --system git
mkdir -p /etc/gitlab /var/opt/gitlab/git-data
echo "external_url 'https://git.company.invalid'" > /etc/gitlab/gitlab.rb
echo repositories > /var/opt/gitlab/git-data/one
