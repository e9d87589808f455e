{{/* The ConfigMaps whose files are mounted read-only at conf-k8s. */}}

{{- define "spark-connect-library.templateFiles" -}}
start.sh: |
  {{- include "spark-connect-library.startScript" . | nindent 2 }}
spark-defaults.conf: |
  {{- include "spark-connect-library.sparkDefaults" . | trimPrefix "\n" | nindent 2 }}
{{- $log4j2 := .Values.log4j2Properties | default (ternary (include "spark-connect-library.fileLog" .) "" .Values.fluentBit.enabled) }}
{{- if $log4j2 }}
log4j2.properties: |
  {{- $log4j2 | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where fluent-bit reads them, logs are written to a file as well. */}}
{{- define "spark-connect-library.fileLog" -}}
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
rootLogger.appenderRef.file.ref = file
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = /opt/spark/logs/spark.log
appender.file.filePattern = /opt/spark/logs/spark.%i.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{ISO8601} %p %c: %m%n%ex
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 50MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
{{- end -}}

{{- define "spark-connect-library.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "spark-connect-library.templatesName" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "spark-connect-library.labels" (dict "context" . "component" "spark-connect") | nindent 4 }}
data:
  {{- include "spark-connect-library.templateFiles" . | nindent 2 }}
{{- end -}}

{{- define "spark-connect-library.executorConfigMap" -}}
{{- if eq (include "spark-connect-library.mode" .) "k8s" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "spark-connect-library.executorTemplateName" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "spark-connect-library.labels" (dict "context" . "component" "spark-connect") | nindent 4 }}
data:
  {{ include "spark-connect-library.podTemplateFile" . }}: |
    {{- include "spark-connect-library.executorPodTemplate" . | nindent 4 }}
{{- end -}}
{{- end -}}

{{/* The pod that Spark makes its executors from. They have no rights at the API server. */}}
{{- define "spark-connect-library.executorPodTemplate" -}}
{{- $executor := .Values.executor -}}
apiVersion: v1
kind: Pod
metadata:
  labels:
    {{- $own := include "spark-connect-library.selectorLabels" (dict "context" . "component" "executor") | fromYaml }}
    {{- toYaml (mergeOverwrite (deepCopy $executor.podLabels) $own) | nindent 4 }}
  {{- with $executor.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "spark-connect-library.executorServiceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with include "spark-connect-library.placement" (dict "context" . "values" $executor) }}
  {{- . | nindent 2 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  initContainers:
    - {{ include "spark-connect-library.passwdContainer" . | indent 6 | trim }}
  containers:
    - name: spark-kubernetes-executor
      {{- with $executor.extraEnv }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- toYaml .Values.containerSecurityContext | nindent 8 }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        - name: work-dir
          mountPath: {{ include "spark-connect-library.workFolder" . }}
        {{- include "spark-connect-library.passwdMount" . | nindent 8 }}
        {{- with $executor.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: spark-conf
      emptyDir:
        medium: Memory
        sizeLimit: 16Mi
    - name: tmp
      emptyDir:
        {{- toYaml (dict "sizeLimit" .Values.volumes.tmp) | nindent 8 }}
    - name: work-dir
      emptyDir:
        {{- toYaml (dict "sizeLimit" .Values.volumes.workDir) | nindent 8 }}
    {{- with $executor.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
