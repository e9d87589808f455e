{{/* Who reaches the server: the gateway its clients' port, its executors the driver's, Prometheus the metrics. */}}
{{- define "spark-connect-library.networkPolicy" -}}
{{- $policy := .Values.networkPolicy -}}
{{- if $policy.enabled -}}
{{- $server := dict "context" . "component" "spark-connect" -}}
{{- $mode := include "spark-connect-library.mode" . -}}
{{- $ports := dict -}}
{{- range include "spark-connect-library.ports" . | fromYamlArray -}}
{{- $_ := set $ports .from (append (get $ports .from | default list) (dict "port" (int .port) "protocol" "TCP")) -}}
{{- end -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "spark-connect-library.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "spark-connect-library.labels" $server | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "spark-connect-library.selectorLabels" $server | nindent 6 }}
  policyTypes:
    - Ingress
  ingress:
    - from:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ $policy.gateway.namespace }}
          podSelector:
            {{- toYaml (dict "matchLabels" $policy.gateway.podLabels) | nindent 12 }}
        {{- with $policy.clients }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        # `helm test`.
        - podSelector:
            matchLabels:
              {{- include "spark-connect-library.selectorLabels" (dict "context" . "component" "test") | nindent 14 }}
      ports:
        {{- toYaml $ports.gateway | nindent 8 }}
    {{- if $ports.executors }}
    - from:
        {{- if eq $mode "k8s" }}
        - podSelector:
            matchLabels:
              {{- include "spark-connect-library.selectorLabels" (dict "context" . "component" "executor") | nindent 14 }}
        {{- else if .Values.sparkConnect.standaloneCluster }}
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: spark-standalone
              app.kubernetes.io/instance: {{ include "spark-connect-library.labelValue" .Release.Name | quote }}
        {{- else }}
        {{- if not $policy.workers }}
        {{- fail "networkPolicy.workers must say where the workers of the standalone cluster are, or networkPolicy.enabled be false: executors dial the driver." }}
        {{- end }}
        {{- toYaml $policy.workers | nindent 8 }}
        {{- end }}
      ports:
        {{- toYaml $ports.executors | nindent 8 }}
    {{- end }}
    {{- if $ports.metrics }}
    - from:
        - namespaceSelector:
            matchLabels:
              {{- toYaml $policy.metrics.namespaceLabels | nindent 14 }}
      ports:
        {{- toYaml $ports.metrics | nindent 8 }}
    {{- end }}
{{- if eq $mode "k8s" }}
---
# Executors are reached by their driver and by each other.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "spark-connect-library.executorTemplateName" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "spark-connect-library.labels" $server | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "spark-connect-library.selectorLabels" (dict "context" . "component" "executor") | nindent 6 }}
  policyTypes:
    - Ingress
  ingress:
    - from:
        - podSelector:
            matchLabels:
              {{- include "spark-connect-library.selectorLabels" (dict "context" . "component" "executor") | nindent 14 }}
        - podSelector:
            matchLabels:
              {{- include "spark-connect-library.selectorLabels" $server | nindent 14 }}
{{- end }}
{{- end -}}
{{- end -}}
