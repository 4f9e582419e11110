{{- define "labels" -}}
app: seldon
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/version: {{ .Chart.Version | quote }}
{{- end }}
{{- /* What the manager's pods and the webhook's Service have: fixed, whatever the release is called. */}}
{{- define "selector" -}}
app: seldon
app.kubernetes.io/instance: seldon1
app.kubernetes.io/name: seldon
app.kubernetes.io/version: v0.5
control-plane: seldon-controller-manager
{{- end }}
{{- define "all" }}[create, delete, get, list, patch, update, watch]{{ end }}
