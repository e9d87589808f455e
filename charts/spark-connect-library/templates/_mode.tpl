{{/* Where executors run, and the ports that go with it. */}}

{{/*
k8s, standalone or local. `backendMode` says it; `master` is its older spelling, and the two must not
contradict each other.
*/}}
{{- define "spark-connect-library.mode" -}}
{{- $mode := .Values.sparkConnect.backendMode | default "" -}}
{{- $master := .Values.sparkConnect.master | default "" -}}
{{- $ofMaster := "" -}}
{{- if or (hasPrefix "k8s://" $master) (eq $master "k8s") -}}{{- $ofMaster = "k8s" -}}
{{- else if or (hasPrefix "spark://" $master) (eq $master "standalone") -}}{{- $ofMaster = "standalone" -}}
{{- else if regexMatch "^local(\\[[0-9*]+(, *[0-9]+)?\\])?$" $master -}}{{- $ofMaster = "local" -}}
{{- else if $master -}}
{{- fail (printf "sparkConnect.master=%q is no master: write k8s://<URL>, spark://<host>:<port>, local or local[<cores>], or set sparkConnect.backendMode alone." $master) -}}
{{- end -}}
{{- if and $mode $ofMaster (ne $mode $ofMaster) -}}
{{- fail (printf "sparkConnect.backendMode=%s and sparkConnect.master=%s contradict each other: remove one of them." $mode $master) -}}
{{- end -}}
{{- $mode | default $ofMaster | default "k8s" -}}
{{- end -}}

{{/* spark.master. */}}
{{- define "spark-connect-library.master" -}}
{{- $mode := include "spark-connect-library.mode" . -}}
{{- $master := .Values.sparkConnect.master | default "" -}}
{{- if regexMatch "^(k8s|spark)://|^local" $master -}}
{{- $master -}}
{{- else if eq $mode "k8s" -}}
k8s://https://kubernetes.default.svc
{{- else if eq $mode "local" -}}
local[*]
{{- else if .Values.sparkConnect.standaloneCluster -}}
spark://{{ include "spark-connect-library.masterName" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:7077
{{- else -}}
{{- fail "sparkConnect.backendMode=standalone needs sparkConnect.master=spark://<host>:<port>: this chart runs no standalone cluster of its own." -}}
{{- end -}}
{{- end -}}

{{/*
Every port of the server in its mode, for the container, the Services, the NetworkPolicy and the Spark
configuration alike: name, port, Spark's name for it, and who may reach it.
*/}}
{{- define "spark-connect-library.ports" -}}
{{- $mode := include "spark-connect-library.mode" . -}}
- name: spark-connect
  port: 15002
  conf: spark.connect.grpc.binding.port
  from: gateway
{{- if ne $mode "local" }}
- name: driver
  port: 7078
  conf: spark.driver.port
  from: executors
- name: blockmanager
  port: 7079
  conf: spark.driver.blockManager.port
  from: executors
{{- end }}
{{- if .Values.metrics.enabled }}
- name: ui
  port: 4040
  conf: spark.ui.port
  from: metrics
{{- end }}
{{- end -}}
