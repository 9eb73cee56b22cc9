package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFetchProfile(t *testing.T) {
	// A client of package net/http keeps a connection to the server open.
	defer http.DefaultClient.CloseIdleConnections()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "profile of "+r.FormValue("seconds")+" seconds from "+r.URL.Path)
	}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "cpu.pprof")
	if err := fetchProfile(context.Background(), s.Listener.Addr().String(), file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if want := "profile of 5 seconds from /debug/pprof/profile"; err != nil || string(text) != want {
		t.Errorf("the file holds %q, error %v, want %q", text, err, want)
	}
}

func TestFetchProfileThatIsNotThere(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	file := filepath.Join(t.TempDir(), "cpu.pprof")
	err := fetchProfile(context.Background(), s.Listener.Addr().String(), file)
	if err == nil || !strings.Contains(err.Error(), "404 Not Found to /debug/pprof/profile") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was made of nothing")
	}
}
