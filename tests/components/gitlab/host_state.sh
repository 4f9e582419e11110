# It notes when a token was last used.
leaves_out '/var/opt/gitlab/*'
