package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Reply is a line the load process writes.
type Reply struct {
	Error  string `json:"error,omitempty"`
	Result Result `json:"result"`
}

// Serve is the load process. The first line it reads is a [Spec]: it prepares
// and replies. For every further line it runs the measured operations and
// replies with the result. It ends, and closes its connections, when in ends.
func Serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	if !lines.Scan() {
		return errors.Join(errors.New("no specification to read"), lines.Err())
	}
	var spec Spec
	if err := json.Unmarshal(lines.Bytes(), &spec); err != nil {
		return fmt.Errorf("read the specification: %w", err)
	}
	g, err := New(spec)
	if err != nil {
		return err
	}
	defer g.Close()
	replies := json.NewEncoder(out)
	reply := func(r Result, err error) error {
		line := Reply{Result: r}
		if err != nil {
			line.Error = err.Error()
		}
		return replies.Encode(line)
	}
	if err := reply(Result{}, g.Prepare()); err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	for lines.Scan() {
		if err := reply(g.Run()); err != nil {
			return fmt.Errorf("reply: %w", err)
		}
	}
	return lines.Err()
}
