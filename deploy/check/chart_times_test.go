package check

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// proxyTimes are those of the configuration file of dsproxy.
type proxyTimes struct {
	Admin    string
	Trust    []string
	Timeouts struct{ Idle metaDuration }
	Drain    struct{ Delay, Timeout metaDuration }
}

type metaDuration struct{ time.Duration }

func (d *metaDuration) UnmarshalJSON(b []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(b[1 : len(b)-1]))
	return err
}

func readTimes(t *testing.T, o objects, name string) (p proxyTimes) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(configOf(t, o, name, "dsproxy.yaml")), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// Nobody is killed who still drains, and balancers know before a listener closes.
func TestTimesAreInStep(t *testing.T) {
	for name, given := range valueSets {
		t.Run(name, func(t *testing.T) {
			o, _ := install(t, given)
			var proxy *appsv1.Deployment
			each(o, func(d *appsv1.Deployment) {
				if d.Labels["app.kubernetes.io/name"] == "dsproxy" {
					proxy = d
				}
			})
			times := readTimes(t, o, proxy.Name)
			drain := times.Drain.Delay.Duration + times.Drain.Timeout.Duration
			if grace := *proxy.Spec.Template.Spec.TerminationGracePeriodSeconds; time.Duration(grace)*time.Second < drain+10*time.Second {
				t.Errorf("dsproxy drains for %v and is killed after %d s", drain, grace)
			}
			ready := proxy.Spec.Template.Spec.Containers[0].ReadinessProbe
			if notice := time.Duration(ready.PeriodSeconds*ready.FailureThreshold+ready.TimeoutSeconds) * time.Second; times.Drain.Delay.Duration < notice {
				t.Errorf("readiness is noticed after %v, the listeners close after %v", notice, times.Drain.Delay)
			}
			if u := proxy.Spec.Strategy.RollingUpdate; u.MaxUnavailable.IntValue() != 0 || u.MaxSurge.IntValue() < 1 {
				t.Errorf("an update takes a replica away before its successor serves: %v", u)
			}
			each(o, func(s *appsv1.StatefulSet) {
				var node struct{ DrainTimeout int64 }
				if err := yaml.Unmarshal([]byte(configOf(t, o, s.Name, "config.yml")), &node); err != nil {
					t.Fatal(err)
				}
				// The node gives itself 10 s beyond its drain for what it has to write.
				if grace := *s.Spec.Template.Spec.TerminationGracePeriodSeconds; node.DrainTimeout == 0 || grace*1000 < node.DrainTimeout+11_000 {
					t.Errorf("a node drains for %d ms and is killed after %d s", node.DrainTimeout, grace)
				}
			})
			for _, w := range workloads(o) {
				checkGoMemory(t, w)
			}
			each(o, func(i *networkingv1.Ingress) { checkALB(t, i, times) })
		})
	}
}

// checkGoMemory wants the collector to know of the limit before the kernel does.
func checkGoMemory(t *testing.T, w workload) {
	t.Helper()
	for _, e := range w.container().Env {
		if e.Name != "GOMEMLIMIT" {
			continue
		}
		limit := w.container().Resources.Limits.Memory().Value()
		soft, err := resource.ParseQuantity(e.Value[:len(e.Value)-1]) // MiB is Mi to Kubernetes
		if err != nil {
			t.Fatal(err)
		}
		if soft.Value() > limit*95/100 || soft.Value() < limit*80/100 {
			t.Errorf("%s: GOMEMLIMIT %s beside a limit of %d MiB", w.name, e.Value, limit>>20)
		}
	}
}

func checkALB(t *testing.T, i *networkingv1.Ingress, times proxyTimes) {
	t.Helper()
	const prefix = "alb.ingress.kubernetes.io/"
	a := i.Annotations
	var idle, deregistration, interval, failures int
	scan := func(name, format string, to ...any) {
		t.Helper()
		if _, err := fmt.Sscanf(a[prefix+name], format, to...); err != nil {
			t.Errorf("%s: %q: %v", name, a[prefix+name], err)
		}
	}
	scan("load-balancer-attributes", "idle_timeout.timeout_seconds=%d", &idle)
	scan("target-group-attributes", "stickiness.enabled=false,load_balancing.algorithm.type=round_robin,deregistration_delay.timeout_seconds=%d", &deregistration)
	scan("healthcheck-interval-seconds", "%d", &interval)
	scan("unhealthy-threshold-count", "%d", &failures)
	seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
	if times.Timeouts.Idle.Duration <= seconds(idle) {
		t.Errorf("dsproxy closes idle connections after %v, the ALB after %d s: it would send requests into closing ones", times.Timeouts.Idle, idle)
	}
	if drain := times.Drain.Delay.Duration + times.Drain.Timeout.Duration; seconds(deregistration) != drain {
		t.Errorf("the ALB lets a target go after %d s, which drains for %v", deregistration, drain)
	}
	if notice := seconds(interval * failures); notice > times.Drain.Delay.Duration {
		t.Errorf("the ALB notices after %v, the listeners close after %v", notice, times.Drain.Delay)
	}
	for name, want := range map[string]string{"target-type": "ip", "healthcheck-path": "/readyz", "healthcheck-port": times.Admin[1:], "ssl-redirect": "443"} {
		if a[prefix+name] != want {
			t.Errorf("%s is %q, not %q", name, a[prefix+name], want)
		}
	}
	if len(times.Trust) != 2 {
		t.Errorf("dsproxy trusts %v, not the ALB's two subnets", times.Trust)
	}
}

// The NLB that the values show, once it is let in, keeps the addresses of clients,
// asks for readiness, and lets a target go for as long as it drains.
func TestNLBOfTheValues(t *testing.T) {
	src, err := os.ReadFile(chartDir + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for _, line := range strings.Split(string(src), "\n") {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "#   service.beta.kubernetes.io/"); ok {
			shown.WriteString("      service.beta.kubernetes.io/" + rest + "\n")
		}
	}
	const subnet = "networkPolicy: { adminFrom: [{ ipBlock: { cidr: 10.0.0.0/20 } }] }\n"
	o, _ := install(t, subnet+"proxy:\n  service:\n    type: LoadBalancer\n    annotations:\n"+shown.String())
	name := release + "-dsproxy"
	a := get[corev1.Service](t, o, "Service", name).Annotations
	const prefix = "service.beta.kubernetes.io/aws-load-balancer-"
	times := readTimes(t, o, name)
	drain := times.Drain.Delay.Duration + times.Drain.Timeout.Duration
	for key, want := range map[string]string{
		"type": "external", "nlb-target-type": "ip", "healthcheck-port": times.Admin[1:], "healthcheck-path": "/readyz", "healthcheck-protocol": "http",
		"target-group-attributes": fmt.Sprintf("preserve_client_ip.enabled=true,deregistration_delay.timeout_seconds=%.0f", drain.Seconds()),
	} {
		if a[prefix+key] != want {
			t.Errorf("%s is %q, want %q", key, a[prefix+key], want)
		}
	}
	interval, _ := strconv.Atoi(a[prefix+"healthcheck-interval"])
	failures, _ := strconv.Atoi(a[prefix+"healthcheck-unhealthy-threshold"])
	if notice := time.Duration(interval*failures) * time.Second; notice == 0 || notice > times.Drain.Delay.Duration {
		t.Errorf("the NLB notices after %v, the listeners close after %v", notice, times.Drain.Delay)
	}
}
