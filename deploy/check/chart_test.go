package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
)

// workload is a Deployment or StatefulSet.
type workload struct {
	kind, name string
	selector   *metav1.LabelSelector
	pod        corev1.PodTemplateSpec
}

func workloads(o objects) (all []workload) {
	each(o, func(d *appsv1.Deployment) {
		all = append(all, workload{"Deployment", d.Name, d.Spec.Selector, d.Spec.Template})
	})
	each(o, func(s *appsv1.StatefulSet) {
		all = append(all, workload{"StatefulSet", s.Name, s.Spec.Selector, s.Spec.Template})
	})
	return all
}

func (w *workload) container() *corev1.Container { return &w.pod.Spec.Containers[0] }

func (w *workload) port(p intstr.IntOrString, protocol corev1.Protocol) bool {
	return slices.ContainsFunc(w.container().Ports, func(c corev1.ContainerPort) bool {
		return c.Protocol == protocol && (p.StrVal == c.Name || p.Type == intstr.Int && p.IntVal == c.ContainerPort)
	})
}

// each value set gives objects that fit together.
func TestObjectsFitTogether(t *testing.T) {
	for name, given := range valueSets {
		t.Run(name, func(t *testing.T) {
			o, notes := install(t, given)
			if !strings.Contains(notes, "deepstream nodes") {
				t.Errorf("the notes are %q", notes)
			}
			for key, obj := range o {
				if obj.GetLabels()["app.kubernetes.io/instance"] != release {
					t.Errorf("%s has the labels %v", key, obj.GetLabels())
				}
				for _, problem := range validation.IsDNS1123Subdomain(obj.GetName()) {
					t.Errorf("%s: %s", key, problem)
				}
			}
			all := workloads(o)
			if len(all) < 2 {
				t.Fatalf("%d workloads", len(all))
			}
			for _, w := range all {
				checkWorkload(t, o, w)
			}
			checkServices(t, o, all)
			checkPolicies(t, o, all)
			checkScaling(t, o, all)
			checkMonitors(t, o)
			checkIngress(t, o)
		})
	}
}

// foreign are objects that the value sets name and the user brings.
var foreign = []string{"Secret/my-redis", "Secret/my-ca", "Secret/my-gossip", "Secret/my-tls", "Secret/users"}

func checkWorkload(t *testing.T, o objects, w workload) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s %s: %s", w.kind, w.name, fmt.Sprintf(format, args...))
	}
	exists := func(key, entry string) {
		t.Helper()
		switch obj := any(o[key]).(type) {
		case *corev1.Secret:
			if _, ok := obj.Data[entry]; entry != "" && !ok {
				fail("%s has no entry %s", key, entry)
			}
		case *corev1.ConfigMap:
		case nil:
			if !slices.Contains(foreign, key) {
				fail("refers to %s, which is not there", key)
			}
		}
	}
	selector, err := metav1.LabelSelectorAsSelector(w.selector)
	if err != nil || !selector.Matches(labels.Set(w.pod.Labels)) {
		fail("selects %v, its pods have %v (%v)", w.selector, w.pod.Labels, err)
	}
	spec := &w.pod.Spec
	if o["ServiceAccount/"+spec.ServiceAccountName] == nil {
		fail("runs as %q, which is no ServiceAccount", spec.ServiceAccountName)
	}
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		fail("gets a token that it does not need")
	}
	volumes := map[string]bool{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
		switch {
		case v.ConfigMap != nil:
			exists("ConfigMap/"+v.ConfigMap.Name, "")
		case v.Secret != nil:
			exists("Secret/"+v.Secret.SecretName, "")
		}
	}
	c := w.container()
	if strings.HasPrefix(c.Image, "/") || strings.Contains(c.Image, "//") || !strings.Contains(c.Image, ":") {
		fail("its image is %q", c.Image)
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			fail("mounts %s, which is no volume", m.Name)
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			exists("Secret/"+e.ValueFrom.SecretKeyRef.Name, e.ValueFrom.SecretKeyRef.Key)
		}
	}
	for _, p := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
		switch {
		case p == nil && w.pod.Labels["app.kubernetes.io/name"] == "redis":
		case p == nil:
			fail("lacks a probe")
		case p.HTTPGet != nil && !w.port(p.HTTPGet.Port, corev1.ProtocolTCP),
			p.TCPSocket != nil && !w.port(p.TCPSocket.Port, corev1.ProtocolTCP):
			fail("is probed at a port that it does not have")
		}
	}
	checkHardened(fail, spec, c)
	for _, s := range spec.TopologySpreadConstraints {
		if !maps.Equal(s.LabelSelector.MatchLabels, w.selector.MatchLabels) {
			fail("is spread by %v", s.LabelSelector.MatchLabels)
		}
	}
}

// checkHardened wants what the profile "restricted" of Kubernetes' pod security
// standards wants, and a root file system that nobody writes to.
func checkHardened(fail func(string, ...any), spec *corev1.PodSpec, c *corev1.Container) {
	pod, own := spec.SecurityContext, c.SecurityContext
	switch {
	case pod == nil || own == nil:
		fail("has no security context")
	case pod.RunAsNonRoot == nil || !*pod.RunAsNonRoot || pod.RunAsUser == nil || *pod.RunAsUser == 0:
		fail("may run as root")
	case pod.SeccompProfile == nil || pod.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
		fail("has no seccomp profile")
	case own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation:
		fail("may get more privileges")
	case own.ReadOnlyRootFilesystem == nil || !*own.ReadOnlyRootFilesystem:
		fail("may write to its root file system")
	case own.Capabilities == nil || !slices.Equal(own.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(own.Capabilities.Add) > 0:
		fail("keeps capabilities")
	case c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero():
		fail("has no request of CPU or no limit of memory")
	}
}

func checkServices(t *testing.T, o objects, all []workload) {
	t.Helper()
	each(o, func(s *corev1.Service) {
		i := slices.IndexFunc(all, func(w workload) bool {
			return labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(w.pod.Labels))
		})
		if i < 0 {
			t.Errorf("Service %s selects nothing: %v", s.Name, s.Spec.Selector)
			return
		}
		for _, p := range s.Spec.Ports {
			if !all[i].port(p.TargetPort, p.Protocol) {
				t.Errorf("Service %s: %s leads to %s, which is no port of %s", s.Name, p.Name, p.TargetPort.String(), all[i].name)
			}
			// The admin port has no authentication: no Service leads to it but headless ones.
			if p.TargetPort.StrVal == "admin" && s.Spec.ClusterIP != corev1.ClusterIPNone {
				t.Errorf("Service %s leads to the admin port", s.Name)
			}
		}
	})
	each(o, func(s *appsv1.StatefulSet) {
		headless := get[corev1.Service](t, o, "Service", s.Spec.ServiceName)
		if headless.Spec.ClusterIP != corev1.ClusterIPNone || !headless.Spec.PublishNotReadyAddresses {
			t.Errorf("Service %s is not headless, or does not name nodes that are not ready yet", headless.Name)
		}
	})
}

func checkPolicies(t *testing.T, o objects, all []workload) {
	t.Helper()
	covered := map[string]bool{}
	each(o, func(p *networkingv1.NetworkPolicy) {
		selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range all {
			if !selector.Matches(labels.Set(w.pod.Labels)) {
				continue
			}
			covered[w.name] = true
			for _, rule := range p.Spec.Ingress {
				for _, port := range rule.Ports {
					if !w.port(*port.Port, *port.Protocol) {
						t.Errorf("NetworkPolicy %s lets %s through, which is no port of %s", p.Name, port.Port, w.name)
					}
					if name := port.Port.StrVal; name != "http" && name != "https" && len(rule.From) == 0 {
						t.Errorf("NetworkPolicy %s lets everyone reach %s", p.Name, name)
					}
				}
				for _, from := range rule.From {
					if from.PodSelector == nil || from.NamespaceSelector != nil {
						continue
					}
					peer, err := metav1.LabelSelectorAsSelector(from.PodSelector)
					if err != nil || !slices.ContainsFunc(all, func(w workload) bool { return peer.Matches(labels.Set(w.pod.Labels)) }) {
						t.Errorf("NetworkPolicy %s lets nobody through: %v (%v)", p.Name, from.PodSelector, err)
					}
				}
			}
		}
	})
	if len(covered) > 0 && len(covered) != len(all) {
		t.Errorf("NetworkPolicies cover %v of %d workloads", covered, len(all))
	}
}

func checkScaling(t *testing.T, o objects, all []workload) {
	t.Helper()
	find := func(kind, name string) *workload {
		i := slices.IndexFunc(all, func(w workload) bool { return w.kind == kind && w.name == name })
		if i < 0 {
			return nil
		}
		return &all[i]
	}
	each(o, func(h *autoscalingv2.HorizontalPodAutoscaler) {
		if find(h.Spec.ScaleTargetRef.Kind, h.Spec.ScaleTargetRef.Name) == nil {
			t.Errorf("HPA %s scales %v, which is not there", h.Name, h.Spec.ScaleTargetRef)
		}
		switch w := any(o[h.Spec.ScaleTargetRef.Kind+"/"+h.Spec.ScaleTargetRef.Name]).(type) {
		case *appsv1.Deployment:
			if w.Spec.Replicas != nil {
				t.Errorf("HPA %s and the Deployment set the replicas", h.Name)
			}
		case *appsv1.StatefulSet:
			if w.Spec.Replicas != nil {
				t.Errorf("HPA %s and the StatefulSet set the replicas", h.Name)
			}
		}
		for _, m := range h.Spec.Metrics {
			if m.Type == autoscalingv2.PodsMetricSourceType && !slices.Contains(adapterMetrics(t), m.Pods.Metric.Name) {
				t.Errorf("HPA %s: adapter.values.yml has no rule for %s", h.Name, m.Pods.Metric.Name)
			}
		}
	})
	each(o, func(p *policyv1.PodDisruptionBudget) {
		if !slices.ContainsFunc(all, func(w workload) bool { return maps.Equal(w.selector.MatchLabels, p.Spec.Selector.MatchLabels) }) {
			t.Errorf("PodDisruptionBudget %s is for nobody: %v", p.Name, p.Spec.Selector)
		}
	})
}

func checkMonitors(t *testing.T, o objects) {
	t.Helper()
	each(o, func(m *monitoringv1.ServiceMonitor) {
		// The rules count the nodes of each fleet: releases in one namespace differ by it.
		if r := m.Spec.Endpoints[0].RelabelConfigs; len(r) != 1 || r[0].TargetLabel != "fleet" || r[0].Replacement == nil || *r[0].Replacement != release {
			t.Errorf("ServiceMonitor %s does not name the release: %+v", m.Name, r)
		}
		jobs := 0
		each(o, func(s *corev1.Service) {
			if !labels.SelectorFromSet(m.Spec.Selector.MatchLabels).Matches(labels.Set(s.Labels)) {
				return
			}
			jobs++
			if job := s.Labels[m.Spec.JobLabel]; job != "dsproxy" && job != "deepstream" {
				t.Errorf("ServiceMonitor %s makes the job %q, which the rules do not know", m.Name, job)
			}
			if !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == m.Spec.Endpoints[0].Port }) {
				t.Errorf("ServiceMonitor %s: Service %s has no port %s", m.Name, s.Name, m.Spec.Endpoints[0].Port)
			}
		})
		if jobs != 1 {
			t.Errorf("ServiceMonitor %s selects %d Services, in place of one", m.Name, jobs)
		}
	})
	each(o, func(r *monitoringv1.PrometheusRule) {
		if len(r.Spec.Groups) < 10 {
			t.Errorf("PrometheusRule %s has %d groups", r.Name, len(r.Spec.Groups))
		}
	})
	each(o, func(c *corev1.ConfigMap) {
		for name, text := range c.Data {
			if strings.HasSuffix(name, ".json") && !strings.Contains(text, `"schemaVersion"`) {
				t.Errorf("ConfigMap %s: %s is no dashboard", c.Name, name)
			}
		}
	})
}

func checkIngress(t *testing.T, o objects) {
	t.Helper()
	each(o, func(i *networkingv1.Ingress) {
		for _, r := range i.Spec.Rules {
			for _, p := range r.HTTP.Paths {
				s := get[corev1.Service](t, o, "Service", p.Backend.Service.Name)
				if !slices.ContainsFunc(s.Spec.Ports, func(sp corev1.ServicePort) bool { return sp.Name == p.Backend.Service.Port.Name }) {
					t.Errorf("Ingress %s leads to %v", i.Name, p.Backend.Service)
				}
			}
		}
	})
}
