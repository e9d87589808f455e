{{/* What a driver may do at the API server, only where it makes its executors there. */}}

{{- define "spark-connect-library.executorServiceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- include "spark-connect-library.fullname" . }}-executor
{{- else -}}
{{- include "spark-connect-library.serviceAccountName" . -}}
{{- end -}}
{{- end -}}

{{- define "spark-connect-library.rbac" -}}
{{- $labels := include "spark-connect-library.labels" (dict "context" . "component" "spark-connect") -}}
{{- $k8s := eq (include "spark-connect-library.mode" .) "k8s" -}}
{{- $name := include "spark-connect-library.fullname" . -}}
{{- if .Values.serviceAccount.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "spark-connect-library.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  {{- with .Values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- if $k8s }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "spark-connect-library.executorServiceAccountName" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  {{- with .Values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- end }}
{{- if and .Values.rbac.create $k8s }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
rules:
  # Executors; patched when they end, deleted together by their label.
  - apiGroups:
      - ""
    resources:
      - pods
    verbs:
      - get
      - list
      - watch
      - create
      - patch
      - delete
      - deletecollection
  # The executors' configuration.
  - apiGroups:
      - ""
    resources:
      - configmaps
    verbs:
      - get
      - list
      - create
      - delete
      - deletecollection
  # Volumes of executors, which Spark looks for and removes at its end even where there are none.
  - apiGroups:
      - ""
    resources:
      - persistentvolumeclaims
    verbs:
      - get
      - list
      - create
      - delete
      - deletecollection
  # A driver's Service, which Spark removes at its end by its label even where there is none.
  - apiGroups:
      - ""
    resources:
      - services
    verbs:
      - list
      - delete
      - deletecollection
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "spark-connect-library.serviceAccountName" . }}
    namespace: {{ .Release.Namespace }}
{{- end }}
{{- end -}}

{{/* `helm test`: whether the server takes connections under its Service's name. */}}
{{- define "spark-connect-library.testPod" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "spark-connect-library.fullname" . }}-test
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "spark-connect-library.labels" (dict "context" . "component" "test") | nindent 4 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  containers:
    - name: connect
      image: {{ include "spark-connect-library.image" .Values.image | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command:
        - bash
        - -ec
        - exec 3<>"/dev/tcp/$SERVER/15002" && echo "$SERVER takes connections."
      env:
        - name: SERVER
          value: {{ include "spark-connect-library.fullname" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
      resources:
        requests:
          cpu: 10m
          memory: 16Mi
        limits:
          memory: 64Mi
      securityContext:
        {{- toYaml .Values.containerSecurityContext | nindent 8 }}
{{- end -}}

{{- define "spark-connect-library.extraObjects" -}}
{{- range .Values.extraObjects }}
---
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}

{{- define "spark-connect-library.notes" -}}
{{- $name := include "spark-connect-library.fullname" . -}}
{{- $ns := .Release.Namespace -}}
Spark Connect {{ .Chart.AppVersion }}, executors: {{ include "spark-connect-library.mode" . }}.

  kubectl rollout status -n {{ $ns }} statefulset/{{ $name }}

Through the gateway, clients dial the gateway. It routes to this server where its driver templates name
{{ $ns }} in trusted_namespaces. Without the gateway, from a machine with kubectl:

  kubectl port-forward -n {{ $ns }} service/{{ $name }} 15002
  python -c 'from pyspark.sql import SparkSession; SparkSession.builder.remote("sc://localhost:15002").getOrCreate().range(5).show()'
{{- if not .Values.networkPolicy.enabled }}

networkPolicy.enabled is false: every pod of the cluster reaches this server, and a server without a token
answers whoever reaches it.
{{- end }}
{{- if .Values.eventLog.dir }}

The event log is written to {{ .Values.eventLog.dir }}, which must be there before the server starts.
{{- end }}
{{- end -}}
