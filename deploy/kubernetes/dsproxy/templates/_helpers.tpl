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

{{- /* Refuses keys of a configuration that objects of the chart rest on. Takes at (a path of the values), in (what is there) and keys (what is refused, and why). */ -}}
{{- define "dsproxy.refuse" -}}
{{- range $key, $why := .keys -}}
{{- if hasKey ($.in | default dict) $key -}}{{- fail (printf "%s.%s cannot be given: %s" $.at $key $why) -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The same for variables, which win over the configuration. Takes at, in (extraEnv), prefix and names. */ -}}
{{- define "dsproxy.refuseEnv" -}}
{{- range .in -}}
{{- if has (trimPrefix (printf "%s_" $.prefix) (get . "name" | toString)) $.names -}}{{- fail (printf "%s: %s cannot be given: the chart sets it, or Services and probes rest on it" $.at .name) -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Listeners of one's own may differ in all but their addresses. */ -}}
{{- define "dsproxy.checkListen" -}}
{{- $want := ternary (list ":8080" ":8443") (list ":8080") (ne .Values.proxy.tls.existingSecret "") -}}
{{- $has := list -}}
{{- range .Values.proxy.config.listen -}}
{{- $has = append $has .address -}}
{{- if ne (hasKey . "tls") (eq .address ":8443") -}}{{- fail (printf "proxy.config.listen: %s must %s tls: ports 80 and 443 of the Service lead to :8080 and :8443" .address (ternary "not have" "have" (hasKey . "tls"))) -}}{{- end -}}
{{- end -}}
{{- if ne (sortAlpha $has | join " ") ($want | join " ") -}}
{{- fail (printf "proxy.config.listen must be at %s, to which the Service leads, and not at %s; :8443 is there with proxy.tls.existingSecret" (join " and " $want) (join " and " $has)) -}}
{{- end -}}
{{- end -}}

{{- /* A balancer that asks the admin port must be let in there, or no pod would be healthy. */ -}}
{{- define "dsproxy.checkNLB" -}}
{{- $port := get .Values.proxy.service.annotations "service.beta.kubernetes.io/aws-load-balancer-healthcheck-port" | toString -}}
{{- if and (eq .Values.proxy.service.type "LoadBalancer") (eq $port "9180") -}}
{{- $networks := list -}}
{{- range .Values.networkPolicy.adminFrom -}}{{- if hasKey . "ipBlock" -}}{{- $networks = append $networks .ipBlock -}}{{- end -}}{{- end -}}
{{- if not $networks -}}
{{- fail "networkPolicy.adminFrom must let the NLB's subnets in, as ipBlock: its health checks ask the admin port" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "dsproxy.proxyConfig" -}}
{{- $alb := .Values.ingress.alb -}}
{{- $tls := .Values.proxy.tls -}}
{{- $given := .Values.proxy.config -}}
{{- include "dsproxy.refuse" (dict "at" "proxy.config" "in" $given "keys" (dict
  "trust" "give proxy.trust, beside which the subnets of the ALB are believed")) -}}
{{- include "dsproxy.refuse" (dict "at" "proxy.config.gossip" "in" (get $given "gossip") "keys" (dict
  "bind" "the Services and NetworkPolicies are for :7946"
  "advertise" "it is the address of the pod"
  "cluster" "give cluster, which the nodes follow"
  "key" "give gossip.key or gossip.existingSecret" "key_file" "give gossip.key or gossip.existingSecret")) -}}
{{- include "dsproxy.refuseEnv" (dict "at" "proxy.extraEnv" "in" .Values.proxy.extraEnv "prefix" "DSPROXY" "names" (list
  "CONFIG" "LISTEN" "TLS_LISTEN" "ADMIN" "BIND" "ADVERTISE" "JOIN" "CLUSTER" "GOSSIP_KEY" "REDIS" "TRUST" "DRAIN_DELAY" "DRAIN_TIMEOUT")) -}}
{{- if hasKey $given "listen" -}}{{- include "dsproxy.checkListen" . -}}{{- end -}}
{{- $health := include "dsproxy.healthPath" . -}}
{{- $asked := dig "health" "path" $health $given -}}
{{- if ne $asked $health -}}
{{- fail (printf "proxy.config.health.path is %s, and the nodes answer at %s (nodes.config.httpServer.options.healthCheckPath): all of them would be down" $asked $health) -}}
{{- end -}}
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
  "health" (dict "path" $health)
  "timeouts" (dict "idle" (printf "%ds" (add (ternary (int $alb.idleTimeout) 60 $alb.enabled) 15)))
  "drain" (dict "delay" (printf "%ds" (int .Values.proxy.drainDelay)) "timeout" (printf "%ds" (int .Values.proxy.drainTimeout)))
  "log" (dict "format" "json")
-}}
{{- mergeOverwrite $config (deepCopy $given) | toYaml -}}
{{- end -}}

{{- /* At which the nodes tell their health, and dsproxy asks for it. */ -}}
{{- define "dsproxy.healthPath" -}}
{{- dig "httpServer" "options" "healthCheckPath" "/health-check" .Values.nodes.config -}}
{{- end -}}

{{- define "dsproxy.nodesConfig" -}}
{{- $given := .Values.nodes.config -}}
{{- include "dsproxy.refuse" (dict "at" "nodes.config" "in" $given "keys" (dict
  "port" "give nodes.config.httpServer.options.port, which the Service follows"
  "host" "a node listens at the address of its pod")) -}}
{{- include "dsproxy.refuse" (dict "at" "nodes.config.httpServer.options" "in" (dig "httpServer" "options" dict $given) "keys" (dict
  "host" "a node listens at the address of its pod"
  "ssl" "dsproxy reaches the nodes by plain HTTP; give proxy.tls")) -}}
{{- include "dsproxy.refuse" (dict "at" "nodes.config.cluster" "in" (get $given "cluster") "keys" (dict
  "name" "give cluster, which dsproxy follows"
  "bind" "the Services and NetworkPolicies are for :7946"
  "advertise" "it is the address of the pod"
  "address" "it is the address of the pod, with the port of the clients"
  "key" "give gossip.key or gossip.existingSecret")) -}}
{{- include "dsproxy.refuseEnv" (dict "at" "nodes.extraEnv" "in" .Values.nodes.extraEnv "prefix" "DEEPSTREAM" "names" (list
  "CONFIG" "NAME" "ZONE" "HOST" "PORT" "PUBLIC" "ADMIN" "BIND" "ADVERTISE" "JOIN" "CLUSTER" "GOSSIP_KEY" "REDIS")) -}}
{{- $config := dict
  "logLevel" "INFO"
  "admin" ":9120"
  "drainTimeout" (mul .Values.nodes.drainTimeout 1000)
  "cluster" (dict "name" .Values.cluster "join" (list (include "dsproxy.join" .)) "weight" .Values.nodes.weight)
  "httpServer" (dict "type" "default" "options" (dict "port" (include "dsproxy.clientPort" . | int) "healthCheckPath" (include "dsproxy.healthPath" .)))
  "logger" (dict "name" "pino")
  "auth" (list (dict "type" "none"))
  "permission" (dict "type" "none")
-}}
{{- mergeOverwrite $config (deepCopy $given) | toYaml -}}
{{- end -}}

{{- /* At which the nodes serve clients. */ -}}
{{- define "dsproxy.clientPort" -}}
{{- $port := dig "httpServer" "options" "port" 6020 .Values.nodes.config | int -}}
{{- if has $port (list 7946 9120) -}}{{- fail (printf "nodes.config.httpServer.options.port cannot be %d: gossip and the admin listener are at 7946 and 9120" $port) -}}{{- end -}}
{{- $port -}}
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
