{{/* The container of a worker, up to its name. Takes root. */}}
{{- define "modelplane.worker" -}}
{{- $embedded := eq .Values.layout "embedded" -}}
{{ include "modelplane.own" . }}
args: [worker]
env:
  - {name: MODELPLANE_CONTROL_PLANE, value: {{ include "modelplane.controlPlane" . }}:9091}
  {{- if $embedded }}
  - {name: MODELPLANE_WORKER_LISTEN, value: "unix:/run/modelplane/worker.sock"}
  # It ends after Envoy: no call is in flight then.
  - {name: MODELPLANE_DRAIN_SECONDS, value: "5"}
  {{- else }}
  - {name: MODELPLANE_WORKER_LISTEN, value: "0.0.0.0:9100"}
  - {name: MODELPLANE_DRAIN_SECONDS, value: {{ .Values.drainSeconds | quote }}}
  {{- end }}
  - {name: MODELPLANE_WORKER_METRICS_LISTEN, value: "0.0.0.0:9101"}
  - {name: MODELPLANE_JOURNAL_DIR, value: /var/lib/modelplane/journal}
  {{- include "modelplane.environment" (dict "root" . "of" .Values.worker) | nindent 2 }}
ports:
  {{- if not $embedded }}
  - {name: worker, containerPort: 9100}
  {{- end }}
  - {name: metrics, containerPort: 9101}
livenessProbe:
  httpGet: {path: /live, port: metrics}
  initialDelaySeconds: 20
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /ready, port: metrics}
  periodSeconds: 2
  timeoutSeconds: 2
resources:
  {{- toYaml .Values.worker.resources | nindent 2 }}
volumeMounts:
  {{- if $embedded }}
  - {name: run, mountPath: /run/modelplane}
  {{- end }}
  - {name: worker-tls, mountPath: /etc/modelplane/tls, readOnly: true}
  - {name: journal, mountPath: /var/lib/modelplane}
  - {name: tmp, mountPath: /tmp}
{{- end -}}

{{- define "modelplane.workerVolumes" -}}
- name: worker-tls
  secret: {secretName: {{ include "modelplane.certificate" (dict "root" . "component" "worker" "existing" .Values.certificates.existing.worker) }}}
- name: journal
  emptyDir: {sizeLimit: {{ .Values.worker.journalSize }}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- end -}}
