{{/* Labels of every object. The key "determined" is the master's own: it deletes pods and ConfigMaps that have it. */}}
{{- define "labels" -}}
release: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
