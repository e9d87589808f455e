{{/* Names, labels, images. */}}

{{/* At most 40 characters, which leaves room for "-control-plane-mtls" and for what Kubernetes adds to pods. */}}
{{- define "spark-gateway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $release := .Release.Name | lower | replace "." "-" -}}
{{- $name := ternary $release (printf "%s-spark-gateway" $release) (contains "spark-gateway" $release) -}}
{{- if gt (len $name) 40 -}}
{{- $name = printf "%s-%s" ($name | trunc 31 | trimSuffix "-") (.Release.Name | sha256sum | trunc 8) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]" $name) -}}{{- $name = printf "g%s" ($name | trunc 39) -}}{{- end -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{/* What lies outside of namespaces is named after its namespace, too. */}}
{{- define "spark-gateway.clusterName" -}}
{{- $name := include "spark-gateway.fullname" . -}}
{{- if eq $name .Release.Namespace -}}{{- $name -}}{{- else -}}{{- printf "%s-%s" .Release.Namespace $name -}}{{- end -}}
{{- end -}}

{{- define "spark-gateway.labelValue" -}}
{{- regexReplaceAll "[^A-Za-z0-9]+$" (regexReplaceAll "^[^A-Za-z0-9]+" (regexReplaceAll "[^A-Za-z0-9._-]" (toString .) "_" | trunc 63) "") "" -}}
{{- end -}}

{{/* (dict "context" . "component" "envoy"); never changed afterwards. */}}
{{- define "spark-gateway.selectorLabels" -}}
app.kubernetes.io/name: spark-gateway
app.kubernetes.io/instance: {{ include "spark-gateway.labelValue" .context.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "spark-gateway.labels" -}}
app.kubernetes.io/name: spark-gateway
app.kubernetes.io/instance: {{ include "spark-gateway.labelValue" .context.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/version: {{ include "spark-gateway.labelValue" .context.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version | include "spark-gateway.labelValue" | quote }}
{{- end -}}

{{- define "spark-gateway.image" -}}
{{- $name := .repository -}}
{{- if .registry -}}{{- $name = printf "%s/%s" .registry $name -}}{{- end -}}
{{- if .digest -}}{{- printf "%s@%s" $name .digest -}}{{- else -}}{{- printf "%s:%s" $name (toString .tag) -}}{{- end -}}
{{- end -}}

{{/* Secrets: made by cert-manager under these names, or there already. */}}
{{- define "spark-gateway.tlsSecret" -}}
{{- .Values.certificates.existingSecrets.clients | default (printf "%s-tls" (include "spark-gateway.fullname" .)) -}}
{{- end -}}
{{- define "spark-gateway.controlPlaneSecret" -}}
{{- .Values.certificates.existingSecrets.controlPlane | default (printf "%s-control-plane-mtls" (include "spark-gateway.fullname" .)) -}}
{{- end -}}
{{- define "spark-gateway.envoySecret" -}}
{{- .Values.certificates.existingSecrets.envoy | default (printf "%s-envoy-mtls" (include "spark-gateway.fullname" .)) -}}
{{- end -}}

{{/* Of Runner and Playground: (dict "context" . "part" "runner"). */}}
{{- define "spark-gateway.batchSecret" -}}
{{- get .context.Values.certificates.existingSecrets .part | default (printf "%s-%s-mtls" (include "spark-gateway.fullname" .context) .part) -}}
{{- end -}}

{{/* Where pods go: (dict "context" . "component" "envoy" "values" .Values.envoy). */}}
{{- define "spark-gateway.placement" -}}
{{- $labels := include "spark-gateway.selectorLabels" . | fromYaml -}}
{{- $placement := dict -}}
{{- range list "nodeSelector" "tolerations" "affinity" "priorityClassName" -}}
{{- $value := get $.values . -}}
{{- if $value -}}{{- $_ := set $placement . $value -}}{{- end -}}
{{- end -}}
{{- with .context.Values.imagePullSecrets -}}{{- $_ := set $placement "imagePullSecrets" . -}}{{- end -}}
{{- if .values.spread -}}
{{- $spread := list -}}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" -}}
{{- $spread = append $spread (dict "maxSkew" 1 "topologyKey" . "whenUnsatisfiable" "ScheduleAnyway" "labelSelector" (dict "matchLabels" $labels)) -}}
{{- end -}}
{{- $_ := set $placement "topologySpreadConstraints" $spread -}}
{{- end -}}
{{- if $placement -}}{{- toYaml $placement -}}{{- end -}}
{{- end -}}

{{/* Each name once: the API server's merge refuses a second one. (dict "own" LIST "extra" LIST) */}}
{{- define "spark-gateway.env" -}}
{{- $names := dict -}}
{{- range concat .own .extra -}}
{{- if hasKey $names .name -}}{{- fail (printf "extraEnv sets %s, which is set already." .name) -}}{{- end -}}
{{- $_ := set $names .name true -}}
{{- end -}}
{{- toYaml (concat .own .extra) -}}
{{- end -}}

{{- define "spark-gateway.podName" -}}
{{- toYaml (list (dict "name" "POD_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name")))) -}}
{{- end -}}

{{/* A quantity of Kubernetes or a size of the settings, in MiB; units of other kinds are refused by the schema. */}}
{{- define "spark-gateway.mebibytes" -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9]+" $text | int64 -}}
{{- $unit := regexReplaceAll "^[0-9]+" $text "" -}}
{{- if has $unit (list "Gi" "GiB") -}}{{- mul $number 1024 -}}
{{- else if has $unit (list "Mi" "MiB") -}}{{- $number -}}
{{- else -}}{{- fail (printf "%s: write it in Mi or Gi." $text) -}}{{- end -}}
{{- end -}}

{{/* Whole cores of a CPU quantity, at least 1; empty without one. */}}
{{- define "spark-gateway.cores" -}}
{{- $text := toString (. | default "") -}}
{{- if hasSuffix "m" $text -}}{{- max 1 (div (add (trimSuffix "m" $text | int64) 999) 1000) -}}
{{- else if $text -}}{{- max 1 (ceil (float64 $text) | int64) -}}{{- end -}}
{{- end -}}
