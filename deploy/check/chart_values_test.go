package check

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
)

// What is misspelt or cannot work is refused, by the schema or by the chart.
func TestNonsenseIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ given, says string }{
		"unknown key":                   {"proxi: {}", "proxi"},
		"unknown key below":             {"proxy: { replica: 3 }", "replica"},
		"no replicas":                   {"proxy: { replicas: 0 }", "replicas"},
		"a time with a unit":            {"proxy: { drainDelay: 15s }", "drainDelay"},
		"a network without a length":    {"proxy: { trust: [10.0.0.0] }", "trust"},
		"a key that is too short":       {"gossip: { key: c2hvcnQ= }", "key"},
		"a Redis of another scheme":     {"redis: { url: http://redis }", "url"},
		"a service type that leaks":     {"proxy: { service: { type: NodePort } }", "type"},
		"an admin port that is nowhere": {"proxy: { config: { admin: 127.0.0.1:9180 } }", "admin"},
		"a drain that is killed":        {"proxy: { config: { drain: { timeout: 1h } } }", "drain"},
		"the same for nodes":            {"nodes: { config: { drainTimeout: 3600000 } }", "drainTimeout"},
		"an ARN that is none":           {"ingress: { alb: { certificateArn: mine } }", "certificateArn"},
		"all pods may be evicted":       {"podDisruptionBudget: { maxUnavailable: 0 }", "maxUnavailable"},
		"an ALB of unknown subnets":     {"ingress: { alb: { enabled: true } }", "sourceRanges is needed"},
		"an NLB that is kept out":       {"proxy: { service: { type: LoadBalancer, annotations: { service.beta.kubernetes.io/aws-load-balancer-healthcheck-port: '9180' } } }", "networkPolicy.adminFrom must let the NLB"},
		"no Redis at all":               {"redis: { inChart: { enabled: false } }", "a Redis is needed"},

		"a listener that no Service leads to": {"proxy: { config: { listen: [{ address: ':8081' }] } }", "proxy.config.listen must be at :8080, "},
		"a listener that is out of reach":     {"proxy: { config: { listen: [{ address: '127.0.0.1:8080' }] } }", "proxy.config.listen"},
		"no listener":                         {"proxy: { config: { listen: [] } }", "proxy.config.listen"},
		"a listener without a port":           {"proxy: { config: { listen: [{ redirect_https: true }] } }", "missing property 'address'"},
		"HTTPS without its listener":          {"proxy: { tls: { existingSecret: my-tls }, config: { listen: [{ address: ':8080' }] } }", "must be at :8080 and :8443"},
		"HTTPS that is plain":                 {"proxy: { tls: { existingSecret: my-tls }, config: { listen: [{ address: ':8080' }, { address: ':8443' }] } }", ":8443 must have tls"},
		"plain HTTP that is HTTPS":            {"proxy: { config: { listen: [{ address: ':8080', tls: { cert: c, key: k } }] } }", ":8080 must not have tls"},
		"gossip at another port":              {"proxy: { config: { gossip: { bind: '0.0.0.0:7947' } } }", "proxy.config.gossip.bind"},
		"gossip by another address":           {"proxy: { config: { gossip: { advertise: '10.0.0.1:7947' } } }", "proxy.config.gossip.advertise"},
		"a cluster without nodes":             {"proxy: { config: { gossip: { cluster: other } } }", "proxy.config.gossip.cluster"},
		"an ALB that is not believed":         {"proxy: { config: { trust: [10.0.0.0/8] } }", "proxy.config.trust"},
		"health that nobody has":              {"proxy: { config: { health: { path: /up } } }", "proxy.config.health.path is /up"},
		"a variable that moves a listener":    {"proxy: { extraEnv: [{ name: DSPROXY_LISTEN, value: ':80' }] }", "proxy.extraEnv: DSPROXY_LISTEN"},
		"the same of the nodes":               {"nodes: { extraEnv: [{ name: DEEPSTREAM_PORT, value: '80' }] }", "nodes.extraEnv: DEEPSTREAM_PORT"},
		"a node's port in the old place":      {"nodes: { config: { port: 6021 } }", "nodes.config.port"},
		"a node's port that is gossip's":      {"nodes: { config: { httpServer: { options: { port: 7946 } } } }", "nodes.config.httpServer.options.port"},
		"a node's port for root alone":        {"nodes: { config: { httpServer: { options: { port: 80 } } } }", "port"},
		"a node that is out of reach":         {"nodes: { config: { httpServer: { options: { host: 127.0.0.1 } } } }", "nodes.config.httpServer.options.host"},
		"nodes that gossip elsewhere":         {"nodes: { config: { cluster: { bind: '0.0.0.0:7947' } } }", "nodes.config.cluster.bind"},
		"nodes of another cluster":            {"nodes: { config: { cluster: { name: other } } }", "nodes.config.cluster.name"},
	} {
		t.Run(name, func(t *testing.T) {
			chart := loadChart(t)
			v, err := values(chart, c.given)
			if err == nil {
				_, err = engine.Engine{Strict: true}.Render(chart, v)
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s gives the error %v, which does not speak of %s", c.given, err, c.says)
			}
		})
	}
}

// The Redis of the chart is there only where no other one is named.
func TestOwnRedisOnlyWithoutAnother(t *testing.T) {
	for given, want := range map[string]bool{"": true, "redis: { existingSecret: mine }": false, "redis: { url: redis.example.com:6379 }": false} {
		o, notes := install(t, given)
		if got := o["Deployment/"+release+"-dsproxy-redis"] != nil; got != want {
			t.Errorf("%q: a Redis is there: %t", given, got)
		}
		if got := strings.Contains(notes, "nothing on disk"); got != want {
			t.Errorf("%q: the notes warn: %t", given, got)
		}
	}
}

// Plain HTTP is sent to https where clients come by it, and not where an ALB does.
func TestRedirectOnlyWithoutALB(t *testing.T) {
	const tls = "proxy: { tls: { existingSecret: my-tls } }"
	for given, want := range map[string]bool{
		tls: true,
		tls + "\ningress: { alb: { enabled: true, sourceRanges: [10.0.0.0/16] } }": false,
	} {
		o, _ := install(t, given)
		if got := strings.Contains(configOf(t, o, release+"-dsproxy", "dsproxy.yaml"), "redirect_https"); got != want {
			t.Errorf("%s: redirects: %t", given, got)
		}
	}
}

// Neither a version of the chart nor of its labels replaces pods.
func TestPodsOutliveTheChart(t *testing.T) {
	o, _ := install(t, "")
	for _, w := range workloads(o) {
		for _, label := range []string{"helm.sh/chart", "app.kubernetes.io/version"} {
			if w.pod.Labels[label] != "" {
				t.Errorf("pods of %s have the label %s", w.name, label)
			}
		}
	}
}

// A change of the configuration replaces the pods.
func TestConfigurationReplacesPods(t *testing.T) {
	sums := func(given string) map[string]string {
		o, _ := install(t, given)
		all := map[string]string{}
		for _, w := range workloads(o) {
			all[w.name] = w.pod.Annotations["checksum/config"]
		}
		return all
	}
	before, after := sums(""), sums("proxy: { config: { log: { access: true } } }")
	if p := release + "-dsproxy"; before[p] == "" || before[p] == after[p] {
		t.Errorf("the checksum of dsproxy stays %q", before[p])
	}
	if n := release + "-dsproxy-nodes"; before[n] == "" || before[n] != after[n] {
		t.Errorf("the checksum of the nodes goes from %q to %q", before[n], after[n])
	}
}

// cluster is what lookup finds things in.
type cluster struct{ client dynamic.Interface }

func (c cluster) GetClientFor(_, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	return c.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: strings.ToLower(kind) + "s"}), true, nil
}

// The secrets that the first install makes up are kept by the next.
func TestSecretsAreMadeOnce(t *testing.T) {
	first, _ := install(t, "")
	keys := func(o objects) (gossip, password string) {
		return string(get[corev1.Secret](t, o, "Secret", release+"-dsproxy-gossip").Data["gossip-key"]),
			string(get[corev1.Secret](t, o, "Secret", release+"-dsproxy-redis").Data["password"])
	}
	gossip, password := keys(first)
	if raw, err := base64.StdEncoding.DecodeString(gossip); err != nil || len(raw) != 32 {
		t.Fatalf("the gossip key is %d bytes (%v)", len(raw), err)
	}
	var known []runtime.Object
	each(first, func(s *corev1.Secret) {
		s.Namespace, s.TypeMeta = space, metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}
		known = append(known, s)
	})
	client := fake.NewSimpleDynamicClient(clientscheme.Scheme, known...)
	if _, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace(space).Get(context.Background(), release+"-dsproxy-gossip", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	c := loadChart(t)
	v, err := values(c, "")
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.RenderWithClientProvider(c, v, cluster{client})
	if err != nil {
		t.Fatal(err)
	}
	second, _ := decode(t, files)
	if g, p := keys(second); g != gossip || p != password {
		t.Error("an upgrade makes up new secrets")
	}
	third, _ := install(t, "")
	if g, _ := keys(third); g == gossip {
		t.Error("two releases have one key")
	}
}

// Whoever turns scaling on scales by sessions.
func TestScalesBySessions(t *testing.T) {
	o, notes := install(t, "proxy: { autoscaling: { enabled: true } }\nnodes: { autoscaling: { enabled: true } }")
	for name, want := range map[string]string{release + "-dsproxy": "dsproxy_sessions_held", release + "-dsproxy-nodes": "deepstream_clients"} {
		h := get[autoscalingv2.HorizontalPodAutoscaler](t, o, "HorizontalPodAutoscaler", name)
		if !slices.ContainsFunc(h.Spec.Metrics, func(m autoscalingv2.MetricSpec) bool { return m.Pods != nil && m.Pods.Metric.Name == want }) {
			t.Errorf("%s does not scale by %s: %v", name, want, h.Spec.Metrics)
		}
	}
	if !strings.Contains(notes, "prometheus-adapter") {
		t.Errorf("the notes do not say what that needs: %s", notes)
	}
}

// A Helm that was built of its module takes itself for one of Kubernetes 1.20, and
// renders the chart all the same.
func TestAnyHelmRenders(t *testing.T) {
	if c := loadChart(t).Metadata.KubeVersion; c != "" && !chartutil.IsCompatibleRange(c, chartutil.DefaultCapabilities.KubeVersion.Version) {
		t.Errorf("kubeVersion %s refuses %s", c, chartutil.DefaultCapabilities.KubeVersion)
	}
}
