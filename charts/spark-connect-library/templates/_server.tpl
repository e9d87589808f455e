{{/* The server: a StatefulSet, so that each pod has a name of its own by which executors find it. */}}
{{- define "spark-connect-library.server" -}}
{{- $component := dict "context" . "component" "spark-connect" -}}
{{- $name := include "spark-connect-library.fullname" . -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "spark-connect-library.labels" $component | nindent 4 }}
spec:
  serviceName: {{ include "spark-connect-library.headlessName" . }}
  replicas: {{ .Values.replicas }}
  podManagementPolicy: Parallel
  selector:
    matchLabels:
      {{- include "spark-connect-library.selectorLabels" $component | nindent 6 }}
  template:
    metadata:
      labels:
        {{- $own := include "spark-connect-library.selectorLabels" $component | fromYaml }}
        {{- $discovered := dict "spark-role" "driver" "spark-connect" "enabled" }}
        {{- toYaml (mergeOverwrite (deepCopy .Values.podLabels) $own $discovered) | nindent 8 }}
      annotations:
        checksum/config: {{ printf "%s%s" (include "spark-connect-library.templateFiles" .) (include "spark-connect-library.executorPodTemplate" .) | sha256sum }}
        {{- with .Values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "spark-connect-library.serviceAccountName" . }}
      automountServiceAccountToken: {{ eq (include "spark-connect-library.mode" .) "k8s" }}
      # Variables such as SPARK_CONNECT_PORT=tcp://… of a Service would be taken for Spark's own.
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
      {{- with include "spark-connect-library.placement" (dict "context" . "values" .Values) }}
      {{- . | nindent 6 }}
      {{- end }}
      securityContext:
        {{- toYaml .Values.podSecurityContext | nindent 8 }}
      initContainers:
        - {{ include "spark-connect-library.passwdContainer" . | indent 10 | trim }}
      containers:
        - name: spark-connect
          image: {{ include "spark-connect-library.image" .Values.image | quote }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          command:
            - bash
            - {{ include "spark-connect-library.templateFolder" . }}/start.sh
          workingDir: {{ include "spark-connect-library.workFolder" . }}
          env:
            {{- include "spark-connect-library.env" . | nindent 12 }}
          ports:
            {{- range include "spark-connect-library.ports" . | fromYamlArray }}
            - name: {{ .name }}
              containerPort: {{ .port }}
              protocol: TCP
            {{- end }}
          startupProbe:
            tcpSocket:
              port: spark-connect
            periodSeconds: {{ .Values.startupProbe.periodSeconds }}
            failureThreshold: {{ .Values.startupProbe.failureThreshold }}
          livenessProbe:
            tcpSocket:
              port: spark-connect
            periodSeconds: 20
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            tcpSocket:
              port: spark-connect
            periodSeconds: 5
            timeoutSeconds: 2
            failureThreshold: 3
          resources:
            {{- toYaml .Values.resources | nindent 12 }}
          securityContext:
            {{- toYaml .Values.containerSecurityContext | nindent 12 }}
          volumeMounts:
            - name: spark-conf-k8s
              mountPath: {{ include "spark-connect-library.templateFolder" . }}
              readOnly: true
            {{- include "spark-connect-library.writableMounts" . | nindent 12 }}
            - name: spark-conf
              mountPath: {{ include "spark-connect-library.confFolder" . }}
            {{- if .Values.driverFence.enabled }}
            - name: driver-fence
              mountPath: /opt/spark/driver-fence
              readOnly: true
            {{- end }}
            {{- if .Values.fluentBit.enabled }}
            - name: logs
              mountPath: /opt/spark/logs
            {{- end }}
            {{- with .Values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
        {{- with include "spark-connect-library.sidecars" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with .Values.extraContainers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      volumes:
        - name: spark-conf-k8s
          projected:
            sources:
              - configMap:
                  name: {{ include "spark-connect-library.templatesName" . }}
              {{- if eq (include "spark-connect-library.mode" .) "k8s" }}
              - configMap:
                  name: {{ include "spark-connect-library.executorTemplateName" . }}
              {{- end }}
        {{- include "spark-connect-library.writableVolumes" . | nindent 8 }}
        {{- with .Values.driverFence }}
        {{- if .enabled }}
        - name: driver-fence
          configMap:
            name: {{ required "driverFence.configMap is needed when driverFence.enabled is true." .configMap }}
        {{- end }}
        {{- end }}
        {{- if .Values.openTelemetry.enabled }}
        - name: otel-config
          configMap:
            name: {{ required "openTelemetry.configMap is needed when openTelemetry.enabled is true." .Values.openTelemetry.configMap }}
        {{- end }}
        {{- if .Values.fluentBit.enabled }}
        - name: fluent-bit-config
          configMap:
            name: {{ required "fluentBit.configMap is needed when fluentBit.enabled is true." .Values.fluentBit.configMap }}
        - name: logs
          emptyDir: {}
        {{- end }}
        {{- with .Values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}

{{- define "spark-connect-library.fenceJar" -}}
/opt/spark/driver-fence/{{ .Values.driverFence.jar }}
{{- end -}}

{{/* Where pods go: (dict "context" . "values" V). */}}
{{- define "spark-connect-library.placement" -}}
{{- $values := .values -}}
{{- $placement := dict -}}
{{- range list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" -}}
{{- $value := get $values . -}}
{{- if $value -}}{{- $_ := set $placement . $value -}}{{- end -}}
{{- end -}}
{{- with .context.Values.imagePullSecrets -}}{{- $_ := set $placement "imagePullSecrets" . -}}{{- end -}}
{{- if $placement -}}{{- toYaml $placement -}}{{- end -}}
{{- end -}}

{{/* Each name once: the API server's merge refuses a second one. */}}
{{- define "spark-connect-library.env" -}}
{{- $field := "- name: %s\n  valueFrom:\n    fieldRef:\n      fieldPath: %s" -}}
{{- $own := list
    (dict "name" "SPARK_HOME" "value" "/opt/spark")
    (dict "name" "SPARK_CONF_DIR" "value" (include "spark-connect-library.confFolder" .))
    (dict "name" "HOME" "value" (include "spark-connect-library.workFolder" .))
    (dict "name" "POD_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name")))
    (dict "name" "POD_NAMESPACE" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.namespace")))
    (dict "name" "POD_IP" "valueFrom" (dict "fieldRef" (dict "fieldPath" "status.podIP")))
-}}
{{- if .Values.openTelemetry.enabled -}}
{{- $own = append $own (dict "name" "OTEL_EXPORTER_OTLP_ENDPOINT" "value" "http://localhost:4317") -}}
{{- end -}}
{{- with .Values.unityCatalog -}}
{{- if and .enabled .existingSecret -}}
{{- $own = append $own (dict "name" "UNITY_CATALOG_TOKEN" "valueFrom" (dict "secretKeyRef" (dict "name" .existingSecret "key" .secretKey))) -}}
{{- end -}}
{{- end -}}
{{- with .Values.driverToken -}}
{{- if .existingSecret -}}
{{- if and (hasKey $.Values.sparkConnect "jar") (not $.Values.driverFence.enabled) -}}
{{- fail "driverToken.existingSecret needs driverFence.enabled: Spark 3.5 asks its clients for no token by itself." -}}
{{- end -}}
{{- $own = append $own (dict "name" "SPARK_CONNECT_AUTHENTICATE_TOKEN" "valueFrom" (dict "secretKeyRef" (dict "name" .existingSecret "key" .secretKey))) -}}
{{- end -}}
{{- end -}}
{{- $names := dict -}}
{{- range $own -}}{{- $_ := set $names .name "the chart" -}}{{- end -}}
{{- range .Values.extraEnv -}}
{{- if hasKey $names .name -}}
{{- fail (printf "extraEnv sets %s, which %s sets already." .name (get $names .name)) -}}
{{- end -}}
{{- $_ := set $names .name "extraEnv itself" -}}
{{- end -}}
{{- toYaml (concat $own .Values.extraEnv) -}}
{{- end -}}

{{- define "spark-connect-library.sidecars" -}}
{{- with .Values.openTelemetry }}
{{- if .enabled }}
- name: otel-collector
  image: {{ include "spark-connect-library.image" .image | quote }}
  args:
    - --config=/etc/otelcol/config.yaml
  ports:
    - name: otlp-grpc
      containerPort: 4317
      protocol: TCP
  resources:
    {{- toYaml .resources | nindent 4 }}
  securityContext:
    {{- toYaml $.Values.containerSecurityContext | nindent 4 }}
  volumeMounts:
    - name: otel-config
      mountPath: /etc/otelcol
      readOnly: true
{{- end }}
{{- end }}
{{- with .Values.fluentBit }}
{{- if .enabled }}
- name: fluent-bit
  image: {{ include "spark-connect-library.image" .image | quote }}
  resources:
    {{- toYaml .resources | nindent 4 }}
  securityContext:
    {{- toYaml $.Values.containerSecurityContext | nindent 4 }}
  volumeMounts:
    - name: fluent-bit-config
      mountPath: /fluent-bit/etc
      readOnly: true
    - name: logs
      mountPath: /opt/spark/logs
      readOnly: true
{{- end }}
{{- end }}
{{- end -}}
