{{- define "dsproxy.name" -}}
{{- $name := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name)) -}}
{{- $name | trunc 46 | trimSuffix "-" -}}
{{- end -}}

{{- /* Labels by which pods are selected: they never change. Takes (dict "root" . "app" "dsproxy"). */ -}}
{{- define "dsproxy.selector" -}}
app.kubernetes.io/name: {{ .app }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{- /* Of pods: no version of the chart, which would replace them without need. */ -}}
{{- define "dsproxy.podLabels" -}}
{{ include "dsproxy.selector" . }}
app.kubernetes.io/part-of: dsproxy
{{- end -}}

{{- define "dsproxy.labels" -}}
{{ include "dsproxy.selector" . }}
app.kubernetes.io/part-of: dsproxy
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "dsproxy.image" -}}
{{- with .root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{- define "dsproxy.gossipSecret" -}}
{{ .Values.gossip.existingSecret | default (printf "%s-gossip" (include "dsproxy.name" .)) }}
{{- end -}}

{{- define "dsproxy.redisSecret" -}}
{{ .Values.redis.existingSecret | default (printf "%s-redis" (include "dsproxy.name" .)) }}
{{- end -}}

{{- /* "true" if the Redis of the chart is used. */ -}}
{{- define "dsproxy.ownRedis" -}}
{{- if not (or .Values.redis.existingSecret .Values.redis.url) -}}
{{- if not .Values.redis.inChart.enabled -}}
{{- fail "a Redis is needed: give redis.existingSecret or redis.url, or set redis.inChart.enabled for trying out" -}}
{{- end -}}
true
{{- end -}}
{{- end -}}

{{- /* The headless Service of the nodes, at which members are joined. */ -}}
{{- define "dsproxy.join" -}}
{{ include "dsproxy.name" . }}-nodes.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end -}}

{{- define "dsproxy.proxyGrace" -}}
{{ add .Values.proxy.drainDelay .Values.proxy.drainTimeout 15 }}
{{- end -}}

{{- define "dsproxy.proxyConfig" -}}
{{- $alb := .Values.ingress.alb -}}
{{- $tls := .Values.proxy.tls -}}
{{- if and $alb.enabled (not $alb.sourceRanges) -}}
{{- fail "ingress.alb.sourceRanges is needed: the subnets of the ALB" -}}
{{- end -}}
{{- $plain := dict "address" ":8080" -}}
{{- $listen := list $plain -}}
{{- if $tls.existingSecret -}}
{{- /* an ALB speaks plain HTTP to it */ -}}{{- if and $tls.redirect (not $alb.enabled) -}}{{- $_ := set $plain "redirect_https" true -}}{{- end -}}
{{- $listen = append $listen (dict "address" ":8443" "tls" (dict "cert" "/etc/dsproxy/tls/tls.crt" "key" "/etc/dsproxy/tls/tls.key")) -}}
{{- end -}}
{{- $config := dict
  "listen" $listen
  "admin" ":9180"
  "trust" (concat .Values.proxy.trust (ternary $alb.sourceRanges list $alb.enabled))
  "gossip" (dict "join" (list (include "dsproxy.join" .)) "cluster" .Values.cluster)
  "health" (dict "path" "/health-check")
  "timeouts" (dict "idle" (printf "%ds" (add (ternary (int $alb.idleTimeout) 60 $alb.enabled) 15)))
  "drain" (dict "delay" (printf "%ds" (int .Values.proxy.drainDelay)) "timeout" (printf "%ds" (int .Values.proxy.drainTimeout)))
  "log" (dict "format" "json")
-}}
{{- mergeOverwrite $config (deepCopy .Values.proxy.config) | toYaml -}}
{{- end -}}

{{- define "dsproxy.nodesConfig" -}}
{{- $config := dict
  "logLevel" "INFO"
  "admin" ":9120"
  "drainTimeout" (mul .Values.nodes.drainTimeout 1000)
  "cluster" (dict "name" .Values.cluster "join" (list (include "dsproxy.join" .)) "weight" .Values.nodes.weight)
  "httpServer" (dict "type" "default" "options" (dict "port" 6020 "healthCheckPath" "/health-check"))
  "logger" (dict "name" "pino")
  "auth" (list (dict "type" "none"))
  "permission" (dict "type" "none")
-}}
{{- mergeOverwrite $config (deepCopy .Values.nodes.config) | toYaml -}}
{{- end -}}

{{- /* Environment of both programs. Takes (dict "root" . "prefix" "DSPROXY" "part" .Values.proxy). */ -}}
{{- define "dsproxy.env" -}}
- name: {{ .prefix }}_ADVERTISE
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
- name: {{ .prefix }}_GOSSIP_KEY
  valueFrom: { secretKeyRef: { name: {{ include "dsproxy.gossipSecret" .root }}, key: gossip-key } }
- name: {{ .prefix }}_REDIS
  valueFrom: { secretKeyRef: { name: {{ include "dsproxy.redisSecret" .root }}, key: url } }
{{- with .part.goMemLimit }}
- name: GOMEMLIMIT
  value: {{ . }}
{{- end }}
{{- if .root.Values.redis.caSecret }}
- name: SSL_CERT_DIR # beside the authorities of the image
  value: /etc/ssl/certs:/etc/redis-ca
{{- end }}
{{- with .part.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "dsproxy.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "dsproxy.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end -}}

{{- define "dsproxy.spread" -}}
topologySpreadConstraints:
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "dsproxy.selector" $ | nindent 8 }}
{{- end }}
{{- end -}}

{{- define "dsproxy.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "dsproxy.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* An HPA. Takes root, app, kind, name, scale (the values), metric and average. */ -}}
{{- define "dsproxy.hpa" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  labels:
    {{- include "dsproxy.labels" . | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: {{ .kind }}, name: {{ .name }} }
  minReplicas: {{ .scale.minReplicas }}
  maxReplicas: {{ .scale.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: { type: Utilization, averageUtilization: {{ .scale.cpuPercent }} }
    {{- if .average }}
    - type: Pods
      pods:
        metric: { name: {{ .metric }} }
        target: { type: AverageValue, averageValue: {{ int64 .average | toString | quote }} }
    {{- end }}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 30
      policies: [{ type: Percent, value: 100, periodSeconds: 60 }]
    # A pod that goes moves its sessions: seldom, and one after another.
    scaleDown:
      stabilizationWindowSeconds: 600
      policies: [{ type: Pods, value: 1, periodSeconds: 300 }]
{{- end -}}

{{- define "dsproxy.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels:
    {{- include "dsproxy.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .root.Values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "dsproxy.selector" . | nindent 6 }}
{{- end -}}

{{- define "dsproxy.serviceMonitor" -}}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ .name }}
  labels:
    {{- include "dsproxy.labels" . | nindent 4 }}
    {{- with .root.Values.monitoring.serviceMonitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  jobLabel: app.kubernetes.io/name # the jobs dsproxy and deepstream
  selector:
    matchLabels:
      {{- include "dsproxy.selector" . | nindent 6 }}
      dsproxy.github.com/admin: "true"
  namespaceSelector:
    matchNames: [{{ .root.Release.Namespace }}]
  endpoints:
    - port: admin
      path: /metrics
      interval: {{ .root.Values.monitoring.serviceMonitor.interval }}
      relabelings: # by it the rules keep releases in one namespace apart
        - { targetLabel: fleet, replacement: {{ .root.Release.Name | quote }} }
{{- end -}}
