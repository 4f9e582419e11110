# It notes when its user was last there.
leaves_out /var/lib/label-studio/label_studio.sqlite3
