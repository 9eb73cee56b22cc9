package deploy

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// A subscriber of the bus whose buffer is full is closed by Redis: wherever Redis is
// set up here, it has room for what the nodes may have waiting, 64 MiB.
func TestRedisHasRoomForTheBus(t *testing.T) {
	const hard, soft = 64 << 20, 32 << 20
	for file, wants := range map[string][]string{
		"compose/compose.yaml":                    {"--client-output-buffer-limit, pubsub 64mb 32mb 60"},
		"kubernetes/dsproxy/templates/redis.yaml": {"--client-output-buffer-limit", "- pubsub 64mb 32mb 60"},
		"terraform/redis.tf": {
			`"client-output-buffer-limit-pubsub-hard-limit"` + "\n    value = tostring(64 * 1024 * 1024)",
			`"client-output-buffer-limit-pubsub-soft-limit"` + "\n    value = tostring(32 * 1024 * 1024)",
			`"client-output-buffer-limit-pubsub-soft-seconds"` + "\n    value = \"60\"",
		},
		"cloudformation/fleet.yaml": {
			`client-output-buffer-limit-pubsub-hard-limit: "` + strconv.Itoa(hard) + `"`,
			`client-output-buffer-limit-pubsub-soft-limit: "` + strconv.Itoa(soft) + `"`,
			`client-output-buffer-limit-pubsub-soft-seconds: "60"`,
		},
	} {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(src), want) {
				t.Errorf("%s has no %s", file, want)
			}
		}
	}
}

// Prometheus finds the machines by tags that they have.
func TestScrapingFindsMachines(t *testing.T) {
	scrape, err := os.ReadFile("prometheus/scrape.yml")
	if err != nil {
		t.Fatal(err)
	}
	for role, files := range map[string][]string{"dsproxy": {"terraform/proxy.tf"}, "deepstream": {"terraform/nodes.tf"}} {
		if want := `{ name: "tag:dsproxy:role", values: [` + role + `] }`; !strings.Contains(string(scrape), want) {
			t.Errorf("scrape.yml has no filter %s", want)
		}
		for _, file := range append(files, "cloudformation/fleet.yaml") {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if tf, cf := `"dsproxy:role" = "`+role+`"`, `{Key: "dsproxy:role", Value: `+role+`, PropagateAtLaunch: true}`; !strings.Contains(string(src), tf) && !strings.Contains(string(src), cf) {
				t.Errorf("%s does not give machines the role %s", file, role)
			}
		}
	}
}
