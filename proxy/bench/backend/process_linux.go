package backend

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Run plays n backends until in ends. It writes a [Hello] line first and a
// [Counts] line for every line it reads. After an error it returns without
// waiting for in: the process is then of no use and should end.
func Run(n int, in io.Reader, out io.Writer) error {
	s, err := New(n)
	if err != nil {
		return err
	}
	answered := make(chan error, 1)
	go func() {
		err := answer(s, in, json.NewEncoder(out))
		if stopErr := s.Stop(); err == nil {
			err = stopErr
		}
		answered <- err
	}()
	if err := s.Serve(); err != nil {
		return err
	}
	return <-answered
}

func answer(s *Server, in io.Reader, out *json.Encoder) error {
	if err := out.Encode(Hello{Addrs: s.Addrs()}); err != nil {
		return fmt.Errorf("say hello: %w", err)
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if err := out.Encode(s.Counts()); err != nil {
			return fmt.Errorf("tell the counts: %w", err)
		}
	}
	return lines.Err()
}
