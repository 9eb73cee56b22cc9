package proxy

import "fmt"

// Status is what the proxy holds, in a few words for the operator. It asks the
// parts that requests go through, so it hangs when one of them does.
func (p *Proxy) Status() string {
	p.pins.Stats()
	return fmt.Sprintf("%d tunnels, %d of %d backends usable", p.relay.Open(), p.pool.Set().Usable(), len(p.pool.Snapshot()))
}
