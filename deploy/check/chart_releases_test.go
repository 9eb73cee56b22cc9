package check

import (
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Two releases in one namespace share no object, take none of the other's pods, and
// are two fleets to Prometheus.
func TestReleasesShareANamespace(t *testing.T) {
	const given = "monitoring: { serviceMonitor: { enabled: true } }"
	one, _ := installAs(t, "one", given)
	two, _ := installAs(t, "two", given)
	for key := range one {
		if two[key] != nil {
			t.Errorf("both have a %s", key)
		}
	}
	others := workloads(two)
	foreign := func(what string, selector map[string]string) {
		t.Helper()
		for _, w := range others {
			if labels.SelectorFromSet(selector).Matches(labels.Set(w.pod.Labels)) {
				t.Errorf("%s of one takes the pods of %s", what, w.name)
			}
		}
	}
	for _, w := range workloads(one) {
		foreign(w.kind+" "+w.name, w.selector.MatchLabels)
	}
	each(one, func(s *corev1.Service) { foreign("Service "+s.Name, s.Spec.Selector) })
	each(one, func(p *networkingv1.NetworkPolicy) {
		foreign("NetworkPolicy "+p.Name, p.Spec.PodSelector.MatchLabels)
	})
	fleets := map[string]int{}
	for _, o := range []objects{one, two} {
		each(o, func(m *monitoringv1.ServiceMonitor) {
			for _, r := range m.Spec.Endpoints[0].RelabelConfigs {
				if r.TargetLabel == "fleet" && r.Replacement != nil {
					fleets[*r.Replacement]++
				}
			}
			each(two, func(s *corev1.Service) {
				if one["ServiceMonitor/"+m.Name] != nil && labels.SelectorFromSet(m.Spec.Selector.MatchLabels).Matches(labels.Set(s.Labels)) {
					t.Errorf("ServiceMonitor %s of one scrapes Service %s of two", m.Name, s.Name)
				}
			})
		})
	}
	if len(fleets) != 2 || fleets["one"] != 2 || fleets["two"] != 2 { // proxies and nodes of each
		t.Errorf("the ServiceMonitors name the fleets %v", fleets)
	}
}
