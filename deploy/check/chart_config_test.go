package check

import (
	"net"
	"slices"
	"strconv"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// gossipPort is what both programs bind unless they are told otherwise.
const gossipPort = 7946

// proxyFile and nodeFile are what the tests look at in the configuration files.
type proxyFile struct {
	Listen []struct {
		Address string
		TLS     *struct{ Cert string }
	}
	Admin  string
	Gossip struct {
		Join    []string
		Cluster string
	}
	Health struct{ Path string }
}

type nodeFile struct {
	Admin   string
	Cluster struct {
		Name string
		Join []string
	}
	HTTPServer struct {
		Options struct {
			Port            int32
			HealthCheckPath string
		}
	}
}

// The programs listen at the ports that the objects name, and meet: at the nodes'
// headless Service, in one cluster, with one key and one Redis.
func TestConfigurationFitsObjects(t *testing.T) {
	for name, given := range valueSets {
		t.Run(name, func(t *testing.T) {
			o, _ := install(t, given)
			var proxy, node workload
			for _, w := range workloads(o) {
				switch w.pod.Labels["app.kubernetes.io/name"] {
				case "dsproxy":
					proxy = w
				case "deepstream":
					node = w
				}
			}
			var p proxyFile
			readConfig(t, o, proxy.name, "dsproxy.yaml", &p)
			var n nodeFile
			readConfig(t, o, node.name, "config.yml", &n)

			listens := []int32{portOf(t, p.Admin), gossipPort}
			for _, l := range p.Listen {
				listens = append(listens, portOf(t, l.Address))
			}
			wantPorts(t, proxy, listens)
			wantPorts(t, node, []int32{portOf(t, n.Admin), gossipPort, n.HTTPServer.Options.Port})
			wantNumbers(t, o, proxy, p.numbers(t))
			wantNumbers(t, o, node, map[string]int32{"client": n.HTTPServer.Options.Port, "admin": portOf(t, n.Admin)})

			each(o, func(s *appsv1.StatefulSet) {
				want := []string{s.Spec.ServiceName + "." + space + ".svc.cluster.local"}
				if !slices.Equal(p.Gossip.Join, want) || !slices.Equal(n.Cluster.Join, want) {
					t.Errorf("dsproxy joins at %v, the nodes at %v, their Service is %v", p.Gossip.Join, n.Cluster.Join, want)
				}
			})
			if p.Gossip.Cluster != n.Cluster.Name || n.Cluster.Name == "" {
				t.Errorf("dsproxy is in the cluster %q, the nodes in %q", p.Gossip.Cluster, n.Cluster.Name)
			}
			if p.Health.Path != n.HTTPServer.Options.HealthCheckPath {
				t.Errorf("dsproxy asks for %s, the nodes answer at %s", p.Health.Path, n.HTTPServer.Options.HealthCheckPath)
			}
			for entry, suffix := range map[string]string{"gossip-key": "_GOSSIP_KEY", "url": "_REDIS"} {
				a, b := secretOf(t, proxy, "DSPROXY"+suffix), secretOf(t, node, "DEEPSTREAM"+suffix)
				if a.Name != b.Name || a.Key != entry || b.Key != entry {
					t.Errorf("%s is %s of %s to dsproxy, %s of %s to the nodes", suffix, a.Key, a.Name, b.Key, b.Name)
				}
			}
		})
	}
}

func readConfig(t *testing.T, o objects, name, file string, to any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(configOf(t, o, name, file)), to); err != nil {
		t.Fatal(err)
	}
}

// portOf is the port of an address that every interface has: a loopback one would be
// out of reach of Services and kubelet.
func portOf(t *testing.T, address string) int32 {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil || host != "" {
		t.Errorf("%q is not an address of all interfaces (%v)", address, err)
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		t.Error(err)
	}
	return int32(number)
}

// wantPorts wants a container to have the ports that it listens at and no others.
func wantPorts(t *testing.T, w workload, want []int32) {
	t.Helper()
	var has []int32
	for _, p := range w.container().Ports {
		if !slices.Contains(has, p.ContainerPort) {
			has = append(has, p.ContainerPort)
		}
	}
	slices.Sort(has)
	slices.Sort(want)
	if !slices.Equal(has, want) {
		t.Errorf("%s listens at %v, its container has the ports %v", w.name, want, has)
	}
}

// numbers are the ports that dsproxy listens at, by the names that the chart gives them.
func (p *proxyFile) numbers(t *testing.T) map[string]int32 {
	t.Helper()
	all := map[string]int32{"admin": portOf(t, p.Admin)}
	for _, l := range p.Listen {
		name := "http"
		if l.TLS != nil {
			name = "https"
		}
		all[name] = portOf(t, l.Address)
	}
	return all
}

// wantNumbers wants a container's ports, and the headless Services that lead to them,
// which do not translate, to have the numbers that the program listens at.
func wantNumbers(t *testing.T, o objects, w workload, want map[string]int32) {
	t.Helper()
	for name, number := range want {
		if got := numberOf(w, name); got != number {
			t.Errorf("port %s of %s is %d, it listens at %d", name, w.name, got, number)
		}
	}
	each(o, func(s *corev1.Service) {
		if s.Spec.ClusterIP != corev1.ClusterIPNone || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(w.pod.Labels)) {
			return
		}
		for _, p := range s.Spec.Ports {
			if number, ok := want[p.TargetPort.StrVal]; ok && p.Port != number {
				t.Errorf("Service %s has %s at %d, %s listens at %d", s.Name, p.Name, p.Port, w.name, number)
			}
		}
	})
}

func numberOf(w workload, name string) int32 {
	for _, p := range w.container().Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}

func secretOf(t *testing.T, w workload, variable string) corev1.SecretKeySelector {
	t.Helper()
	for _, e := range w.container().Env {
		if e.Name == variable && e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			return *e.ValueFrom.SecretKeyRef
		}
	}
	t.Fatalf("%s gets no %s from a Secret", w.name, variable)
	return corev1.SecretKeySelector{}
}
