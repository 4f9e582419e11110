{{- /* What a SeldonDeployment may hold: names and kinds as in the real CRD, down to its containers; inside of those nothing is looked at. */}}
{{- define "schema" -}}
type: object
properties:
  apiVersion: {type: string}
  kind: {type: string}
  metadata: {type: object}
  spec:
    type: object
    required: [predictors]
    properties:
      annotations: {{ template "texts" }}
      name: {type: string}
      oauth_key: {type: string}
      oauth_secret: {type: string}
      protocol: {type: string}
      replicas: {type: integer, format: int32}
      serverType: {type: string}
      transport: {type: string}
      predictors:
        type: array
        items:
          {{- include "predictor" . | nindent 10 }}
  status:
    type: object
    properties:
      address: {type: object, properties: {url: {type: string}}}
      deploymentStatus:
        type: object
        additionalProperties:
          type: object
          properties:
            availableReplicas: {type: integer, format: int32}
            description: {type: string}
            explainerFor: {type: string}
            name: {type: string}
            replicas: {type: integer, format: int32}
            status: {type: string}
      description: {type: string}
      replicas: {type: integer, format: int32}
      serviceStatus:
        type: object
        additionalProperties:
          type: object
          properties: {explainerFor: {type: string}, grpcEndpoint: {type: string}, httpEndpoint: {type: string}, svcName: {type: string}}
      state: {type: string}
{{- end }}

{{- define "texts" }}{type: object, additionalProperties: {type: string}}{{ end }}

{{- define "anything" }}{x-kubernetes-preserve-unknown-fields: true}{{ end }}

{{- define "amounts" -}}
{type: object, additionalProperties: {x-kubernetes-int-or-string: true}}
{{- end }}

{{- define "endpoint" -}}
type: object
properties:
  grpcPort: {type: integer, format: int32}
  httpPort: {type: integer, format: int32}
  service_host: {type: string}
  service_port: {type: integer, format: int32}
  type: {type: string}
{{- end }}

{{- define "predictor" -}}
type: object
required: [graph, name]
properties:
  annotations: {{ template "texts" }}
  componentSpecs:
    type: array
    items:
      type: object
      properties:
        hpaSpec: {type: object, required: [maxReplicas], x-kubernetes-preserve-unknown-fields: true}
        kedaSpec: {type: object, required: [triggers], x-kubernetes-preserve-unknown-fields: true}
        metadata: {type: object, x-kubernetes-preserve-unknown-fields: true}
        pdbSpec: {type: object, x-kubernetes-preserve-unknown-fields: true}
        replicas: {type: integer, format: int32}
        spec:
          {{- include "pod" . | nindent 10 }}
  engineResources: {type: object, properties: {limits: {{ template "amounts" }}, requests: {{ template "amounts" }}}}
  explainer: {type: object, x-kubernetes-preserve-unknown-fields: true}
  graph:
    {{- include "unit" 10 | nindent 4 }}
  labels: {{ template "texts" }}
  name: {type: string}
  replicas: {type: integer, format: int32}
  shadow: {type: boolean}
  ssl: {type: object, properties: {certSecretName: {type: string}}}
  svcOrchSpec:
    type: object
    properties:
      env: {type: array, items: {type: object, required: [name], properties: {name: {type: string}, value: {type: string}, valueFrom: {{ template "anything" }}}}}
      replicas: {type: integer, format: int32}
      resources: {type: object, properties: {limits: {{ template "amounts" }}, requests: {{ template "amounts" }}}}
  traffic: {type: integer, format: int32}
{{- end }}

{{- /* A unit of the graph, with units below it: so many levels of them. */}}
{{- define "unit" -}}
type: object
required: [name]
properties:
  {{- if gt (int .) 0 }}
  children:
    type: array
    items:
      {{- include "unit" (sub (int .) 1) | nindent 6 }}
  {{- end }}
  endpoint:
    {{- include "endpoint" . | nindent 4 }}
  envSecretRefName: {type: string}
  implementation: {type: string}
  logger: {type: object, properties: {mode: {type: string}, url: {type: string}}}
  methods: {type: array, items: {type: string}}
  modelUri: {type: string}
  name: {type: string}
  parameters:
    type: array
    items: {type: object, required: [name, type, value], properties: {name: {type: string}, type: {type: string}, value: {type: string}}}
  serviceAccountName: {type: string}
  type: {type: string}
{{- end }}

{{- define "pod" -}}
type: object
required: [containers]
properties:
  activeDeadlineSeconds: {type: integer, format: int64}
  containers:
    type: array
    items:
      {{- include "container" . | nindent 6 }}
  initContainers:
    type: array
    items:
      {{- include "container" . | nindent 6 }}
  {{- range list "automountServiceAccountToken" "enableServiceLinks" "hostIPC" "hostNetwork" "hostPID" "shareProcessNamespace" }}
  {{ . }}: {type: boolean}
  {{- end }}
  {{- range list "dnsPolicy" "hostname" "nodeName" "preemptionPolicy" "priorityClassName" "restartPolicy" "runtimeClassName" "schedulerName" "serviceAccount" "serviceAccountName" "subdomain" }}
  {{ . }}: {type: string}
  {{- end }}
  {{- range list "affinity" "dnsConfig" "nodeSelector" "overhead" "securityContext" }}
  {{ . }}: {type: object, x-kubernetes-preserve-unknown-fields: true}
  {{- end }}
  {{- range list "ephemeralContainers" "hostAliases" "imagePullSecrets" "readinessGates" "tolerations" "topologySpreadConstraints" "volumes" }}
  {{ . }}: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}
  {{- end }}
  priority: {type: integer, format: int32}
  terminationGracePeriodSeconds: {type: integer, format: int64}
{{- end }}

{{- define "container" -}}
type: object
required: [name]
properties:
  {{- range list "image" "imagePullPolicy" "name" "terminationMessagePath" "terminationMessagePolicy" "workingDir" }}
  {{ . }}: {type: string}
  {{- end }}
  {{- range list "args" "command" }}
  {{ . }}: {type: array, items: {type: string}}
  {{- end }}
  {{- range list "stdin" "stdinOnce" "tty" }}
  {{ . }}: {type: boolean}
  {{- end }}
  {{- range list "lifecycle" "livenessProbe" "readinessProbe" "resources" "securityContext" "startupProbe" }}
  {{ . }}: {type: object, x-kubernetes-preserve-unknown-fields: true}
  {{- end }}
  {{- range list "envFrom" "volumeDevices" }}
  {{ . }}: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}
  {{- end }}
  env: {type: array, items: {type: object, required: [name], properties: {name: {type: string}, value: {type: string}, valueFrom: {{ template "anything" }}}}}
  ports: {type: array, items: {type: object, required: [containerPort], x-kubernetes-preserve-unknown-fields: true}}
  volumeMounts: {type: array, items: {type: object, required: [mountPath, name], x-kubernetes-preserve-unknown-fields: true}}
{{- end }}
