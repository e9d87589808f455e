{{/* Names and labels. */}}

{{/*
A name for one part of a release: (dict "context" . "suffix" "spark-connect"). At most 50 characters,
so that the names of pods, their "controller-revision-hash" and what Kubernetes adds still fit 63; a
long release is cut and ends in its hash, so two of them stay apart.
*/}}
{{- define "spark-connect-library.componentName" -}}
{{- $release := .context.Release.Name | lower | replace "." "-" -}}
{{- $suffix := .suffix -}}
{{- if hasSuffix $suffix $release -}}{{- $release = trimSuffix $suffix $release | trimSuffix "-" -}}{{- end -}}
{{- $room := sub 49 (len $suffix) | int -}}
{{- if gt (len $release) $room -}}
{{- $release = printf "%s-%s" ($release | trunc (sub $room 9 | int) | trimSuffix "-") ($release | sha256sum | trunc 8) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]" (default "s" $release)) -}}{{- $release = printf "s%s" $release -}}{{- end -}}
{{- printf "%s-%s" $release $suffix | trimPrefix "-" -}}
{{- end -}}

{{- define "spark-connect-library.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- include "spark-connect-library.componentName" (dict "context" . "suffix" "spark-connect") -}}
{{- end -}}
{{- end -}}

{{- define "spark-connect-library.headlessName" -}}
{{ include "spark-connect-library.fullname" . }}-headless
{{- end -}}

{{- define "spark-connect-library.templatesName" -}}
{{ include "spark-connect-library.fullname" . }}-conf
{{- end -}}

{{- define "spark-connect-library.executorTemplateName" -}}
{{ include "spark-connect-library.fullname" . }}-executor
{{- end -}}

{{/* Service of the master of the release's own standalone cluster. */}}
{{- define "spark-connect-library.masterName" -}}
{{- include "spark-connect-library.componentName" (dict "context" . "suffix" "spark-master") -}}
{{- end -}}

{{- define "spark-connect-library.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "spark-connect-library.fullname" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* Any text as the value of a label: at most 63 of the characters that are allowed. */}}
{{- define "spark-connect-library.labelValue" -}}
{{- regexReplaceAll "[^A-Za-z0-9]+$" (regexReplaceAll "^[^A-Za-z0-9]+" (regexReplaceAll "[^A-Za-z0-9._-]" (toString .) "_" | trunc 63) "") "" -}}
{{- end -}}

{{/* What selectors use; never changed afterwards: (dict "context" . "component" "spark-connect"). */}}
{{- define "spark-connect-library.selectorLabels" -}}
app.kubernetes.io/name: {{ include "spark-connect-library.labelValue" .context.Chart.Name | quote }}
app.kubernetes.io/instance: {{ include "spark-connect-library.labelValue" .context.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "spark-connect-library.labels" -}}
{{ include "spark-connect-library.selectorLabels" . }}
{{- with include "spark-connect-library.labelValue" (default "" .context.Chart.AppVersion) }}
app.kubernetes.io/version: {{ . | quote }}
{{- end }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
app.kubernetes.io/part-of: spark
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version | include "spark-connect-library.labelValue" | quote }}
{{- end -}}

{{/* A digest wins over a tag. */}}
{{- define "spark-connect-library.image" -}}
{{- $name := .repository -}}
{{- if .registry -}}{{- $name = printf "%s/%s" .registry $name -}}{{- end -}}
{{- if .digest -}}{{- printf "%s@%s" $name .digest -}}{{- else -}}{{- printf "%s:%s" $name (toString .tag) -}}{{- end -}}
{{- end -}}
