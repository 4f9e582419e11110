{{- define "full" -}}
{{- .Values.fullnameOverride | default (printf "%s-%s" .Release.Name (.Values.nameOverride | default .Chart.Name)) | trunc 63 | trimSuffix "-" -}}
{{- end }}
{{- define "labels" -}}
app: {{ include "full" . }}
chart: {{ .Chart.Name }}-{{ .Chart.Version }}
release: {{ .Release.Name | quote }}
heritage: {{ .Release.Service | quote }}
{{- end }}
{{- define "secret" }}{{ .Values.runners.secret | default (include "full" .) | quote }}{{ end }}
{{- define "space" }}{{ .Values.runners.namespace | default .Release.Namespace | quote }}{{ end }}
{{- define "account" -}}
{{ if .Values.rbac.create }}{{ include "full" . }}{{ else }}{{ .Values.rbac.serviceAccountName | default "" | quote }}{{ end }}
{{- end }}
{{- define "unregisters" -}}
{{ if or (and (hasKey .Values "unregisterRunners") .Values.unregisterRunners) (and (not (hasKey .Values "unregisterRunners")) .Values.runnerRegistrationToken) }}yes{{ end }}
{{- end }}
{{- /* What a group of containers may use: cpuLimit and so on. */}}
{{- define "group" -}}
{{- $prefix := index . 0 }}{{ $of := index . 1 | default dict }}
- {name: KUBERNETES_{{ $prefix }}CPU_LIMIT, value: {{ $of.cpuLimit | default "" | quote }}}
- {name: KUBERNETES_{{ $prefix }}MEMORY_LIMIT, value: {{ $of.memoryLimit | default "" | quote }}}
- {name: KUBERNETES_{{ $prefix }}CPU_REQUEST, value: {{ $of.cpuRequests | default "" | quote }}}
- {name: KUBERNETES_{{ $prefix }}MEMORY_REQUEST, value: {{ $of.memoryRequests | default "" | quote }}}
{{- end }}
{{- define "environment" -}}
{{- $r := .Values.runners -}}
- {name: CI_SERVER_URL, value: {{ .Values.gitlabUrl | default "" | quote }}}
- {name: CLONE_URL, value: {{ $r.cloneUrl | default "" | quote }}}
- {name: RUNNER_REQUEST_CONCURRENCY, value: {{ $r.requestConcurrency | default 1 | quote }}}
- {name: RUNNER_EXECUTOR, value: {{ $r.executor | default "kubernetes" | quote }}}
- {name: REGISTER_LOCKED, value: {{ if and (hasKey $r "locked") (not $r.locked) }}"false"{{ else }}"true"{{ end }}}
- {name: RUNNER_TAG_LIST, value: {{ $r.tags | default "" | quote }}}
{{- with $r.outputLimit }}
- {name: RUNNER_OUTPUT_LIMIT, value: {{ . | quote }}}
{{- end }}
{{- with $r.image }}
- {name: KUBERNETES_IMAGE, value: {{ . | quote }}}
{{- end }}
{{- if $r.privileged }}
- {name: KUBERNETES_PRIVILEGED, value: "true"}
{{- end }}
- {name: KUBERNETES_NAMESPACE, value: {{ include "space" . }}}
{{- with $r.pollTimeout }}
- {name: KUBERNETES_POLL_TIMEOUT, value: {{ . | quote }}}
{{- end }}
{{- include "group" (list "" $r.builds) }}
{{- include "group" (list "SERVICE_" $r.services) }}
{{- include "group" (list "HELPER_" $r.helpers) }}
- {name: KUBERNETES_HELPER_IMAGE, value: {{ ($r.helpers | default dict).image | default "" | quote }}}
- {name: KUBERNETES_SERVICE_ACCOUNT, value: {{ $r.serviceAccountName | default "" | quote }}}
- {name: KUBERNETES_PULL_POLICY, value: {{ $r.imagePullPolicy | default "" | quote }}}
{{- range $name, $value := .Values.envVars }}
- {name: {{ $value.name | quote }}, value: {{ $value.value | quote }}}
{{- end }}
{{- end }}
