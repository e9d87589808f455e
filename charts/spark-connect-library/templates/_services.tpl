{{/* Two Services: one that clients dial, and one by which executors find each driver under its own name. */}}
{{- define "spark-connect-library.services" -}}
{{- $component := dict "context" . "component" "spark-connect" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "spark-connect-library.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "spark-connect-library.labels" $component | nindent 4 }}
  {{- with .Values.service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .Values.service.type }}
  # A session lives in the memory of one server.
  sessionAffinity: ClientIP
  selector:
    {{- include "spark-connect-library.selectorLabels" $component | nindent 4 }}
  ports:
    - name: spark-connect
      port: 15002
      targetPort: spark-connect
      protocol: TCP
      appProtocol: kubernetes.io/h2c
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "spark-connect-library.headlessName" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "spark-connect-library.labels" $component | nindent 4 }}
    spark-connect-library/headless: "true"
spec:
  clusterIP: None
  # Executors are made before the driver is ready, and must find it.
  publishNotReadyAddresses: true
  selector:
    {{- include "spark-connect-library.selectorLabels" $component | nindent 4 }}
  ports:
    {{- range include "spark-connect-library.ports" . | fromYamlArray }}
    - name: {{ .name }}
      port: {{ .port }}
      targetPort: {{ .name }}
      protocol: TCP
    {{- end }}
{{- end -}}

{{- define "spark-connect-library.serviceMonitor" -}}
{{- with .Values.metrics.serviceMonitor -}}
{{- if .enabled -}}
{{- if not $.Values.metrics.enabled -}}{{- fail "metrics.serviceMonitor.enabled needs metrics.enabled." -}}{{- end -}}
{{- $component := dict "context" $ "component" "spark-connect" -}}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ include "spark-connect-library.fullname" $ }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- toYaml (mergeOverwrite (deepCopy .labels) (include "spark-connect-library.labels" $component | fromYaml)) | nindent 4 }}
spec:
  selector:
    matchLabels:
      {{- include "spark-connect-library.selectorLabels" $component | nindent 6 }}
      spark-connect-library/headless: "true"
  endpoints:
    - port: ui
      path: /metrics/prometheus
      interval: {{ .interval }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "spark-connect-library.podDisruptionBudget" -}}
{{- with .Values.podDisruptionBudget -}}
{{- if .enabled -}}
{{- $component := dict "context" $ "component" "spark-connect" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "spark-connect-library.fullname" $ }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "spark-connect-library.labels" $component | nindent 4 }}
spec:
  maxUnavailable: {{ .maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "spark-connect-library.selectorLabels" $component | nindent 6 }}
{{- end -}}
{{- end -}}
{{- end -}}
