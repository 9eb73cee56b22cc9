package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// built is a folder with programs, that lasts as long as the tests.
type built struct {
	dir  string
	once map[string]func() error
}

var tools = sync.OnceValue(func() *built {
	dir, err := os.MkdirTemp("", "deploy-check-")
	if err != nil {
		panic(err)
	}
	goBuild := func(wd string, args ...string) func() error {
		return sync.OnceValue(func() error {
			cmd := exec.Command("go", append([]string{"build", "-o", dir + "/"}, args...)...)
			cmd.Dir = wd
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("go build %v: %w\n%s", args, err, out)
			}
			return nil
		})
	}
	ours := goBuild("../..", "./cmd/dsproxy", "./cmd/deepstream")
	return &built{dir, map[string]func() error{
		"dsproxy": ours, "deepstream": ours,
		// Without the kinds of service discovery, each of which is the library of a
		// cloud, but for that of Kubernetes, which Helm needs anyway.
		"promtool": goBuild(".", "-tags", "remove_all_sd,enable_dns_sd,enable_kubernetes_sd", "github.com/prometheus/prometheus/cmd/promtool"),
	}}
})

// program builds one of them at its first use.
func program(t *testing.T, name string) string {
	t.Helper()
	if err := tools().once[name](); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(tools().dir, name)
}

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(tools().dir)
	os.Exit(code)
}

// writeCertificate writes tls.crt and tls.key.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: der}, "tls.key": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
