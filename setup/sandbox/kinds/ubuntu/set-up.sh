usermod --shell /usr/bin/fish ubuntu
systemctl --quiet enable systemd-resolved.service apt-daily-held.service snapd-seeding.service
