{{/* Folders of the container. All that is written lies in emptyDirs: the root file system is read-only. */}}

{{/* Read-only templates of configuration files. */}}
{{- define "spark-connect-library.templateFolder" -}}/opt/spark/conf-k8s{{- end -}}
{{/* Where they are rendered at start: SPARK_CONF_DIR. */}}
{{- define "spark-connect-library.confFolder" -}}/tmp/spark-conf{{- end -}}
{{/* Working directory and HOME. */}}
{{- define "spark-connect-library.workFolder" -}}/opt/spark/work-dir{{- end -}}
{{- define "spark-connect-library.localFolder" -}}/var/data/spark-local{{- end -}}
{{- define "spark-connect-library.podTemplateFile" -}}executor-pod-template.yaml{{- end -}}

{{- define "spark-connect-library.writableVolumes" -}}
- name: spark-conf
  emptyDir:
    medium: Memory
    sizeLimit: 16Mi
- name: tmp
  emptyDir:
    {{- toYaml (dict "sizeLimit" .Values.volumes.tmp) | nindent 4 }}
- name: work-dir
  emptyDir:
    {{- toYaml (dict "sizeLimit" .Values.volumes.workDir) | nindent 4 }}
- name: local-dir
  emptyDir:
    {{- toYaml (dict "sizeLimit" .Values.volumes.localDir) | nindent 4 }}
{{- end -}}

{{- define "spark-connect-library.writableMounts" -}}
- name: tmp
  mountPath: /tmp
- name: work-dir
  mountPath: {{ include "spark-connect-library.workFolder" . }}
- name: local-dir
  mountPath: {{ include "spark-connect-library.localFolder" . }}
{{ include "spark-connect-library.passwdMount" . }}
{{- end -}}

{{/* Hadoop asks for the name of its user, whatever its number is. */}}
{{- define "spark-connect-library.passwdMount" -}}
- name: spark-conf
  mountPath: /etc/passwd
  subPath: passwd
  readOnly: true
{{- end -}}

{{/* Adds the user that the pod runs as to /etc/passwd, with a home that can be written. */}}
{{- define "spark-connect-library.passwdContainer" -}}
name: passwd
image: {{ include "spark-connect-library.image" .Values.image | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command:
  - bash
  - -ec
  - |
    uid=$(id -u)
    {
      while IFS= read -r line; do
        [[ $line == *:*:"$uid":* ]] || printf '%s\n' "$line"
      done </etc/passwd
      printf 'spark-%s:x:%s:%s::%s:/bin/bash\n' "$uid" "$uid" "$(id -g)" {{ include "spark-connect-library.workFolder" . }}
    } >{{ include "spark-connect-library.confFolder" . }}/passwd
resources:
  requests:
    cpu: 10m
    memory: 16Mi
  limits:
    memory: 64Mi
securityContext:
  {{- toYaml .Values.containerSecurityContext | nindent 2 }}
volumeMounts:
  - name: spark-conf
    mountPath: {{ include "spark-connect-library.confFolder" . }}
{{- end -}}
