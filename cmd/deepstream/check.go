package main

import "fmt"

// check tells whether a configuration would be accepted, and what of it would not
// be carried out. It connects to nothing and opens no storage.
func (p *program) check(args []string) error {
	s, err := p.settings(args)
	if err != nil {
		return err
	}
	for _, w := range s.Warnings {
		fmt.Fprintf(p.stdout, "warning: %s:%d: %s\n", w.File, w.Line, w.Text)
	}
	if prefix := s.ClusterPrefix(); prefix != "" {
		fmt.Fprintf(p.stdout, "records lie in Redis behind %s; %s\n", prefix, originalLayout)
	}
	of := s.File
	if of == "" {
		of = "no file found, the defaults"
	}
	fmt.Fprintf(p.stdout, "configuration is valid: %s\n", of)
	return nil
}
