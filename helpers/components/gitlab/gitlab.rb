# Written by the runbook, chapter 11. Changes made here are undone by the next install.
external_url '$URL'
letsencrypt['enable'] = false
nginx['status'] = { "listen_addresses" => ["127.0.0.1"] }
alertmanager['flags'] = { "cluster.listen-address" => "127.0.0.1:9094" }
puma['port'] = $PUMA_PORT
puma['worker_processes'] = $PUMA_WORKERS
sidekiq['max_concurrency'] = $SIDEKIQ_JOBS
prometheus_monitoring['enable'] = $MONITORING
grafana['enable'] = $MONITORING
