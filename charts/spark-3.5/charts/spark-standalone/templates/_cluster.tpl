{{/* A standalone cluster: a master, its workers, and who reaches them. */}}

{{- define "spark-standalone.cluster" -}}
{{ include "spark-standalone.node" (dict "context" . "part" "master") }}
---
{{ include "spark-standalone.node" (dict "context" . "part" "worker") }}
---
# Workers and drivers dial it before it is ready.
apiVersion: v1
kind: Service
metadata:
  name: {{ include "spark-connect-library.masterName" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "spark-connect-library.labels" (dict "context" . "component" "spark-master") | nindent 4 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    {{- include "spark-connect-library.selectorLabels" (dict "context" . "component" "spark-master") | nindent 4 }}
  ports:
    - name: master
      port: 7077
      targetPort: master
      protocol: TCP
    - name: master-ui
      port: 8080
      targetPort: master-ui
      protocol: TCP
{{- if .Values.networkPolicy.enabled }}
---
# Master, workers, their executors and the release's servers reach each other; nobody else does.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "spark-connect-library.masterName" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "spark-connect-library.labels" (dict "context" . "component" "spark-master") | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ .Chart.Name }}
      app.kubernetes.io/instance: {{ include "spark-connect-library.labelValue" .Release.Name | quote }}
  policyTypes:
    - Ingress
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app.kubernetes.io/instance: {{ include "spark-connect-library.labelValue" .Release.Name | quote }}
            matchExpressions:
              - key: app.kubernetes.io/component
                operator: In
                values:
                  - spark-master
                  - spark-worker
                  - spark-connect
{{- end }}
{{- end -}}

{{- define "spark-standalone.node" -}}
{{- $root := .context -}}
{{- $component := printf "spark-%s" .part -}}
{{- $labels := dict "context" $root "component" $component -}}
{{- $master := eq .part "master" -}}
apiVersion: apps/v1
kind: {{ ternary "StatefulSet" "Deployment" $master }}
metadata:
  name: {{ include "spark-connect-library.componentName" (dict "context" $root "suffix" $component) }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "spark-connect-library.labels" $labels | nindent 4 }}
spec:
  {{- if $master }}
  serviceName: {{ include "spark-connect-library.masterName" $root }}
  replicas: 1
  {{- else }}
  replicas: {{ $root.Values.workers.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "spark-connect-library.selectorLabels" $labels | nindent 6 }}
  template:
    metadata:
      labels:
        {{- toYaml (mergeOverwrite (deepCopy $root.Values.podLabels) (include "spark-connect-library.selectorLabels" $labels | fromYaml)) | nindent 8 }}
      {{- with $root.Values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with include "spark-connect-library.placement" (dict "context" $root "values" $root.Values) }}
      {{- . | nindent 6 }}
      {{- end }}
      securityContext:
        {{- toYaml $root.Values.podSecurityContext | nindent 8 }}
      initContainers:
        - {{ include "spark-connect-library.passwdContainer" $root | indent 10 | trim }}
      containers:
        - name: {{ $component }}
          image: {{ include "spark-connect-library.image" $root.Values.image | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command:
            - bash
            - -ec
            - |
              # Spark wants IPv6 addresses in brackets.
              [[ $POD_IP == *:* ]] && POD_IP="[$POD_IP]"
              {{- if $master }}
              exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.master.Master --host "$POD_IP" --port 7077 --webui-port 8080
              {{- else }}
              exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.worker.Worker --host "$POD_IP" --port 7078 --webui-port 8081 "$MASTER_URL"
              {{- end }}
          workingDir: {{ include "spark-connect-library.workFolder" $root }}
          env:
            {{- include "spark-standalone.env" . | nindent 12 }}
          ports:
            - name: {{ .part }}
              containerPort: {{ ternary 7077 7078 $master }}
              protocol: TCP
            - name: {{ .part }}-ui
              containerPort: {{ ternary 8080 8081 $master }}
              protocol: TCP
          startupProbe:
            tcpSocket:
              port: {{ .part }}
            periodSeconds: 5
            failureThreshold: 60
          livenessProbe:
            tcpSocket:
              port: {{ .part }}
            periodSeconds: 20
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            tcpSocket:
              port: {{ .part }}
            periodSeconds: 5
          resources:
            {{- toYaml (ternary $root.Values.master.resources $root.Values.workers.resources $master) | nindent 12 }}
          securityContext:
            {{- toYaml $root.Values.containerSecurityContext | nindent 12 }}
          volumeMounts:
            {{- include "spark-connect-library.writableMounts" $root | nindent 12 }}
      volumes:
        - name: spark-conf
          emptyDir:
            medium: Memory
            sizeLimit: 16Mi
        - name: tmp
          emptyDir: {}
        - name: work-dir
          emptyDir: {}
        - name: local-dir
          emptyDir:
            {{- toYaml (dict "sizeLimit" $root.Values.workers.localDir) | nindent 12 }}
{{- end -}}

{{- define "spark-standalone.env" -}}
{{- $root := .context -}}
{{- $values := $root.Values -}}
{{- $work := include "spark-connect-library.workFolder" $root -}}
{{- $env := list
    (dict "name" "SPARK_HOME" "value" "/opt/spark")
    (dict "name" "HOME" "value" $work)
    (dict "name" "SPARK_LOCAL_DIRS" "value" (include "spark-connect-library.localFolder" $root))
    (dict "name" "POD_IP" "valueFrom" (dict "fieldRef" (dict "fieldPath" "status.podIP")))
-}}
{{- if eq .part "master" -}}
{{- $env = append $env (dict "name" "SPARK_DAEMON_MEMORY" "value" $values.master.memory) -}}
{{- else -}}
{{- $url := printf "spark://%s.%s.svc.%s:7077" (include "spark-connect-library.masterName" $root) $root.Release.Namespace $values.clusterDomain -}}
{{- $env = concat $env (list
    (dict "name" "MASTER_URL" "value" $url)
    (dict "name" "SPARK_WORKER_CORES" "value" (include "spark-connect-library.text" $values.workers.cores))
    (dict "name" "SPARK_WORKER_MEMORY" "value" $values.workers.memory)
    (dict "name" "SPARK_WORKER_DIR" "value" (printf "%s/work" $work))
    (dict "name" "SPARK_WORKER_OPTS" "value" "-Dspark.worker.preferConfiguredMasterAddress=true -Dspark.worker.cleanup.enabled=true")) -}}
{{- end -}}
{{- $names := dict -}}
{{- range $env -}}{{- $_ := set $names .name true -}}{{- end -}}
{{- range $values.extraEnv -}}
{{- if hasKey $names .name -}}{{- fail (printf "extraEnv sets %s, which is set already." .name) -}}{{- end -}}
{{- $_ := set $names .name true -}}
{{- end -}}
{{- toYaml (concat $env $values.extraEnv) -}}
{{- end -}}
