{{/* Refuses values that do not go together. */}}
{{- define "modelplane.check" -}}
{{- $secrets := .Values.secrets -}}
{{- if $secrets.existing -}}
{{- if or $secrets.databaseUrl $secrets.adminToken $secrets.masterKey -}}
{{- fail "secrets.existing names a secret: its values are not given besides" -}}
{{- end -}}
{{- else if not (and $secrets.databaseUrl $secrets.adminToken (or $secrets.masterKey (not .Values.controlPlane.masterKeyFromSecret))) -}}
{{- fail "name a secret with database-url, admin-token and master-key in secrets.existing, or give secrets.databaseUrl, secrets.adminToken and secrets.masterKey" -}}
{{- end -}}
{{- if not (or .Values.controlPlane.masterKeyFromSecret .Values.controlPlane.settings.MODELPLANE_MASTER_KEY_KMS) -}}
{{- fail "without controlPlane.masterKeyFromSecret, controlPlane.settings.MODELPLANE_MASTER_KEY_KMS names the key" -}}
{{- end -}}
{{- $existing := .Values.certificates.existing -}}
{{- if .Values.certificates.certManager.enabled -}}
{{- if or $existing.controlPlane $existing.worker $existing.envoy $existing.launcher $existing.keda -}}
{{- fail "certificates come from cert-manager or from certificates.existing, not from both" -}}
{{- end -}}
{{- else if and .Values.launcher.enabled (not $existing.launcher) -}}
{{- fail "without cert-manager, certificates.existing names a secret for launcher, too" -}}
{{- else if and .Values.launcher.enabled (eq .Values.launcher.scaling "keda") (not $existing.keda) -}}
{{- fail "without cert-manager, certificates.existing names a secret for keda, where it scales" -}}
{{- else if not (and $existing.controlPlane $existing.worker (or $existing.envoy (eq .Values.layout "embedded"))) -}}
{{- fail "without cert-manager, certificates.existing names secrets for controlPlane, worker and, where the layout is separate, envoy" -}}
{{- end -}}
{{- if and (eq .Values.launcher.scaling "keda") (not .Values.launcher.enabled) -}}
{{- fail "launcher.scaling needs launcher.enabled" -}}
{{- end -}}
{{- with .Values.worker.autoscaling -}}
{{- if and .enabled (not (or .inFlight .cpu)) -}}
{{- fail "worker.autoscaling needs inFlight or cpu to go by" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.enabled needs ingress.host" -}}
{{- end -}}
{{- end -}}
