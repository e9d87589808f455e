{{/* The settings file: what the chart knows (ports, paths, names), under what `settings` adds. */}}

{{/* Every port of the gateway, for containers, Services, NetworkPolicies and settings alike. */}}
{{- define "spark-gateway.ports" -}}
clients: 15002
xds: 18000
assignments: 18001
admin: 9090
authzMetrics: 9091
controlPlaneHealth: 9092
envoyHealth: 9902
runner: 50051
runnerMetrics: 9093
playground: 8080
playgroundMetrics: 9094
drivers: 15002
{{- end -}}

{{- define "spark-gateway.settings" -}}
{{- $ports := include "spark-gateway.ports" . | fromYaml -}}
{{- $name := include "spark-gateway.fullname" . -}}
{{- $controlPlane := printf "%s-control-plane" $name -}}
{{- $at := "/etc/spark-gateway" -}}
{{- $kubernetes := dict "templates_file" (printf "%s/templates.yaml" $at) -}}
{{- if ne $name "spark-gateway" -}}{{- $_ := set $kubernetes "gateway_name" $name -}}{{- end -}}
{{- if not .Values.rbac.clusterWide -}}{{- $_ := set $kubernetes "namespaces" .Values.teamNamespaces -}}{{- end -}}
{{- $own := dict
    "listen_addr" (printf "0.0.0.0:%v" $ports.clients)
    "tls_cert_file" "/etc/spark-gateway-tls/tls.crt"
    "tls_key_file" "/etc/spark-gateway-tls/tls.key"
    "state_dir" "/var/lib/spark-gateway"
    "drain_time" (printf "%vs" .Values.envoy.drainSeconds)
    "mtls" (dict
      "cert_file" "/etc/spark-gateway-mtls/tls.crt"
      "key_file" "/etc/spark-gateway-mtls/tls.key"
      "ca_file" "/etc/spark-gateway-mtls/ca.crt"
      "server_name" $controlPlane)
    "xds" (dict
      "listen_addr" (printf "0.0.0.0:%v" $ports.xds)
      "connect_addr" (printf "%s:%v" $controlPlane $ports.xds)
      "relay_addr" "unix:/run/spark-gateway/xds.sock"
      "allowed_sans" (list (printf "%s-envoy" $name)))
    "assignments" (dict
      "listen_addr" (printf "0.0.0.0:%v" $ports.assignments)
      "connect_addr" (printf "%s:%v" $controlPlane $ports.assignments)
      "allowed_sans" (list (printf "%s-envoy" $name)))
    "authz" (dict
      "listen_addr" "unix:/run/spark-gateway/authz.sock"
      "metrics_addr" (printf "0.0.0.0:%v" $ports.authzMetrics))
    "admin" (dict
      "listen_addr" (printf "0.0.0.0:%v" $ports.admin)
      "health_addr" (printf "0.0.0.0:%v" $ports.controlPlaneHealth))
    "envoy" (dict
      "health_addr" (printf "0.0.0.0:%v" $ports.envoyHealth)
      "max_heap" .Values.envoy.maxHeap)
    "drivers" (dict "source" "kubernetes" "kubernetes" $kubernetes)
-}}
{{- if .Values.policyResource -}}{{- $_ := set $own "policy_resource" .Values.policyResource -}}
{{- else -}}{{- $_ := set $own "policy_file" (printf "%s/policy.yaml" $at) -}}{{- end -}}
{{- $batch := dict -}}
{{- if and (include "spark-gateway.batch" .) (not .Values.rbac.clusterWide) -}}{{- $_ := set $batch "kubernetes" (dict "namespaces" .Values.teamNamespaces) -}}{{- end -}}
{{- if .Values.runner.enabled -}}
{{- $_ := set $batch "allowed_sans" (list (printf "%s-runner" $name)) -}}
{{- $_ := set $own "runner" (dict
    "listen_addr" (printf "0.0.0.0:%v" $ports.runner)
    "metrics_addr" (printf "0.0.0.0:%v" $ports.runnerMetrics)) -}}
{{- end -}}
{{- if .Values.playground.enabled -}}
{{- $_ := set $own "playground" (dict
    "listen_addr" (printf "0.0.0.0:%v" $ports.playground)
    "metrics_addr" (printf "0.0.0.0:%v" $ports.playgroundMetrics)
    "cert_file" "/etc/spark-gateway-tls/tls.crt"
    "key_file" "/etc/spark-gateway-tls/tls.key") -}}
{{- if .Values.playground.cookieKey.existingSecret -}}{{- $_ := set $own.playground "cookie_key_file" "/etc/spark-gateway-cookie-key/cookie-key" -}}{{- end -}}
{{- if .Values.runner.enabled -}}{{- $_ := set $own.playground "runner_addr" (printf "%s-runner:%v" $name $ports.runner) -}}{{- end -}}
{{- /* It has the policy from the control planes, where that is a custom resource. */ -}}
{{- if .Values.policyResource -}}{{- $_ := set $own.assignments "allowed_sans" (append $own.assignments.allowed_sans (printf "%s-playground" $name)) -}}{{- end -}}
{{- end -}}
{{- if $batch -}}{{- $_ := set $own "batch" $batch -}}{{- end -}}
{{- include "spark-gateway.refuseOwned" (dict "own" $own "given" .Values.settings "path" "settings") -}}
{{- toYaml (mergeOverwrite $own (deepCopy .Values.settings)) -}}
{{- end -}}

{{/* Not empty where batch jobs are run. */}}
{{- define "spark-gateway.batch" -}}
{{- if or .Values.rbac.batch (dig "batch" "output_url" "" .Values.settings) -}}true{{- end -}}
{{- end -}}

{{/* Fails where `settings` names what the chart sets: two places would not agree for long. */}}
{{- define "spark-gateway.refuseOwned" -}}
{{- range $key, $value := .given -}}
{{- if hasKey $.own $key -}}
{{- $mine := get $.own $key -}}
{{- $path := printf "%s.%s" $.path $key -}}
{{- if and (kindIs "map" $mine) (kindIs "map" $value) -}}
{{- include "spark-gateway.refuseOwned" (dict "own" $mine "given" $value "path" $path) -}}
{{- else -}}
{{- fail (printf "%s is set by the chart, from its other values: see the table in its README." $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "spark-gateway.configData" -}}
settings.yaml: |
  {{- include "spark-gateway.settings" . | nindent 2 }}
{{- if not .Values.policyResource }}
policy.yaml: |
  {{- toYaml .Values.policy | nindent 2 }}
{{- end }}
templates.yaml: |
  {{- toYaml .Values.templates | nindent 2 }}
{{- end -}}
