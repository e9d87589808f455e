{{/* The Spark configuration: every value ends up in a properties file and nowhere else. */}}

{{/* A value as text: whole numbers without an exponent. */}}
{{- define "spark-connect-library.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{- printf "%.0f" . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{/* Spark's properties by name, as a map of texts in JSON, which a round trip through Helm leaves as it is. */}}
{{- define "spark-connect-library.properties" -}}
{{- $values := .Values -}}
{{- $connect := $values.sparkConnect -}}
{{- $mode := include "spark-connect-library.mode" . -}}
{{- $conf := dict
    "spark.master" (include "spark-connect-library.master" .)
    "spark.app.name" (include "spark-connect-library.fullname" .)
    "spark.driver.memory" $values.driver.memory
    "spark.local.dir" (include "spark-connect-library.localFolder" .)
    "spark.jars.ivy" (printf "%s/.ivy2" (include "spark-connect-library.workFolder" .))
    "spark.connect.grpc.maxInboundMessageSize" (include "spark-connect-library.text" $connect.maxMessageSize)
    "spark.connect.grpc.arrow.maxBatchSize" (include "spark-connect-library.text" $connect.arrowBatchSize)
    "spark.eventLog.enabled" (ternary "true" "false" (ne $values.eventLog.dir ""))
    "spark.ui.enabled" (toString $values.metrics.enabled)
-}}
{{- range include "spark-connect-library.ports" . | fromYamlArray -}}
{{- $_ := set $conf .conf (toString .port) -}}
{{- end -}}
{{- with $connect.sessionTimeout -}}
{{- $_ := set $conf "spark.connect.session.manager.defaultSessionTimeout" . -}}
{{- end -}}
{{- with $values.eventLog.dir -}}
{{- $_ := set $conf "spark.eventLog.dir" . -}}
{{- end -}}
{{- if $values.metrics.enabled -}}
{{- $_ := set $conf "spark.ui.prometheus.enabled" "true" -}}
{{- $_ := set $conf "spark.metrics.conf.*.sink.prometheusServlet.class" "org.apache.spark.metrics.sink.PrometheusServlet" -}}
{{- $_ := set $conf "spark.metrics.conf.*.sink.prometheusServlet.path" "/metrics/prometheus" -}}
{{- end -}}
{{- if ne $mode "local" -}}
{{- $host := printf "${POD_NAME}.%s.%s.svc.%s" (include "spark-connect-library.headlessName" .) .Release.Namespace $values.clusterDomain -}}
{{- $_ := set $conf "spark.driver.host" $host -}}
{{- $_ := set $conf "spark.driver.bindAddress" "0.0.0.0" -}}
{{- $_ := set $conf "spark.executor.cores" (include "spark-connect-library.text" $values.executor.cores) -}}
{{- $_ := set $conf "spark.executor.memory" $values.executor.memory -}}
{{- with $values.dynamicAllocation -}}
{{- if .enabled -}}
{{- $_ := set $conf "spark.dynamicAllocation.enabled" "true" -}}
{{- $_ := set $conf "spark.dynamicAllocation.shuffleTracking.enabled" "true" -}}
{{- $_ := set $conf "spark.dynamicAllocation.minExecutors" (include "spark-connect-library.text" .minExecutors) -}}
{{- $_ := set $conf "spark.dynamicAllocation.maxExecutors" (include "spark-connect-library.text" .maxExecutors) -}}
{{- $_ := set $conf "spark.dynamicAllocation.executorIdleTimeout" .executorIdleTimeout -}}
{{- $_ := set $conf "spark.dynamicAllocation.shuffleTracking.timeout" .shuffleTrackingTimeout -}}
{{- else if eq $mode "k8s" -}}
{{- $_ := set $conf "spark.executor.instances" (include "spark-connect-library.text" $values.executor.instances) -}}
{{- else -}}
{{- $_ := set $conf "spark.cores.max" (mul $values.executor.instances $values.executor.cores | toString) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq $mode "k8s" -}}
{{- $_ := set $conf "spark.blockManager.port" "7079" -}}
{{- $_ := set $conf "spark.kubernetes.namespace" "${POD_NAMESPACE}" -}}
{{- $_ := set $conf "spark.kubernetes.driver.pod.name" "${POD_NAME}" -}}
{{- $_ := set $conf "spark.kubernetes.container.image" (include "spark-connect-library.image" $values.image) -}}
{{- $_ := set $conf "spark.kubernetes.container.image.pullPolicy" $values.image.pullPolicy -}}
{{- $_ := set $conf "spark.kubernetes.executor.podTemplateFile" (printf "%s/%s" (include "spark-connect-library.confFolder" .) (include "spark-connect-library.podTemplateFile" .)) -}}
{{- $_ := set $conf "spark.kubernetes.executor.podTemplateContainerName" "spark-kubernetes-executor" -}}
{{- if $values.imagePullSecrets -}}
{{- $names := list -}}
{{- range $values.imagePullSecrets -}}{{- $names = append $names .name -}}{{- end -}}
{{- $_ := set $conf "spark.kubernetes.container.image.pullSecrets" (join "," $names) -}}
{{- end -}}
{{- end -}}
{{- with $values.unityCatalog -}}
{{- if .enabled -}}
{{- $catalog := printf "spark.sql.catalog.%s" .catalog -}}
{{- $_ := set $conf $catalog "io.unitycatalog.spark.UCSingleCatalog" -}}
{{- $_ := set $conf (printf "%s.uri" $catalog) (required "unityCatalog.uri is needed when unityCatalog.enabled is true." .uri) -}}
{{- if .existingSecret -}}
{{- $_ := set $conf (printf "%s.token" $catalog) "${UNITY_CATALOG_TOKEN}" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $owned := keys $conf -}}
{{- $jars := list -}}
{{- with $connect.jar -}}
{{- if .path -}}{{- $jars = append $jars .path -}}
{{- else if .packages -}}{{- $_ := set $conf "spark.jars.packages" .packages -}}{{- end -}}
{{- end -}}
{{- with $values.driverFence -}}
{{- if .enabled -}}
{{- $jars = append $jars (include "spark-connect-library.fenceJar" $) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $values.sparkConf -}}
{{- if has $name $owned -}}
{{- fail (printf "sparkConf.%s is what the chart sets from its other values: change those. The README says which." $name) -}}
{{- end -}}
{{- $text := include "spark-connect-library.text" $value -}}
{{- if regexMatch "[\\x00-\\x08\\x0b\\x0e-\\x1f\\x7f-\\x{84}\\x{86}-\\x{9f}]" (printf "%s%s" $name $text) -}}
{{- fail (printf "sparkConf.%q holds a control character, which no file of a ConfigMap can." $name) -}}
{{- end -}}
{{- if eq $name "spark.jars" -}}{{- $jars = append $jars $text -}}
{{- else if and (eq $name "spark.jars.packages") (hasKey $conf $name) -}}{{- $_ := set $conf $name (printf "%s,%s" (get $conf $name) $text) -}}
{{- else -}}{{- $_ := set $conf $name $text -}}{{- end -}}
{{- end -}}
{{- if $jars -}}{{- $_ := set $conf "spark.jars" (join "," $jars) -}}{{- end -}}
{{- /* The last interceptor is asked first. */ -}}
{{- with $values.driverFence -}}
{{- if .enabled -}}
{{- $name := "spark.connect.grpc.interceptor.classes" -}}
{{- $_ := set $conf $name (compact (list (get $conf $name) .interceptorClass) | join ",") -}}
{{- end -}}
{{- end -}}
{{- toJson $conf -}}
{{- end -}}

{{/*
spark-defaults.conf in the format of java.util.Properties: what would end a key, begin a comment, a
continuation or an escape is escaped, as are spaces at either end of a value, which Java or Spark cuts off.
*/}}
{{- define "spark-connect-library.sparkDefaults" -}}
{{- range $name, $value := include "spark-connect-library.properties" . | fromJson }}
{{ include "spark-connect-library.propertyKey" $name }}={{ include "spark-connect-library.propertyValue" $value }}
{{- end }}
{{- end -}}

{{- define "spark-connect-library.propertyKey" -}}
{{- $key := include "spark-connect-library.propertyText" . | replace " " "\\ " -}}
{{- $key | replace "=" "\\=" | replace ":" "\\:" | replace "#" "\\#" | replace "!" "\\!" -}}
{{- end -}}

{{- define "spark-connect-library.propertyValue" -}}
{{- regexReplaceAll "^ " (include "spark-connect-library.propertyText" .) "\\ " -}}
{{- end -}}

{{/* What ends a line of a properties file, or of the YAML around it, by its name. */}}
{{- define "spark-connect-library.propertyText" -}}
{{- $text := . | replace "\\" "\\\\" | replace "\t" "\\t" | replace "\n" "\\n" | replace "\r" "\\r" | replace "\f" "\\f" -}}
{{- $text | replace "\u0085" "\\u0085" | replace "\u2028" "\\u2028" | replace "\u2029" "\\u2029" | replace "\ufeff" "\\ufeff" -}}
{{- end -}}

{{/* The connect server's start: renders the templates, then becomes the server. Holds no value of the chart's. */}}
{{- define "spark-connect-library.startScript" -}}
#!/usr/bin/env bash
# Renders the files of conf-k8s into SPARK_CONF_DIR and becomes the Spark Connect server.
set -euo pipefail
: "${SPARK_HOME:?SPARK_HOME is not set}" "${SPARK_CONF_DIR:?SPARK_CONF_DIR is not set}"
templates=${0%/*}

# What a template may name as ${NAME}; every other ${…} is Spark's own.
variables=' POD_NAME POD_NAMESPACE POD_IP UNITY_CATALOG_TOKEN '

# Prints the value of a variable, in a properties file as one of java.util.Properties.
value_for() {
  local file=$1 value=${!2}
  if [[ $file == *.conf || $file == *.properties ]]; then
    value=${value//\\/\\\\}
    value=${value//$'\n'/\\n}
    value=${value//$'\r'/\\r}
    value=${value//$'\t'/\\t}
    value=${value//$'\f'/\\f}
    [[ $value != ' '* ]] || value="\\$value"
  fi
  printf '%s' "$value"
}

# Replaces in one pass: what a value holds is not looked at again.
render() {
  local file=$1 rest=$2 out='' before name
  while [[ $rest =~ \$\{([A-Z][A-Z_]*)\} ]]; do
    name=${BASH_REMATCH[1]}
    before=${rest%%"\${$name}"*}
    rest=${rest#*"\${$name}"}
    if [[ $variables == *" $name "* && -n ${!name+set} ]]; then
      out+="$before$(value_for "$file" "$name"; printf x)"
      out=${out%x}
    else
      out+="$before\${$name}"
    fi
  done
  printf '%s\n' "$out$rest"
}

umask 077
for template in "$templates"/*; do
  file=${template##*/}
  [[ -f $template && $template != "$0" ]] || continue
  render "$file" "$(<"$template")" >"$SPARK_CONF_DIR/$file"
done

exec "$SPARK_HOME/bin/spark-submit" --class org.apache.spark.sql.connect.service.SparkConnectServer
{{- end -}}
