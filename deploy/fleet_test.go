package deploy

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dsproxy/dsproxy/backend/gossip"
	"go.yaml.in/yaml/v3"
)

// fleet is what one of the three ways to AWS makes, as far as it must agree with
// the others and with the programs. Times are in seconds.
type fleet struct {
	proxyPort, readyPort, nodePort, redisPort int
	gossipTCP, gossipUDP                      int

	balancerIdle, proxyIdle        int
	checkInterval, checksToFail    int
	drainDelay, drainTimeout       int
	deregistration                 int
	proxyStop, nodeStop, nodeDrain int // killed after, for clients to leave
	proxyHook, nodeHook            int // 0 where there is none
}

func seconds(t *testing.T, text string) int {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return int(d.Seconds())
}

func number(t *testing.T, n *yaml.Node, path ...string) int {
	t.Helper()
	i, err := strconv.Atoi(text(t, n, path...))
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(path, "."), err)
	}
	return i
}

// proxyYAML takes the times from a configuration of dsproxy.
func (f *fleet) proxyYAML(t *testing.T, src string) {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(src), &doc); err != nil {
		t.Fatal(err)
	}
	top := doc.Content[0]
	f.proxyIdle = seconds(t, text(t, top, "timeouts", "idle"))
	f.drainDelay = seconds(t, text(t, top, "drain", "delay"))
	f.drainTimeout = seconds(t, text(t, top, "drain", "timeout"))
}

func terraformFleet(t *testing.T) fleet {
	m := loadModule(t, terraformDir)
	const group = "aws_lb_target_group.proxy"
	paths := m.scope(t).Variables["local"].GetAttr("paths")
	port := func(path string) int { return asInt(t, paths.GetAttr(path).GetAttr("port")) }
	f := fleet{
		proxyPort: m.number(t, group, "port"), readyPort: m.number(t, group, "health_check", "port"),
		nodePort: port("sessions"), redisPort: m.number(t, "aws_elasticache_replication_group.this", "port"),
		gossipTCP: port("gossip_tcp"), gossipUDP: port("gossip_udp"),
		balancerIdle:  m.number(t, "aws_lb.this", "idle_timeout"),
		checkInterval: m.number(t, group, "health_check", "interval"), checksToFail: m.number(t, group, "health_check", "unhealthy_threshold"),
		deregistration: m.number(t, group, "deregistration_delay"),
		proxyStop:      m.local(t, "proxy_stop_seconds"), nodeStop: m.local(t, "node_stop_seconds"),
		proxyHook: m.number(t, "aws_autoscaling_lifecycle_hook.proxy", "heartbeat_timeout"),
		nodeHook:  m.number(t, "aws_autoscaling_lifecycle_hook.node", "heartbeat_timeout"),
	}
	f.proxyYAML(t, proxyConfig(t))
	f.nodeDrain = int(checkNode(t, nodeConfig(t)).Node.DrainTimeout.Seconds())
	return f
}

// attributes of a load balancer or target group, by key.
func attributes(t *testing.T, list *yaml.Node) map[string]int {
	t.Helper()
	found := map[string]int{}
	for _, a := range list.Content {
		if key, value := at(a, "Key"), at(a, "Value"); key != nil && value != nil {
			if n, err := strconv.Atoi(value.Value); err == nil {
				found[key.Value] = n
			}
		}
	}
	return found
}

func cloudFormationFleet(t *testing.T) fleet {
	resources := section(t, readYAML(t, templatePath), "Resources")
	group := at(resources["ProxyTargetGroup"], "Properties")
	port := func(rule string) int { return number(t, resources[rule], "Properties", "FromPort") }
	hook := func(name string) int {
		hooks := at(resources[name], "Properties", "LifecycleHookSpecificationList").Content
		return number(t, hooks[1], "HeartbeatTimeout")
	}
	settings, config := templateUserData(t, "ProxyTemplate")
	nodeSettings, _ := templateUserData(t, "NodeTemplate")
	f := fleet{
		proxyPort: number(t, group, "Port"), readyPort: number(t, group, "HealthCheckPort"),
		nodePort: port("SessionsIn"), redisPort: number(t, resources["Redis"], "Properties", "Port"),
		gossipTCP: port("GossipTcpIn"), gossipUDP: port("GossipUdpIn"),
		balancerIdle:  attributes(t, at(resources["LoadBalancer"], "Properties", "LoadBalancerAttributes"))["idle_timeout.timeout_seconds"],
		checkInterval: number(t, group, "HealthCheckIntervalSeconds"), checksToFail: number(t, group, "UnhealthyThresholdCount"),
		deregistration: attributes(t, at(group, "TargetGroupAttributes"))["deregistration_delay.timeout_seconds"],
		proxyStop:      seconds(t, settings["STOP_SECONDS"]+"s"), nodeStop: seconds(t, nodeSettings["STOP_SECONDS"]+"s"),
		proxyHook: hook("Proxies"), nodeHook: hook("Nodes"),
	}
	f.proxyYAML(t, config)
	f.nodeDrain = int(checkNode(t, templateNodeConfig(t)).Node.DrainTimeout.Seconds())
	return f
}

func ecsFleet(t *testing.T) fleet {
	env, _ := environment(t, "dsproxy.task.json")
	node, _ := environment(t, "deepstream.task.json")
	group := readYAML(t, "ecs/target-group.json")
	port := func(listen string) int {
		return number(t, &yaml.Node{Kind: yaml.ScalarNode, Value: listen[strings.LastIndex(listen, ":")+1:]})
	}
	return fleet{
		proxyPort: number(t, group, "Port"), readyPort: number(t, group, "HealthCheckPort"),
		nodePort: port(node["DEEPSTREAM_PORT"]), redisPort: 6379, // in a secret
		gossipTCP: port(node["DEEPSTREAM_BIND"]), gossipUDP: port(env["DSPROXY_BIND"]),
		balancerIdle: 60, // the default of a balancer, which README.md says to keep
		proxyIdle:    seconds(t, env["DSPROXY_IDLE_TIMEOUT"]), drainDelay: seconds(t, env["DSPROXY_DRAIN_DELAY"]), drainTimeout: seconds(t, env["DSPROXY_DRAIN_TIMEOUT"]),
		deregistration: attributes(t, readYAML(t, "ecs/target-group-attributes.json"))["deregistration_delay.timeout_seconds"],
		proxyStop:      number(t, container(t, "dsproxy.task.json"), "stopTimeout"), nodeStop: number(t, container(t, "deepstream.task.json"), "stopTimeout"),
		nodeDrain: int(checkNode(t, "{}").Node.DrainTimeout.Seconds()),
	}
}

func TestFleetsAgree(t *testing.T) {
	for name, f := range map[string]fleet{"terraform": terraformFleet(t), "cloudformation": cloudFormationFleet(t), "ecs": ecsFleet(t)} {
		t.Run(name, func(t *testing.T) {
			ports := []int{f.proxyPort, f.readyPort, f.nodePort, f.redisPort, f.gossipTCP, f.gossipUDP}
			proxy, node := flagsOf(t, "dsproxy"), flagsOf(t, "deepstream")
			for i, want := range []int{
				defaultNumber(t, proxy["listen"]), defaultNumber(t, proxy["admin"]), defaultNumber(t, node["port"]), 6379, gossip.DefaultPort, gossip.DefaultPort,
			} {
				if ports[i] != want {
					t.Errorf("port %d, and the programs use %d", ports[i], want)
				}
			}
			for _, rule := range []struct {
				what string
				ok   bool
			}{
				{"the balancer closes idle connections before dsproxy does", f.balancerIdle > 0 && f.balancerIdle < f.proxyIdle},
				{"the balancer lets a leaving proxy drain to its end", f.deregistration >= f.drainDelay+f.drainTimeout},
				{"a proxy is killed only when it has had time to drain", f.proxyStop > f.drainDelay+f.drainTimeout},
				{"a node is killed only when it has had time to drain", f.nodeDrain > 0 && f.nodeStop > f.nodeDrain},
				{"the balancer notices within the drain delay", f.drainDelay > f.checkInterval*f.checksToFail || f.proxyHook == 0},
				{"the hook waits for a proxy", f.proxyHook == 0 || f.proxyHook > f.proxyStop},
				{"the hook waits for a node", f.nodeHook == 0 || f.nodeHook > f.nodeStop},
				{"Fargate waits no longer than two minutes", f.proxyHook != 0 || f.proxyStop <= 120 && f.nodeStop <= 120},
			} {
				if !rule.ok {
					t.Errorf("not so: %s: %+v", rule.what, f)
				}
			}
		})
	}
}

// defaultNumber is the number at the end of a default that a help text names first.
func defaultNumber(t *testing.T, help string) int {
	t.Helper()
	m := regexp.MustCompile(`\(default [^)]*?(\d+)[,)]`).FindStringSubmatch(help)
	if m == nil {
		t.Fatalf("%q names no default", help)
	}
	return number(t, &yaml.Node{Kind: yaml.ScalarNode, Value: m[1]})
}

// templateUserData takes the user data of a launch template apart.
func templateUserData(t *testing.T, name string) (settings map[string]string, config string) {
	t.Helper()
	resources := section(t, readYAML(t, templatePath), "Resources")
	parts := at(resources[name], "Properties", "LaunchTemplateData", "UserData", "Fn::Base64").Content[1].Content
	head := parts[0].Content[0].Value
	settings = map[string]string{}
	for line := range strings.Lines(between(t, head, "<<'SETTINGS'\n", "SETTINGS\n")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		settings[key] = value
	}
	config = between(t, head, "<<'CONFIG'\n", "CONFIG\n")
	return settings, strings.ReplaceAll(config, "${Trust}", "10.20.0.0/24")
}

// templateNodeConfig is the configuration of nodes that are given none.
func templateNodeConfig(t *testing.T) string {
	t.Helper()
	resources := section(t, readYAML(t, templatePath), "Resources")
	sub := at(resources["NodeTemplate"], "Properties", "LaunchTemplateData", "UserData", "Fn::Base64").Content[1].Content[0]
	return at(sub.Content[1], "Config").Content[2].Value
}

func between(t *testing.T, s, before, after string) string {
	t.Helper()
	_, s, ok := strings.Cut(s, before)
	s, _, ok2 := strings.Cut(s, after)
	if !ok || !ok2 {
		t.Fatalf("there is nothing between %q and %q", before, after)
	}
	return s
}

// The template sets machines up with Terraform's script, settings and configuration.
func TestCloudFormationIsTerraforms(t *testing.T) {
	script, err := os.ReadFile(bootPath)
	if err != nil {
		t.Fatal(err)
	}
	if text(t, readYAML(t, templatePath), "Mappings", "Machine", "Boot", "Script") != string(script) {
		t.Errorf("the script in %s is not that of %s", templatePath, bootPath)
	}
	data := userData(t, "dsproxy", "")
	for _, name := range []string{"ProxyTemplate", "NodeTemplate"} {
		settings, _ := templateUserData(t, name)
		for line := range strings.Lines(between(t, data, "<<'SETTINGS'\n", "SETTINGS\n")) {
			key, _, _ := strings.Cut(line, "=")
			if settings[key] == "" {
				t.Errorf("%s does not set %s", name, key)
			}
			delete(settings, key)
		}
		delete(settings, "STACK")
		delete(settings, "STACK_RESOURCE")
		if len(settings) != 0 {
			t.Errorf("%s sets %v, which Terraform does not", name, settings)
		}
	}
	_, config := templateUserData(t, "ProxyTemplate")
	trust := regexp.MustCompile(`trust: .*`)
	if got, want := trust.ReplaceAllString(config, ""), trust.ReplaceAllString(proxyConfig(t), ""); got != want {
		t.Errorf("dsproxy.yaml is\n%s\nTerraform's is\n%s", got, want)
	}
	if got, want := templateNodeConfig(t), nodeConfig(t); strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("config.yml is\n%s\nTerraform's is\n%s", got, want)
	}
}

// A machine is given at most 16 KB.
func TestUserDataFits(t *testing.T) {
	longest := strings.Repeat("x", 8000) // what the module lets deepstream_config have
	if n := len(userData(t, "deepstream", longest)) + 500; n > 16384 {
		t.Errorf("user data may have %d bytes", n)
	}
}

// Configurations that stand in files of their own are accepted too.
func TestConfigurationsAreAccepted(t *testing.T) {
	src, err := os.ReadFile(exampleDir + "/deepstream.yml")
	if err != nil {
		t.Fatal(err)
	}
	if s := checkNode(t, string(src)); s.Node.DrainTimeout != 30*time.Second {
		t.Errorf("the example's drainTimeout is %v, not the module's 30 s", s.Node.DrainTimeout)
	}
	for _, name := range []string{"dsproxy", "deepstream"} {
		env, secret := environment(t, name+".task.json")
		for variable := range secret {
			switch {
			case strings.HasSuffix(variable, "_REDIS"):
				env[variable] = "rediss://:token@redis.example.org:6379"
			case strings.HasSuffix(variable, "_GOSSIP_KEY"):
				env[variable] = "abcdefghijklmnopqrstuvwxyz012345"
			}
		}
		for variable, value := range env {
			value = strings.ReplaceAll(value, "${NAME}", "deepstream")
			env[variable] = strings.ReplaceAll(value, "${BALANCER_NETWORKS}", "10.20.0.0/24,10.20.1.0/24")
		}
		check(t, name, "", env)
	}
}
