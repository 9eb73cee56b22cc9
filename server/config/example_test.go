package config

import "testing"

// TestExample: the example says what the defaults are.
func TestExample(t *testing.T) {
	got := outcome("example.yml", Options{Getenv: func(string) string { return "" }})
	if want := "AdminGiven = true\n"; got != want {
		t.Errorf("the example differs from the defaults:\n%s", got)
	}
}
