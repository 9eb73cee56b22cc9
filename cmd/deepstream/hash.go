package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dsproxy/dsproxy/server/config"
)

// hash prints a password as the users file wants it.
func (p *program) hash(args []string) error {
	var o options
	words, err := parse(newFlags("hash", &o), args, 1)
	if err != nil {
		return err
	}
	path, err := p.file(o.config)
	if err != nil {
		return err
	}
	if path == "" {
		return errors.New("no configuration file found; give one with -c, its file auth says how to hash")
	}
	h, err := config.LoadHash(path, p.getenv)
	switch {
	case err != nil:
		return err
	case h == nil:
		return fmt.Errorf("%s has no auth of type file with the option hash", path)
	case len(words) == 0 || words[0] == "":
		return usageError{errors.New("no password to hash: give it as an argument, or - to read it from standard input")}
	}
	password := words[0]
	if password == "-" {
		if password, err = firstLine(p.stdin); err != nil {
			return err
		}
	}
	hashed, err := h.Create(password)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, "Password hash:", hashed)
	return err
}

func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(r).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return "", fmt.Errorf("read password: %w", err)
	}
	return line, nil
}
