{{- define "modelplane.name" -}}
{{- $name := .Values.fullnameOverride | default (contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name)) -}}
{{- /* The longest suffix is "-control-plane-metrics"; a name of a service has 63 characters. */ -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Of a component: what never changes, by which its pods are found. */}}
{{- define "modelplane.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "modelplane.labels" -}}
{{ include "modelplane.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "modelplane.metadata" -}}
name: {{ include "modelplane.name" .root }}{{ with .suffix }}-{{ . }}{{ end }}
labels:
  {{- include "modelplane.labels" . | nindent 2 }}
{{- end -}}

{{- define "modelplane.image" -}}
{{- $tag := .image.tag | default .root.Chart.AppVersion -}}
{{ .image.repository }}{{ if .image.digest }}@{{ .image.digest }}{{ else }}:{{ $tag }}{{ end }}
{{- end -}}

{{/* A container of the own image, up to its arguments. */}}
{{- define "modelplane.own" -}}
image: {{ include "modelplane.image" (dict "root" . "image" .Values.image) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- include "modelplane.locked" . | nindent 2 }}
{{- end -}}

{{- define "modelplane.locked" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What each pod has: who it runs as, and where. Takes root, of (its values) and component. */}}
{{- define "modelplane.pod" -}}
automountServiceAccountToken: false
# Variables of services would look like settings.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with ne .component "migration" | ternary .root.Values.topologySpread nil }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "modelplane.selector" $ | nindent 8 }}
    # Of the pods of one version: those that are being replaced do not count.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end -}}

{{/* Metadata of a pod. Takes root, of and component. */}}
{{- define "modelplane.podMetadata" -}}
labels:
  {{- include "modelplane.selector" . | nindent 2 }}
  {{- with .of.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  # New secrets are new pods.
  modelplane/secrets: {{ include "modelplane.secretDigest" .root | quote }}
  {{- with .of.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "modelplane.secretDigest" -}}
{{- printf "%s %s" .Values.secrets.existing (toJson .Values.secrets) | sha256sum | trunc 16 -}}
{{- end -}}

{{- define "modelplane.secret" -}}
{{- .Values.secrets.existing | default (include "modelplane.name" .) -}}
{{- end -}}

{{- define "modelplane.fromSecret" -}}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ include "modelplane.secret" .root }}, key: {{ .key }}}}
{{- end -}}

{{/* Where control planes are found: every one of them, as the service has no address of its own. */}}
{{- define "modelplane.controlPlane" -}}
{{ include "modelplane.name" . }}-control-plane.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end -}}
{{- define "modelplane.workers" -}}
{{ include "modelplane.name" . }}-worker.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end -}}

{{/* What both planes are told. Takes root and of. */}}
{{- define "modelplane.environment" -}}
- {name: MODELPLANE_TLS_CA, value: /etc/modelplane/tls/ca.crt}
- {name: MODELPLANE_TLS_CERT, value: /etc/modelplane/tls/tls.crt}
- {name: MODELPLANE_TLS_KEY, value: /etc/modelplane/tls/tls.key}
{{- with .root.Values.allowedUpstreams }}
- {name: MODELPLANE_ALLOWED_UPSTREAMS, value: {{ join "," . | quote }}}
{{- end }}
# Never upstreams, whatever is allowed.
{{- $here := include "modelplane.controlPlane" .root }}
{{- $own := list (printf "%s:9090" $here) (printf "%s:9091" $here) (printf "%s:9092" $here) }}
{{- if eq .root.Values.layout "separate" }}
{{- $own = append $own (printf "%s:9100" (include "modelplane.workers" .root)) }}
{{- end }}
{{- if .root.Values.launcher.enabled }}
{{- $own = append $own (printf "%s-launcher.%s.svc.%s:9093" (include "modelplane.name" .root) .root.Release.Namespace .root.Values.clusterDomain) }}
{{- end }}
{{- $own = append $own (printf "%s.%s.svc.%s:%v" (include "modelplane.name" .root) .root.Release.Namespace .root.Values.clusterDomain .root.Values.service.port) }}
{{- with .root.Values.envoy.publicUrl }}
{{- $url := urlParse . }}
{{- $own = append $own (contains ":" $url.host | ternary $url.host (printf "%s:%s" $url.host (eq $url.scheme "http" | ternary "80" "443"))) }}
{{- end }}
{{- $own = concat $own .root.Values.ownAddresses }}
- {name: MODELPLANE_OWN_ADDRESSES, value: {{ join "," $own | quote }}}
{{- range $name, $value := .of.settings }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- with .of.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "modelplane.certificate" -}}
{{- if .root.Values.certificates.certManager.enabled -}}
{{ include "modelplane.name" .root }}-{{ .component }}-tls
{{- else -}}
{{ .existing }}
{{- end -}}
{{- end -}}

{{/* A change of pods without a failed request: a new one serves before an old one ends. */}}
{{- define "modelplane.strategy" -}}
strategy:
  type: RollingUpdate
  rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
{{- end -}}
