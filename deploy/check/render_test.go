package check

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const (
	chartDir = "../kubernetes/dsproxy"
	release  = "fleet"
	space    = "realtime"
)

// valueSets are ways to install the chart, each over the defaults.
var valueSets = map[string]string{
	"defaults": ``,
	"an ALB and a Redis by Secret": `
redis: { existingSecret: my-redis, caSecret: my-ca }
gossip: { existingSecret: my-gossip }
image: { registry: 123456789012.dkr.ecr.eu-central-1.amazonaws.com/fleet/, pullSecrets: [pull] }
ingress:
  alb:
    enabled: true
    host: realtime.example.com
    certificateArn: arn:aws:acm:eu-central-1:123456789012:certificate/0000
    sourceRanges: [10.0.1.0/24, 10.0.2.0/24]
    idleTimeout: 120
proxy: { drainDelay: 20, drainTimeout: 300 }
nodes:
  drainTimeout: 45
  config: { auth: [{ type: none }], rpc: { ackTimeout: 2000 } }
`,
	"TLS, an NLB and a Redis by URL": `
redis: { url: "rediss://:secret@redis.example.com:6379/0" }
gossip: { key: "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=" }
proxy:
  tls: { existingSecret: my-tls }
  trust: [10.0.0.0/8]
  config: { limits: { connections: 1000 }, timeouts: { long_poll: 90s } }
  service: { type: LoadBalancer, loadBalancerSourceRanges: [0.0.0.0/0], annotations: { service.beta.kubernetes.io/aws-load-balancer-type: external } }
networkPolicy: { clientsFrom: [{ ipBlock: { cidr: 10.0.0.0/8 } }], adminFrom: [] }
podDisruptionBudget: { maxUnavailable: 25% }
`,
	"scaled and watched": `
fullnameOverride: edge
proxy: { autoscaling: { enabled: true, sessions: 20000 }, podAnnotations: { a: b }, nodeSelector: { disk: ssd }, tolerations: [{ operator: Exists }], affinity: { nodeAffinity: {} }, priorityClassName: high, extraEnv: [{ name: TZ, value: UTC }] }
nodes: { autoscaling: { enabled: true, clients: 5000 }, partition: 1, extraVolumes: [{ name: users, secret: { secretName: users } }], extraVolumeMounts: [{ name: users, mountPath: /etc/deepstream/users }] }
monitoring: { serviceMonitor: { enabled: true, labels: { release: prometheus } }, rules: { enabled: true }, dashboards: { enabled: true } }
`,
	"listeners, ports and paths of one's own": `
proxy:
  tls: { existingSecret: my-tls }
  trust: [10.0.0.0/8]
  extraEnv: [{ name: DSPROXY_LOG_LEVEL, value: debug }]
  config:
    listen:
      - { address: ":8443", proxy_protocol: true, tls: { cert: /etc/dsproxy/tls/tls.crt, key: /etc/dsproxy/tls/tls.key } }
      - { address: ":8080", proxy_protocol: true }
nodes: { config: { httpServer: { options: { port: 6021, healthCheckPath: /health } } } }
`,
	"without policies and budgets": `
networkPolicy: { enabled: false }
podDisruptionBudget: { enabled: false }
proxy: { autoscaling: { enabled: true }, goMemLimit: "" }
`,
}

// objects are what a rendered chart consists of, by kind and name.
type objects map[string]metav1.Object

func get[T any](t *testing.T, o objects, kind, name string) *T {
	t.Helper()
	obj, ok := any(o[kind+"/"+name]).(*T)
	if !ok {
		t.Fatalf("no %s %s; there are %v", kind, name, slices.Sorted(maps.Keys(o)))
	}
	return obj
}

func each[T any](o objects, f func(*T)) {
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if obj, ok := any(o[key]).(*T); ok {
			f(obj)
		}
	}
}

// kinds are the types that objects of the chart are decoded into.
var kinds = map[string]func() metav1.Object{
	"v1/ServiceAccount":                       func() metav1.Object { return new(corev1.ServiceAccount) },
	"v1/ConfigMap":                            func() metav1.Object { return new(corev1.ConfigMap) },
	"v1/Secret":                               func() metav1.Object { return new(corev1.Secret) },
	"v1/Service":                              func() metav1.Object { return new(corev1.Service) },
	"apps/v1/Deployment":                      func() metav1.Object { return new(appsv1.Deployment) },
	"apps/v1/StatefulSet":                     func() metav1.Object { return new(appsv1.StatefulSet) },
	"autoscaling/v2/HorizontalPodAutoscaler":  func() metav1.Object { return new(autoscalingv2.HorizontalPodAutoscaler) },
	"policy/v1/PodDisruptionBudget":           func() metav1.Object { return new(policyv1.PodDisruptionBudget) },
	"networking.k8s.io/v1/NetworkPolicy":      func() metav1.Object { return new(networkingv1.NetworkPolicy) },
	"networking.k8s.io/v1/Ingress":            func() metav1.Object { return new(networkingv1.Ingress) },
	"monitoring.coreos.com/v1/ServiceMonitor": func() metav1.Object { return new(monitoringv1.ServiceMonitor) },
	"monitoring.coreos.com/v1/PrometheusRule": func() metav1.Object { return new(monitoringv1.PrometheusRule) },
}

func loadChart(t *testing.T) *chart.Chart {
	t.Helper()
	log.SetOutput(io.Discard) // Helm tells of each symbolic link
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

// values puts given ones over the defaults, checked by the schema.
func values(c *chart.Chart, given string) (chartutil.Values, error) {
	return valuesAs(c, release, given)
}

func valuesAs(c *chart.Chart, name, given string) (chartutil.Values, error) {
	over, err := chartutil.ReadValues([]byte(given))
	if err != nil {
		return nil, err
	}
	return chartutil.ToRenderValues(c, over, chartutil.ReleaseOptions{Name: name, Namespace: space, IsInstall: true}, chartutil.DefaultCapabilities)
}

// install renders the chart and decodes what comes out. Fields that a type does not
// have are errors, and so are keys that come twice.
func install(t *testing.T, given string) (objects, string) {
	t.Helper()
	return installAs(t, release, given)
}

func installAs(t *testing.T, name, given string) (objects, string) {
	t.Helper()
	c := loadChart(t)
	v, err := valuesAs(c, name, given)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Engine{Strict: true}.Render(c, v)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, files)
}

func decode(t *testing.T, files map[string]string) (_ objects, notes string) {
	t.Helper()
	all := objects{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case path.Base(name) == "NOTES.txt":
			notes = files[name]
			continue
		case strings.HasPrefix(path.Base(name), "_"):
			continue
		}
		docs := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(files[name])))
		for {
			doc, err := docs.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			obj, err := decodeOne(doc)
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, doc)
			}
			if obj == nil {
				continue
			}
			key := fmt.Sprintf("%s/%s", kindOf(doc).Kind, obj.GetName())
			if all[key] != nil {
				t.Errorf("%s comes twice", key)
			}
			all[key] = obj
		}
	}
	return all, notes
}

func kindOf(doc []byte) (m metav1.TypeMeta) {
	_ = yaml.Unmarshal(doc, &m) // what is wrong with it is said by decodeOne
	return m
}

func decodeOne(doc []byte) (metav1.Object, error) {
	var any map[string]any
	if err := yaml.UnmarshalStrict(doc, &any); err != nil {
		return nil, err
	}
	if len(any) == 0 { // comments
		return nil, nil
	}
	m := kindOf(doc)
	fresh, ok := kinds[m.APIVersion+"/"+m.Kind]
	if !ok {
		return nil, fmt.Errorf("%s %s is not among the kinds that are checked", m.APIVersion, m.Kind)
	}
	obj := fresh()
	if err := yaml.UnmarshalStrict(bytes.TrimSpace(doc), obj); err != nil {
		return nil, err
	}
	return obj, nil
}
