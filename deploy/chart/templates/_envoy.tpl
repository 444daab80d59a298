{{/* Writes what Envoy starts with. */}}
{{- define "modelplane.envoyConfig" -}}
{{- $embedded := eq .Values.layout "embedded" -}}
name: envoy-config
{{ include "modelplane.own" . }}
command: [sh, -c, 'exec modelplane envoy-config "$@" > /etc/envoy/envoy.json', envoy-config]
args:
  - --listen=0.0.0.0:8080
  - --control-plane={{ include "modelplane.controlPlane" . }}:9090
  - --admin=127.0.0.1:9901
  {{- if $embedded }}
  - --workers=unix:/run/modelplane/worker.sock
  {{- else }}
  - --workers={{ include "modelplane.workers" . }}:9100
  - --worker-tls-ca=/etc/modelplane/tls/ca.crt
  - --worker-tls-cert=/etc/modelplane/tls/tls.crt
  - --worker-tls-key=/etc/modelplane/tls/tls.key
  {{- end }}
  - --queries={{ .Values.envoy.queries }}
  - --max-connections={{ int .Values.envoy.maxConnections }}
  - --max-heap-mib={{ int .Values.envoy.maxHeapMiB }}
  {{- with .Values.envoy.publicUrl }}
  - --public-url={{ . }}
  {{- end }}
  {{- with .Values.envoy.corsOrigins }}
  - --cors-origins={{ join "," . }}
  {{- end }}
  {{- if not .Values.envoy.userInterface }}
  - --no-ui
  {{- end }}
  {{- if .Values.envoy.tlsSecret }}
  - --public-tls-cert=/etc/modelplane/public/tls.crt
  - --public-tls-key=/etc/modelplane/public/tls.key
  {{- end }}
resources:
  requests: {cpu: 50m, memory: 128Mi}
  limits: {memory: 256Mi}
volumeMounts:
  - {name: envoy-config, mountPath: /etc/envoy}
{{- end -}}

{{- define "modelplane.envoy" -}}
name: envoy
image: {{ include "modelplane.image" (dict "root" . "image" .Values.envoy.image) }}
imagePullPolicy: {{ .Values.envoy.image.pullPolicy }}
securityContext:
  {{- include "modelplane.locked" . | nindent 2 }}
command: [envoy]
args:
  - --config-path
  - /etc/envoy/envoy.json
  - --log-level
  - warning
  - --concurrency
  - {{ .Values.envoy.concurrency | quote }}
  - --disable-hot-restart
ports:
  - {name: public, containerPort: 8080}
# Whether a worker is ready: queries go on while no control plane answers.
readinessProbe:
  httpGet: {path: /health, port: public{{ if .Values.envoy.tlsSecret }}, scheme: HTTPS{{ end }}}
  periodSeconds: 2
  timeoutSeconds: 2
livenessProbe:
  tcpSocket: {port: public}
  initialDelaySeconds: 20
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
lifecycle:
  # Envoy by itself ends at once. Told that it is not healthy, it closes each connection after the next
  # answer, so that clients go elsewhere and what is here can end.
  preStop:
    exec:
      command:
        - bash
        - -c
        - >-
          exec 3<>/dev/tcp/127.0.0.1/9901 &&
          printf 'POST /healthcheck/fail HTTP/1.1\r\nhost: envoy\r\ncontent-length: 0\r\n\r\n' >&3 ;
          sleep {{ int .Values.drainSeconds }}
resources:
  {{- toYaml .Values.envoy.resources | nindent 2 }}
volumeMounts:
  - {name: envoy-config, mountPath: /etc/envoy, readOnly: true}
  {{- if eq .Values.layout "embedded" }}
  - {name: run, mountPath: /run/modelplane}
  {{- else }}
  - {name: envoy-tls, mountPath: /etc/modelplane/tls, readOnly: true}
  {{- end }}
  {{- if .Values.envoy.tlsSecret }}
  - {name: public-tls, mountPath: /etc/modelplane/public, readOnly: true}
  {{- end }}
{{- end -}}

{{- define "modelplane.envoyVolumes" -}}
- name: envoy-config
  emptyDir: {medium: Memory, sizeLimit: 8Mi}
{{- if eq .Values.layout "embedded" }}
- name: run
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- else }}
- name: envoy-tls
  secret: {secretName: {{ include "modelplane.certificate" (dict "root" . "component" "envoy" "existing" .Values.certificates.existing.envoy) }}}
{{- end }}
{{- with .Values.envoy.tlsSecret }}
- name: public-tls
  secret: {secretName: {{ . }}}
{{- end }}
{{- end -}}
